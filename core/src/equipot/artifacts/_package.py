"""Packages ``*.equipot.zip``: manifest, config, weights and golden frames; no pickle, no code.

Members: ``manifest.json``, ``config.json``, ``weights.safetensors``, ``golden.safetensors``. The
manifest states the SHA-256 of the others; the weights carry digests of the options they belong to.
Manifests are read without torch, so what needs it is imported where it is used.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot.artifacts import _archive as archive
from equipot.artifacts._encoding import canonical_json, parse_json, read_tensors
from equipot.artifacts._fingerprints import option_digests
from equipot.artifacts._manifest import SUFFIXES, Manifest
from equipot.errors import ArtifactError, problem

if TYPE_CHECKING:
    from equipot.artifacts._golden import GoldenFrame
    from equipot.artifacts._stored import StoredModel
    from equipot.graph import Graph
    from equipot.model._graph_model import GraphModel

SUFFIX = SUFFIXES["package"]
MANIFEST, CONFIG, WEIGHTS, GOLDEN = "manifest.json", "config.json", "weights.safetensors", "golden.safetensors"
MEMBERS = (MANIFEST, CONFIG, WEIGHTS, GOLDEN)
_OPTIONS = "hyperparameters"


def write_package(
    model: GraphModel,
    path: str | Path,
    *,
    golden_inputs: Mapping[str, Graph] | None = None,
    provenance: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> Manifest:
    """Store a model as a package, atomically.

    Args:
        model: An eager model made by registered builders and modifiers; it is not changed.
        path: Ends in ``.equipot.zip``.
        golden_inputs: Named frames to store with the model's outputs; default: small random ones.
        provenance: Origin, e.g. ``{"source": "best.ckpt", "weights": "ema"}``.
        data: Hashes and census of the training data.

    Returns:
        The manifest written.

    Raises:
        ArtifactError: If the name ends otherwise, or the model cannot be stored.
    """
    from safetensors.torch import save

    from equipot.artifacts import _golden as golden
    from equipot.artifacts._stored import store

    path = checked_path(path)
    stored = store(model, "package", where=str(path), provenance=provenance, data=data, golden_inputs=golden_inputs)
    frames = golden.record(model, golden_inputs)
    options = {_OPTIONS: json.dumps(stored.manifest.hyperparameters, sort_keys=True)}
    members = {
        CONFIG: canonical_json(stored.config, indent=2),
        WEIGHTS: save(stored.state, metadata=options),
        GOLDEN: golden.to_bytes(frames),
    }
    digests = {name: archive.sha256(raw) for name, raw in members.items()}
    manifest = dataclasses.replace(stored.manifest, files=digests)
    archive.write_members(path, {MANIFEST: manifest.to_json(), **members})
    return manifest


def checked_path(path: str | Path, suffix: str = SUFFIX) -> Path:
    """The path of a file to write, if its name ends as it must.

    Args:
        path: The file.
        suffix: What its name must end in.

    Raises:
        ArtifactError: If it does not.
    """
    path = Path(path)
    if not path.name.endswith(suffix) or path.name == suffix:
        raise ArtifactError(problem(str(path), f"must end in {suffix}", hint=f"name it e.g. model{suffix}"))
    return path


def read_manifest(path: str | Path) -> Manifest:
    """The manifest of a package, with the standard library alone: neither weights nor plugins are touched.

    Args:
        path: The file, from any source.

    Returns:
        Types, cutoffs, units, plugins, provenance and all else that is known of the model.

    Raises:
        ArtifactError: If the file is not a package.
    """
    path = Path(path)
    with archive.opened(path) as file:
        raw = archive.read_member(path, file, MANIFEST, archive.MAX_JSON_BYTES)
    manifest = Manifest.from_json(raw, str(path))
    if manifest.kind != "package":
        raise ArtifactError(problem(str(path), "is not a package", got=manifest.kind))
    return manifest


def checked_manifest(path: Path) -> Manifest:
    """The manifest of a package, after all its members were compared with their digests.

    Raises:
        ArtifactError: If the file is not a package, or was edited or damaged.
    """
    manifest = read_manifest(path)
    _check_digests(path, manifest, _members(path, *MEMBERS[1:]))
    return manifest


def read_package(path: str | Path) -> StoredModel:
    """Read and check a package; no plugin is imported.

    Args:
        path: The file, from any source.

    Returns:
        The stored model; ``build()`` makes it.

    Raises:
        ArtifactError: If anything is missing, damaged, edited or too new.
    """
    from equipot.artifacts._stored import StoredModel

    path = Path(path)
    manifest = read_manifest(path)
    members = _members(path, CONFIG, WEIGHTS)
    config = parse_json(members[CONFIG], f"{path}: {CONFIG}")
    state, metadata = read_tensors(members[WEIGHTS], f"{path}: {WEIGHTS}")
    _check_options(path, manifest, config, metadata)  # before the digests, since it can name the option
    _check_digests(path, manifest, members)
    return StoredModel(where=str(path), manifest=manifest, config=config, state=state)


def read_golden(path: str | Path) -> Sequence[GoldenFrame]:
    """The golden frames of a package.

    Raises:
        ArtifactError: If they are missing or damaged.
    """
    from equipot.artifacts import _golden as golden

    path = Path(path)
    manifest, members = read_manifest(path), _members(path, GOLDEN)
    _check_digests(path, manifest, members)
    return golden.from_bytes(members[GOLDEN], f"{path}: {GOLDEN}")


def _members(path: Path, *names: str) -> dict[str, bytes]:
    """Some members of a package; it has no others than a package has."""
    with archive.opened(path) as file:
        if unknown := sorted(set(file.namelist()) - set(MEMBERS)):
            raise ArtifactError(problem(str(path), f"has the unknown members {unknown}", hint="do not use this file"))
        limits = {CONFIG: archive.MAX_JSON_BYTES}
        return {name: archive.read_member(path, file, name, limits.get(name)) for name in names}


def _check_digests(path: Path, manifest: Manifest, members: Mapping[str, bytes]) -> None:
    for name, raw in members.items():
        archive.check_digest(path, name, raw, manifest.files)


def _check_options(path: Path, manifest: Manifest, config: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """The config, the modifiers and the units are those that the weights were saved with."""
    options = parse_json(metadata.get(_OPTIONS, "{}").encode(), f"{path}: {WEIGHTS}")
    saved = {key: str(value) for key, value in options.items()}
    try:
        found = option_digests(config, manifest.modifiers, str(manifest.model.get("units")))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(problem(str(path), f"its manifest is damaged ({type(error).__name__}: {error})")) from None
    if differing := sorted(key for key in saved.keys() | found.keys() if saved.get(key) != found.get(key)):
        what = f"the weights were saved with other values of {differing}"
        raise ArtifactError(problem(f"{path}: {CONFIG}", what, hint="the file was edited or damaged: get it again"))
