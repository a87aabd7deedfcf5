"""Compiled files ``*.equipot.pt2`` as containers of a manifest and golden frames, written and read without torch.

An AOTInductor package is a zip file with one root folder. Our members are in its subfolder ``equipot``, which torch's
loader ignores. The manifest holds the digests of all other members, and the golden frames hold a copy of the manifest:
what the file states of its model is bound to the numbers that are replayed. For engines without Python,
``equipot/kernels/<modifier>/<file>`` are the code of the kernels that the model calls.
"""

from __future__ import annotations

import dataclasses
import re
import zipfile
from collections.abc import Mapping, Sequence
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
METADATA = "_metadata.json"
"""End of the names of torch's own members with the metadata that its loader reads."""
KERNELS = "kernels"
"""Subfolder of the code of kernels."""
FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
"""Names of files in it."""
STATED = "manifest"
"""Metadata of the golden frames: the manifest without the digests."""

_HINT = "make one with equipot compile"
_EDITED = "the file was edited or damaged: compile it again"
_FACTS = {"device": str, "torch": str, "platform": str, "cpu": str, "outputs": list}
_DEVICE = re.compile(r"[a-z]{1,16}(:[0-9]{1,3})?")


def member_names(names: Sequence[str]) -> dict[str, str]:
    """Our members of a compiled file, by their names in our folder; the root folder may have any name."""
    return {parts[2]: name for name in names if len(parts := name.split("/", 2)) == 3 and parts[1] == FOLDER}


def kernel_member(modifier: str, file: str) -> str:
    """Name, in our folder, of a file with code of a modifier's kernels."""
    return f"{KERNELS}/{modifier}/{file}"


def stated(manifest: Manifest) -> dict[str, str]:
    """The metadata of the golden frames of a file with this manifest."""
    return {STATED: canonical_json(_facts(manifest)).decode()}


def _facts(manifest: Manifest) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(manifest).items() if key != "files"}


def add_members(
    path: Path, manifest: Manifest, raw_golden: bytes, code: Mapping[str, Mapping[str, bytes]] | None = None
) -> Manifest:
    """Add manifest, golden frames and code of kernels to an AOTInductor package.

    Args:
        path: The package.
        manifest: Without digests; it lists the code of kernels.
        raw_golden: A safetensors file.
        code: Files by name, by modifier.

    Returns:
        The manifest with the digests of all other members.
    """
    with archive.opened(path) as file:
        names = file.namelist()
        digests = {name: archive.sha256(file.read(name)) for name in names}
    root = names[0].split("/")[0]
    ours = {GOLDEN: raw_golden}
    ours |= {kernel_member(one, file): raw for one, files in (code or {}).items() for file, raw in files.items()}
    digests |= {f"{root}/{FOLDER}/{name}": archive.sha256(raw) for name, raw in ours.items()}
    manifest = dataclasses.replace(manifest, files=digests)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archived:
        for name, raw in {**ours, MANIFEST: manifest.to_json()}.items():
            archived.writestr(zipfile.ZipInfo(f"{root}/{FOLDER}/{name}", archive.TIME), raw)
        added = member_names(archived.namelist())
    if set(added) != {*ours, MANIFEST}:
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
        if not {MANIFEST, GOLDEN} <= names.keys():
            raise ArtifactError(problem(str(path), "is not a compiled file of equipot", hint=_HINT))
        raw_manifest = archive.read_member(path, members, names[MANIFEST], archive.MAX_JSON_BYTES)
        raw_golden = archive.read_member(path, members, names[GOLDEN])
        manifest = Manifest.from_json(raw_manifest, str(path))
        bound = _bound(path, raw_golden)
        _check_members(path, members, names[MANIFEST], manifest)
    _check_facts(path, manifest)
    _check_ours(path, set(names), manifest)
    check_metadata(path, manifest)
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


def _check_ours(path: Path, names: set[str], manifest: Manifest) -> None:
    """Our folder holds the code of the kernels that the manifest states, and nothing else."""
    expected = {MANIFEST, GOLDEN}
    kernels, place = manifest.compiled.get("kernels", {}), f"{path}: manifest.compiled.kernels"
    for modifier, entry in kernels.items() if isinstance(kernels, dict) else ():
        files = entry.get("files", []) if isinstance(entry, dict) else []
        if not isinstance(files, list) or not all(isinstance(one, str) and FILE_NAME.fullmatch(one) for one in files):
            raise ArtifactError(problem(f"{place}.{modifier}.files", "must be names of files", got=files))
        if files and not str(modifier).isidentifier():
            raise ArtifactError(problem(f"{place}.{modifier}", "is not the name of a modifier"))
        expected |= {kernel_member(modifier, one) for one in files}
    if differing := sorted(names ^ expected):
        what = "does not hold the code of kernels that its manifest states"
        raise ArtifactError(problem(str(path), what, got=differing[:5], hint=_EDITED))


def check_metadata(path: Path, manifest: Manifest) -> None:
    """What torch's loader tells an engine without Python is what the manifest states.

    Args:
        path: The compiled file.
        manifest: Its manifest; that of an older file states nothing.

    Raises:
        ArtifactError: Naming what differs.
    """
    expected = manifest.compiled.get("metadata", {})
    if not isinstance(expected, dict):
        raise ArtifactError(problem(f"{path}: manifest.compiled.metadata", "must be a JSON dict", got=expected))
    with archive.opened(path) as members:
        names = [name for name in members.namelist() if name.endswith(METADATA)]
        read = [parse_json(archive.read_member(path, members, name, archive.MAX_JSON_BYTES), name) for name in names]
    if expected and not read:
        raise ArtifactError(problem(str(path), "has no metadata for engines", hint="torch changed its packages"))
    for found in read:
        if differing := sorted(key for key, value in expected.items() if found.get(key) != value):
            what = f"the metadata {differing} for engines are not what the manifest states"
            raise ArtifactError(problem(str(path), what, hint=_EDITED))


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
