"""The manifest of an artifact: what the model is, what it needs and where it comes from.

It is plain JSON: reading one imports neither torch nor plugins. Files are untrusted, so everything is checked before
use.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict, get_type_hints

from equipot._version import __version__
from equipot.artifacts._encoding import canonical_json, parse_json
from equipot.artifacts._schema import check_fits
from equipot.errors import ArtifactError, problem
from equipot.units import Units

FORMAT_VERSION = 1
"""Version of the manifest and of the files that come with it; raised when readers must handle a change."""

Kind = Literal["checkpoint", "package", "compiled"]

SUFFIXES: dict[Kind, str] = {"checkpoint": ".ckpt", "package": ".equipot.zip", "compiled": ".equipot.pt2"}
"""Suffix of the files of each kind."""

UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Format version N to the function that turns a manifest of version N into one of version N + 1."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is known about a stored model without loading it."""

    kind: Kind
    """Kind of file."""

    model: dict[str, Any]
    """``ModelInfo.to_dict()``: types, species, cutoffs (Å), dtype, units, locality, inputs, outputs."""

    modifiers: list[dict[str, Any]] = field(default_factory=list)
    """Persistent modifiers in the order in which they were applied: name, options, distribution, version."""

    plugins: dict[str, str] = field(default_factory=dict)
    """Distribution and version of every plugin the model uses."""

    versions: dict[str, str] = field(default_factory=dict)
    """Versions of equipot, torch, e3nn and Python with which the file was made."""

    atomic_numbers: list[int] | None = None
    """Atomic number of each type; None if the species are unknown."""

    hyperparameters: dict[str, str] = field(default_factory=dict)
    """Digest of every option of the model's config, so that a mismatch names the option."""

    fingerprint: str = ""
    """SHA-256 of the options above and of all weights; equal for equal models."""

    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the other members of the file."""

    provenance: dict[str, Any] = field(default_factory=dict)
    """Where the model comes from: ``created``, ``weights`` (ema or raw), ``seed``, ``metrics``, ``source``."""

    data: dict[str, Any] = field(default_factory=dict)
    """Hashes and census of the training data, as far as they are known."""

    approximations: dict[str, Any] = field(default_factory=dict)
    """For a model with approximating modules: ``modules``, a list of texts, and ``deviations``, the largest
    difference of each output from the exact model's on the golden frames, in the output's unit."""

    compiled: dict[str, Any] = field(default_factory=dict)
    """For a compiled file: mode, target, device, platform, cpu, torch, and the ``kernels`` it calls, by modifier."""

    citations: list[str] = field(default_factory=list)
    """What to cite when using the model."""

    format_version: int = FORMAT_VERSION
    """Version of this layout."""

    def to_json(self) -> bytes:
        """The manifest as indented UTF-8 JSON."""
        return canonical_json(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, raw: bytes, where: str) -> Manifest:
        """Read and check a manifest; one of an older format is upgraded.

        Args:
            raw: The bytes of the JSON file.
            where: File named in errors.

        Raises:
            ArtifactError: If it is not a manifest, or newer than this equipot can read.
        """
        plain = parse_json(raw, where)
        return cls(**_checked(_upgraded(plain, where), where))


def kind_of(path: str | Path) -> Kind:
    """The kind of a file, by its suffix."""
    for kind, suffix in SUFFIXES.items():
        if Path(path).name.endswith(suffix):
            return kind
    raise ArtifactError(problem(str(path), "unknown file type", hint=f"known: {', '.join(SUFFIXES.values())}"))


def check_format_version(version: object, where: str, newest: int) -> int:
    """Return a stored format version, or refuse one that is newer than this equipot can read."""
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ArtifactError(problem(f"{where}: format_version", "must be a positive integer", got=version))
    if version > newest:
        raise ArtifactError(
            f"{where}: made with a newer equipot (format {version}, this is equipot {__version__} with format "
            f"{newest}); pip install --upgrade equipot"
        )
    return version


def _upgraded(plain: dict[str, Any], where: str) -> dict[str, Any]:
    version = check_format_version(plain.get("format_version"), where, FORMAT_VERSION)
    while version < FORMAT_VERSION:
        if version not in UPGRADES:
            what = f"has format {version}, which this equipot can no longer read"
            hint = "load it with the equipot that made it and save it again"
            raise ArtifactError(problem(where, what, hint=hint))
        plain = UPGRADES[version](plain)
        version += 1
    return {**plain, "format_version": version}


class _OptionalFacts(TypedDict, total=False):
    boundary: list[tuple[str, list[str]]]


class ModelFacts(_OptionalFacts):
    """``Manifest.model`` in a file: the entries of ``ModelInfo``, with limits of boundary conditions only if any."""

    type_names: list[str]
    chemical_species: list[str] | None
    r_max: float
    cutoffs: list[list[float]] | None
    model_dtype: Literal["float32", "float64"]
    units: Units
    locality: str
    edge_sets: list[tuple[str, float]]
    inputs: list[str]
    outputs: list[str]


class _OptionalOfModifier(TypedDict, total=False):
    exact_without: bool


class ModifierRecord(_OptionalOfModifier):
    """An item of ``Manifest.modifiers`` in a file."""

    name: str
    options: dict[str, Any]
    distribution: str
    version: str


class Approximations(TypedDict, total=False):
    """``Manifest.approximations`` in a file, empty for an exact model."""

    modules: list[str]
    deviations: dict[str, float]


_ENTRIES: dict[str, Any] = {
    **get_type_hints(Manifest),
    "model": ModelFacts,
    "modifiers": list[ModifierRecord],
    "approximations": Approximations,
}


def _checked(plain: dict[str, Any], where: str) -> dict[str, Any]:
    """The known entries, each of the right type; unknown entries of the same format are ignored."""
    for key in ("kind", "model"):
        if key not in plain:
            hint = "this is not an artifact of equipot"
            raise ArtifactError(problem(f"{where}: manifest.{key}", "is missing", hint=hint))
    values = {key: plain[key] for key in _ENTRIES if key in plain}
    for key, value in values.items():
        check_fits(value, _ENTRIES[key], f"{where}: manifest.{key}")
    return values
