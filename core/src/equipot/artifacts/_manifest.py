"""The manifest of an artifact: what a model is, what it needs and where it comes from.

Plain JSON, readable with the standard library alone: reading one imports neither torch nor any
plugin. Files are untrusted: everything is checked before use.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Literal

from equipot._host import local_file
from equipot._version import __version__
from equipot.artifacts._approximations import checked_approximations
from equipot.errors import ArtifactError, EquipotError, problem
from equipot.plugins import NAMESPACES, plugins

FORMAT_VERSION = 1
"""Version of the manifest and of the files beside it; raised whenever a reader must know."""

Kind = Literal["checkpoint", "package", "compiled"]

UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From format version N to the function that turns a manifest of version N into one of N + 1."""

_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_KIND_OF_NAMESPACE = {namespace: kind for kind, namespace in NAMESPACES.items()}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is known of a stored model without loading it."""

    kind: Kind
    """What the file holds."""

    model: dict[str, Any]
    """``ModelInfo.to_dict()``: types, species, cutoffs (Å), dtype, units, locality, inputs, outputs."""

    modifiers: list[dict[str, Any]] = field(default_factory=list)
    """Persistent modifiers applied, in order: name, options, distribution, version."""

    plugins: dict[str, str] = field(default_factory=dict)
    """Distribution and version of every plugin the model uses."""

    versions: dict[str, str] = field(default_factory=dict)
    """Versions of equipot, torch, e3nn and Python that made the file."""

    atomic_numbers: list[int] | None = None
    """Nuclear charge of each type; None if the species are unknown."""

    hyperparameters: dict[str, str] = field(default_factory=dict)
    """Digest of every option of the model's config, so that a mismatch names the option."""

    fingerprint: str = ""
    """SHA-256 of the options above and of all weights: one number for "the same model"."""

    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the other members of the file."""

    provenance: dict[str, Any] = field(default_factory=dict)
    """Where the model comes from: ``created``, ``weights`` (ema or raw), ``seed``, ``metrics``, ``source``."""

    data: dict[str, Any] = field(default_factory=dict)
    """Hashes and census of the training data, as far as known."""

    approximations: dict[str, Any] = field(default_factory=dict)
    """Of a model with modules that approximate others: ``modules``, a list of texts, and ``deviations``, the
    largest difference of each output from the exact model's on the golden frames, in the output's unit."""

    compiled: dict[str, Any] = field(default_factory=dict)
    """Of a compiled file: mode, target, device, platform, cpu, torch; ``kernels``, by modifier, that it calls."""

    citations: list[str] = field(default_factory=list)
    """What to cite when using the model."""

    format_version: int = FORMAT_VERSION
    """Version of this layout."""

    def to_json(self) -> bytes:
        """The manifest as indented UTF-8 JSON."""
        return canonical_json(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, raw: bytes, where: str) -> Manifest:
        """Read and check a manifest, upgrading one of an older format.

        Args:
            raw: The bytes.
            where: File named in errors.

        Raises:
            ArtifactError: If it is no manifest, or newer than this equipot can read.
        """
        plain = parse_json(raw, where)
        return cls(**_checked(_upgraded(plain, where), where))


def canonical_json(value: object, indent: int | None = None) -> bytes:
    """JSON with sorted keys and no NaN: equal values give equal bytes."""
    text = json.dumps(value, indent=indent, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return text.encode()


def parse_json(raw: bytes, where: str) -> dict[str, Any]:
    """Parse an untrusted JSON object.

    Raises:
        ArtifactError: If it is damaged or no object.
    """
    try:
        plain = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            problem(where, f"is damaged: {type(error).__name__}: {error}", hint="get the file again")
        ) from None
    if not isinstance(plain, dict):
        raise ArtifactError(problem(where, "must hold a JSON object", got=type(plain).__name__))
    return plain


def _refuse_constant(name: str) -> None:
    raise ValueError(f"the constant {name} is not JSON")


def check_format_version(version: object, where: str) -> int:
    """Refuse formats newer than this equipot.

    Returns:
        The version.

    Raises:
        ArtifactError: Saying to upgrade.
    """
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ArtifactError(problem(f"{where}: format_version", "must be a positive integer", got=version))
    if version > FORMAT_VERSION:
        raise ArtifactError(
            f"{where}: made with a newer equipot (format {version}, this is equipot {__version__} with format "
            f"{FORMAT_VERSION}); pip install --upgrade equipot"
        )
    return version


def _upgraded(plain: dict[str, Any], where: str) -> dict[str, Any]:
    version = check_format_version(plain.get("format_version"), where)
    while version < FORMAT_VERSION:
        if version not in UPGRADES:
            raise ArtifactError(
                problem(
                    where,
                    f"has format {version}, which this equipot can no longer read",
                    hint="load it with the equipot that made it and save it again",
                )
            )
        plain = UPGRADES[version](plain)
        version += 1
    return {**plain, "format_version": version}


_TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "model": (dict,),
    "modifiers": (list,),
    "plugins": (dict,),
    "versions": (dict,),
    "atomic_numbers": (list, type(None)),
    "hyperparameters": (dict,),
    "fingerprint": (str,),
    "files": (dict,),
    "provenance": (dict,),
    "data": (dict,),
    "approximations": (dict,),
    "compiled": (dict,),
    "citations": (list,),
    "format_version": (int,),
}


def _checked(plain: dict[str, Any], where: str) -> dict[str, Any]:
    """The known entries, each of the right type; unknown ones of the same format are left out."""
    for key in ("kind", "model"):
        if key not in plain:
            raise ArtifactError(problem(f"{where}: manifest.{key}", "is missing", hint="this is no equipot artifact"))
    values = {key: plain[key] for key in _TYPES if key in plain}
    for key, value in values.items():
        if not isinstance(value, _TYPES[key]):
            raise ArtifactError(
                problem(f"{where}: manifest.{key}", f"must be a JSON {_TYPES[key][0].__name__}", got=value)
            )
    for key in ("plugins", "versions", "hyperparameters", "files"):
        if not all(isinstance(item, str) for item in values.get(key, {}).values()):
            raise ArtifactError(problem(f"{where}: manifest.{key}", "must hold strings", got=values[key]))
    checked_approximations(values.get("approximations"), where)
    return values


# ------------------------------------------------------------------ what a model uses


def components(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Kind and registered name of every declared component that a model's config names.

    Args:
        config: ``GraphModel.config``.

    Raises:
        ArtifactError: If a target is neither registered nor a part of an installed plugin's package,
            so that the file could not be loaded again.
    """
    found = []
    for index, target in enumerate(_targets(config)):
        namespace, _, name = target.rpartition(".")
        kind = _KIND_OF_NAMESPACE.get(namespace)
        if kind is None and index > 0 and plugins().owner_of(target):
            continue  # a part of a component's options
        if kind is None:
            raise ArtifactError(
                problem(
                    "model",
                    f"{target!r} is not declared by an installed plugin, so it cannot be stored for others",
                    hint="put it in a plugin and declare it (see the hook specs), then train with its registered name",
                )
            )
        found.append((kind, name))
    return found


def _targets(value: object) -> list[str]:
    if isinstance(value, Mapping):
        own = [str(value["_target_"])] if "_target_" in value else []
        return own + [target for key, item in value.items() if key != "_target_" for target in _targets(item)]
    if isinstance(value, (list, tuple)):
        return [target for item in value for target in _targets(item)]
    return []


def plugins_used(config: Mapping[str, Any], modifiers: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Distributions, other than core, that a model needs, with their versions.

    Args:
        config: ``GraphModel.config``.
        modifiers: Records of the applied modifiers.

    Raises:
        ArtifactError: If a component is not declared by a plugin, or by a local file.
        PluginError: If a plugin is missing.
    """
    used = _owners(config, modifiers)
    if local := [path for path, version in used.items() if version == local_file.VERSION]:
        raise ArtifactError(
            problem(
                "model",
                f"a part of it is defined in the local file {local[0]}, so it cannot be packaged or compiled",
                hint="make a plugin of the file (equipot plugins new), install it, and train with it",
            )
        )
    return used


def _owners(config: Mapping[str, Any], modifiers: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """As ``plugins_used``, local files too."""
    host = plugins()
    used = {}
    for kind, name in components(config):
        declared = host.lookup(kind, name)
        used[declared.distribution] = declared.version
    for target in _targets(config):
        if owner := host.owner_of(target):
            used[owner.distribution] = owner.version
    for modifier in modifiers:
        if not modifier.get("exact_without"):
            used[str(modifier["distribution"])] = str(modifier["version"])
    used.pop("equipot", None)
    return dict(sorted(used.items()))


def plugins_if_declared(config: Mapping[str, Any], modifiers: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """As ``plugins_used``, but a model of a local file, which can be trained but not packaged, is no error."""
    try:
        used = _owners(config, modifiers)
    except EquipotError:
        return {}
    return {name: version for name, version in used.items() if version != local_file.VERSION}


def citations_of(config: Mapping[str, Any]) -> list[str]:
    """What the authors of the components of a model ask to cite."""
    host = plugins()
    found = [text for kind, name in components(config) for text in host.load(kind, name).citations]
    return list(dict.fromkeys(found))


def check_plugins(used: Mapping[str, str], where: str) -> None:
    """Say exactly what to install if a stored model needs more than there is.

    Args:
        used: Distribution and version, as stored.
        where: File named in errors.

    Raises:
        ArtifactError: Naming every distribution that is missing or older, with one pip line.
    """
    from packaging.version import InvalidVersion, Version

    needed, texts = [], []
    for distribution, version in used.items():
        if not _DISTRIBUTION.fullmatch(distribution):
            raise ArtifactError(problem(f"{where}: manifest.plugins", "must name distributions", got=distribution))
        try:
            installed = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            installed = None
        try:
            fits = installed is not None and Version(installed) >= Version(version)
        except InvalidVersion:
            raise ArtifactError(
                problem(f"{where}: manifest.plugins.{distribution}", "is no version", got=version)
            ) from None
        if not fits:
            needed.append(f"'{distribution}>={version}'")
            texts.append(f"{distribution} {version} ({f'installed: {installed}' if installed else 'not installed'})")
    if needed:
        raise ArtifactError(f"{where}: needs {', '.join(texts)}; pip install --upgrade {' '.join(needed)}")


def current_versions() -> dict[str, str]:
    """Versions of equipot, torch, e3nn and Python, read without importing them."""
    import platform

    found = {"equipot": __version__, "python": platform.python_version()}
    for distribution in ("torch", "e3nn"):
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found


def now() -> str:
    """Time of creation: UTC, ISO 8601, to the second."""
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")


# ------------------------------------------------------------------ fingerprints


def option_digests(config: Mapping[str, Any], modifiers: Iterable[Mapping[str, Any]], units: str) -> dict[str, str]:
    """Digest of everything besides tensors that decides what a model computes.

    Args:
        config: ``GraphModel.config``.
        modifiers: Records of the applied modifiers; their versions do not count.
        units: Unit system.

    Returns:
        Dotted option name to the first 16 hexadecimal digits of the SHA-256 of its value.
    """
    values = {"units": units, **_flat(config, "model")}
    for index, modifier in enumerate(modifiers):
        values[f"modifiers.{index}.{modifier['name']}"] = modifier["options"]
    return {key: hashlib.sha256(canonical_json(value)).hexdigest()[:16] for key, value in sorted(values.items())}


def _flat(value: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            flat.update(_flat(item, f"{prefix}.{key}"))
        else:
            flat[f"{prefix}.{key}"] = item
    return flat


def check_options_match(stored: Mapping[str, str], found: Mapping[str, str], where: str) -> None:
    """Compare digests saved with the weights with those of the config beside them.

    Raises:
        ArtifactError: Naming the options that differ.
    """
    differing = sorted(key for key in stored.keys() | found.keys() if stored.get(key) != found.get(key))
    if differing:
        raise ArtifactError(
            problem(
                where,
                f"the weights were saved with other values of {differing}",
                hint="the file was edited or damaged: get it again",
            )
        )
