"""Packages ``*.equipot.zip``: manifest, config, weights and golden frames, without pickle and without code.

The members are ``manifest.json``, ``config.json``, ``weights.safetensors`` and ``golden.safetensors``. The manifest
states the SHA-256 of the others; the weights carry digests of the options they belong to. Manifests are read without
torch, so the functions that need torch import it themselves.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot.artifacts import _archive as archive
from equipot.artifacts._encoding import canonical_json, parse_json, read_tensors
from equipot.artifacts._fingerprints import fingerprint, option_digests
from equipot.artifacts._manifest import SUFFIXES, Manifest
from equipot.errors import ArtifactError, problem

if TYPE_CHECKING:
    from equipot.artifacts._stored import StoredModel
    from equipot.graph import Graph
    from equipot.model._graph_model import GraphModel

SUFFIX = SUFFIXES["package"]
MANIFEST, CONFIG, WEIGHTS, GOLDEN = "manifest.json", "config.json", "weights.safetensors", "golden.safetensors"
MEMBERS = (MANIFEST, CONFIG, WEIGHTS, GOLDEN)
_OPTIONS = "hyperparameters"
_EDITED = "the file was edited or damaged: get it again"


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
        path: File to write; its name ends in ``.equipot.zip``.
        golden_inputs: Named frames to store with the model's outputs; default: small random ones.
        provenance: Origin of the model, e.g. ``{"source": "best.ckpt", "weights": "ema"}``.
        data: Hashes and census of the training data.

    Returns:
        The manifest as written.

    Raises:
        ArtifactError: If the name does not end in ``.equipot.zip``, or the model cannot be stored.
    """
    from safetensors.torch import save

    from equipot.artifacts import _golden as golden
    from equipot.artifacts._stored import store

    path = checked_path(path)
    if golden_inputs is not None:
        golden_inputs = golden.with_a_small_one(golden_inputs, model.info)
    stored = store(model, "package", where=str(path), provenance=provenance, data=data, golden_inputs=golden_inputs)
    frames = golden.record(model, golden_inputs)
    options = {_OPTIONS: json.dumps(stored.manifest.hyperparameters, sort_keys=True)}
    members = {
        CONFIG: canonical_json(stored.config, indent=2),
        WEIGHTS: save(stored.state, metadata=options),
        GOLDEN: golden.to_bytes(frames, golden.facts(stored.manifest.model)),
    }
    digests = {name: archive.sha256(raw) for name, raw in members.items()}
    manifest = dataclasses.replace(stored.manifest, files=digests)
    archive.write_members(path, {MANIFEST: manifest.to_json(), **members})
    return manifest


def checked_path(path: str | Path, suffix: str = SUFFIX) -> Path:
    """The path of a file to write, whose name must have the right suffix.

    Args:
        path: The file.
        suffix: Required end of its name.

    Raises:
        ArtifactError: If the name ends differently or is the suffix alone.
    """
    path = Path(path)
    if not path.name.endswith(suffix) or path.name == suffix:
        raise ArtifactError(problem(str(path), f"must end in {suffix}", hint=f"name it e.g. model{suffix}"))
    return path


def read_manifest(path: str | Path) -> Manifest:
    """The manifest of a package, read with the standard library alone: weights and plugins are not loaded.

    Args:
        path: The file, which need not be trusted.

    Returns:
        Types, cutoffs, units, plugins, provenance and everything else that is known about the model.

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
    """The manifest of a package, once the digests of all members were checked."""
    manifest = read_manifest(path)
    archive.check_digests(path, _members(path, *MEMBERS[1:]), manifest.files)
    return manifest


def read_package(path: str | Path) -> StoredModel:
    """Read and check a package without importing any plugin.

    Args:
        path: The file, which need not be trusted.

    Returns:
        The stored model; its ``build()`` makes the model.

    Raises:
        ArtifactError: If a part is missing, damaged, edited or too new.
    """
    from equipot.artifacts import _golden as golden
    from equipot.artifacts._stored import StoredModel

    path = Path(path)
    manifest = read_manifest(path)
    members = _members(path, *MEMBERS[1:])
    config = parse_json(members[CONFIG], f"{path}: {CONFIG}")
    state, metadata = read_tensors(members[WEIGHTS], f"{path}: {WEIGHTS}")
    digests = _checked_digests(path, manifest, config, metadata)  # before those of members, since it names the option
    archive.check_digests(path, members, manifest.files)
    if manifest.fingerprint != fingerprint(digests, state):
        what = "is not that of its options and weights"
        raise ArtifactError(problem(f"{path}: manifest.fingerprint", what, got=manifest.fingerprint, hint=_EDITED))
    where = f"{path}: {GOLDEN}"
    _check_facts(path, manifest.model, golden.made_with(members[GOLDEN], where))
    frames = golden.from_bytes(members[GOLDEN], where)
    return StoredModel(where=str(path), manifest=manifest, config=config, state=state, golden=tuple(frames))


def _members(path: Path, *names: str) -> dict[str, bytes]:
    """Some members of a package, which must not have unknown ones."""
    with archive.opened(path) as file:
        if unknown := sorted(set(file.namelist()) - set(MEMBERS)):
            raise ArtifactError(problem(str(path), f"has the unknown members {unknown}", hint="do not use this file"))
        limits = {CONFIG: archive.MAX_JSON_BYTES, GOLDEN: archive.MAX_GOLDEN_BYTES}
        return {name: archive.read_member(path, file, name, limits.get(name)) for name in names}


def _checked_digests(
    path: Path, manifest: Manifest, config: Mapping[str, Any], metadata: Mapping[str, str]
) -> dict[str, str]:
    """The digests of config, modifiers and units, which must be those with which the weights were saved."""
    saved = parse_json(metadata.get(_OPTIONS, "{}").encode(), f"{path}: {WEIGHTS}")
    found = option_digests(config, manifest.modifiers, manifest.model["units"])
    for member, others in ((WEIGHTS, saved), (MANIFEST, manifest.hyperparameters)):
        if differing := sorted(key for key in others.keys() | found.keys() if others.get(key) != found.get(key)):
            saver = "the weights were saved" if member == WEIGHTS else "the manifest was written"
            what = f"{saver} with other values of {differing}"
            raise ArtifactError(problem(f"{path}: {CONFIG}", what, hint=_EDITED))
    return found


def _check_facts(path: Path, model: Mapping[str, Any], facts: Mapping[str, Any] | None) -> None:
    """Require that the golden frames were made by a model with the same types, cutoffs and units."""
    if facts is None or facts == model:
        return
    texts = [
        f"{key} is {model.get(key)!r}, but the golden frames were made with {facts.get(key)!r}"
        for key in sorted(model.keys() | facts.keys())
        if model.get(key) != facts.get(key)
    ]
    raise ArtifactError(problem(f"{path}: manifest.model", "; ".join(texts), hint=_EDITED))
