"""Compiled files ``*.equipot.pt2`` as containers of a manifest and golden frames, written and read without torch.

An AOTInductor package is a zip file with one root folder. Our members are in its subfolder ``equipot``, which torch's
loader ignores.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path

from equipot.artifacts import _archive as archive
from equipot.artifacts._manifest import SUFFIXES, Manifest
from equipot.errors import ArtifactError, problem

SUFFIX = SUFFIXES["compiled"]
FOLDER = "equipot"
"""Folder of our members inside the archive's root folder."""
MANIFEST, GOLDEN = "manifest.json", "golden.safetensors"

_HINT = "make one with equipot compile"
_FACTS = {"device": str, "torch": str, "platform": str, "cpu": str, "outputs": list}


def member_names(names: Sequence[str]) -> dict[str, str]:
    """Our members of a compiled file, by base name; the root folder may have any name."""
    return {parts[2]: name for name in names if len(parts := name.split("/")) == 3 and parts[1] == FOLDER}


def add_members(path: Path, manifest: Manifest, raw_golden: bytes) -> Manifest:
    """Add manifest and golden frames to an AOTInductor package; returns the manifest with digests of all members."""
    with archive.opened(path) as file:
        names = file.namelist()
        digests = {name: archive.sha256(file.read(name)) for name in names}
    root = names[0].split("/")[0]
    manifest = dataclasses.replace(manifest, files={**digests, GOLDEN: archive.sha256(raw_golden)})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as file:
        for name, raw in ((GOLDEN, raw_golden), (MANIFEST, manifest.to_json())):
            file.writestr(zipfile.ZipInfo(f"{root}/{FOLDER}/{name}", archive.TIME), raw)
        added = member_names(file.namelist())
    if set(added) != {GOLDEN, MANIFEST}:
        raise ArtifactError(problem("compile", "torch changed the layout of its packages", got=names))
    return manifest


def read_compiled(path: str | Path) -> tuple[Manifest, bytes]:
    """Manifest and golden frames (a raw safetensors file) of a compiled file, whose code is not touched."""
    path = Path(path)
    with archive.opened(path) as file:
        names = member_names(file.namelist())
        if set(names) != {MANIFEST, GOLDEN}:
            raise ArtifactError(problem(str(path), "is not a compiled file of equipot", hint=_HINT))
        raw_manifest = archive.read_member(path, file, names[MANIFEST], archive.MAX_JSON_BYTES)
        raw_golden = archive.read_member(path, file, names[GOLDEN])
    manifest = Manifest.from_json(raw_manifest, str(path))
    archive.check_digests(path, {GOLDEN: raw_golden}, manifest.files)
    complete = all(isinstance(manifest.compiled.get(key), kind) for key, kind in _FACTS.items())
    if manifest.kind != "compiled" or not complete:
        raise ArtifactError(problem(f"{path}: manifest", "is not of a compiled file", hint=_HINT))
    return manifest, raw_golden
