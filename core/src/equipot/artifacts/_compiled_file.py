"""Compiled files ``*.equipot.pt2`` as containers of a manifest and golden frames, written and read without torch.

An AOTInductor package is a zip file with one root folder. Our members are in its subfolder ``equipot``, which torch's
loader ignores. The manifest holds the digests of all other members, and the golden frames hold a copy of the manifest:
what the file states of its model is bound to the numbers that are replayed.
"""

from __future__ import annotations

import dataclasses
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from equipot.artifacts import _archive as archive
from equipot.artifacts._encoding import canonical_json, parse_json, read_metadata
from equipot.artifacts._manifest import SUFFIXES, Manifest
from equipot.containers import leaves
from equipot.errors import ArtifactError, problem
from equipot.files import require_regular

SUFFIX = SUFFIXES["compiled"]
FOLDER = "equipot"
"""Folder of our members inside the archive's root folder."""
MANIFEST, GOLDEN = "manifest.json", "golden.safetensors"
STATED = "manifest"
"""Metadata of the golden frames: the manifest without the digests."""

_HINT = "make one with equipot compile"
_EDITED = "the file was edited or damaged: compile it again"
_FACTS = {"device": str, "torch": str, "platform": str, "cpu": str, "outputs": list}
_DEVICE = re.compile(r"[a-z]{1,16}(:[0-9]{1,3})?")


def member_names(names: Sequence[str]) -> dict[str, str]:
    """Our members of a compiled file, by base name; the root folder may have any name."""
    return {parts[2]: name for name in names if len(parts := name.split("/")) == 3 and parts[1] == FOLDER}


def stated(manifest: Manifest) -> dict[str, str]:
    """The metadata of the golden frames of a file with this manifest."""
    return {STATED: canonical_json(_facts(manifest)).decode()}


def _facts(manifest: Manifest) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(manifest).items() if key != "files"}


def add_members(path: Path, manifest: Manifest, raw_golden: bytes) -> Manifest:
    """Add manifest and golden frames to an AOTInductor package; returns the manifest with digests of all members."""
    with archive.opened(path) as file:
        names = file.namelist()
        digests = {name: archive.sha256(file.read(name)) for name in names}
    root = names[0].split("/")[0]
    golden_name = f"{root}/{FOLDER}/{GOLDEN}"
    manifest = dataclasses.replace(manifest, files={**digests, golden_name: archive.sha256(raw_golden)})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as file:
        for name, raw in ((GOLDEN, raw_golden), (MANIFEST, manifest.to_json())):
            file.writestr(zipfile.ZipInfo(f"{root}/{FOLDER}/{name}", archive.TIME), raw)
        added = member_names(file.namelist())
    if set(added) != {GOLDEN, MANIFEST}:
        raise ArtifactError(problem("compile", "torch changed the layout of its packages", got=names))
    return manifest


def read_compiled(path: str | Path) -> tuple[Manifest, bytes]:
    """Manifest and golden frames (a raw safetensors file) of a compiled file, whose code is not touched.

    Raises:
        ArtifactError: If it is not a compiled file, a member does not have the digest that the manifest states, or
            the manifest is not the one that the golden frames were made with.
    """
    path = Path(path)
    require_regular(path)
    with archive.opened(path) as members:
        names = member_names(members.namelist())
        if set(names) != {MANIFEST, GOLDEN}:
            raise ArtifactError(problem(str(path), "is not a compiled file of equipot", hint=_HINT))
        raw_manifest = archive.read_member(path, members, names[MANIFEST], archive.MAX_JSON_BYTES)
        raw_golden = archive.read_member(path, members, names[GOLDEN])
        manifest = Manifest.from_json(raw_manifest, str(path))
        bound = _bound(path, raw_golden)
        _check_members(path, members, names[MANIFEST], manifest)
    _check_facts(path, manifest)
    _check_bound(path, manifest, bound)
    return manifest, raw_golden


def _check_members(path: Path, members: zipfile.ZipFile, manifest_name: str, manifest: Manifest) -> None:
    """All members are those that the manifest lists; one after the other, since they may be large."""
    listed = set(members.namelist()) - {manifest_name}
    if differing := sorted(listed ^ manifest.files.keys()):
        what = "does not have the members that its manifest lists"
        raise ArtifactError(problem(str(path), what, got=differing[:5], hint=_EDITED))
    for name in sorted(listed):
        archive.check_digests(path, {name: archive.read_member(path, members, name)}, manifest.files)


def _check_facts(path: Path, manifest: Manifest) -> None:
    facts, place = manifest.compiled, f"{path}: manifest"
    complete = all(isinstance(facts.get(key), kind) for key, kind in _FACTS.items())
    if manifest.kind != "compiled" or not complete:
        raise ArtifactError(problem(place, "is not of a compiled file", hint=_HINT))
    if not _DEVICE.fullmatch(facts["device"]):
        raise ArtifactError(problem(f"{place}.compiled.device", "is not a device", got=facts["device"]))
    outputs = facts["outputs"]
    if not all(isinstance(name, str) for name in outputs) or len(set(outputs)) < len(outputs):
        raise ArtifactError(problem(f"{place}.compiled.outputs", "must be names, each once", got=outputs))


def _bound(path: Path, raw_golden: bytes) -> dict[str, Any]:
    """The manifest that the golden frames were made with."""
    place = f"{path}: {GOLDEN}"
    text = read_metadata(raw_golden, place).get(STATED)
    if text is None:
        what = "was compiled by an older equipot, which did not bind its manifest to its golden frames"
        raise ArtifactError(problem(str(path), what, hint="compile it again"))
    return parse_json(text.encode(), place)


def _check_bound(path: Path, manifest: Manifest, bound: dict[str, Any]) -> None:
    made, found = dict(leaves(bound)), dict(leaves(_facts(manifest)))
    if differing := sorted(key for key in made.keys() | found.keys() if made.get(key) != found.get(key)):
        key = differing[0]
        what = f"is not what the golden frames were made with ({made.get(key)!r})"
        raise ArtifactError(problem(f"{path}: manifest.{key}", what, got=found.get(key), hint=_EDITED))
