"""Compiled files ``*.equipot.pt2`` as containers: manifest and golden frames, read without torch.

An AOTInductor package is a zip file with one root folder; ours are the members of its subfolder
``equipot``, which torch's loader passes over.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from equipot.artifacts import _archive as archive
from equipot.artifacts._manifest import Manifest
from equipot.errors import ArtifactError, problem

SUFFIX = ".equipot.pt2"
FOLDER = "equipot"
"""Folder of our members inside the archive's root folder."""
MANIFEST, GOLDEN = "manifest.json", "golden.safetensors"

_FACTS = {"device": str, "torch": str, "platform": str, "cpu": str, "outputs": list}


def member_names(names: Sequence[str]) -> dict[str, str]:
    """Our members of a compiled file, by base name; the root folder may have any name."""
    return {parts[2]: name for name in names if len(parts := name.split("/")) == 3 and parts[1] == FOLDER}


def read_compiled(path: str | Path) -> tuple[Manifest, bytes]:
    """Manifest and golden frames of a compiled file; its code is not touched.

    Args:
        path: ``.equipot.pt2``.

    Returns:
        The manifest and the raw safetensors file with the golden frames.

    Raises:
        ArtifactError: If the file is damaged or no compiled file of equipot.
    """
    path = Path(path)
    with archive.opened(path) as file:
        names = member_names(file.namelist())
        if set(names) != {MANIFEST, GOLDEN}:
            raise ArtifactError(
                problem(str(path), "is no compiled file of equipot", hint="make one with equipot compile")
            )
        raw_manifest = archive.read_member(path, file, names[MANIFEST], archive.MAX_JSON_BYTES)
        raw_golden = archive.read_member(path, file, names[GOLDEN])
    manifest = Manifest.from_json(raw_manifest, str(path))
    archive.check_digest(path, GOLDEN, raw_golden, manifest.files)
    complete = all(isinstance(manifest.compiled.get(key), kind) for key, kind in _FACTS.items())
    if manifest.kind != "compiled" or not complete:
        raise ArtifactError(
            problem(f"{path}: manifest", "is not of a compiled file", hint="make one with equipot compile")
        )
    return manifest, raw_golden
