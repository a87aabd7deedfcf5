"""Show what is in an artifact without executing anything of it: ``equipot inspect``.

Packages and compiled files are read with the standard library alone. The pickle in a checkpoint is
scanned for the names it would call before torch reads it with ``weights_only=True``.
"""

from __future__ import annotations

import dataclasses
import pickletools
import zipfile
from pathlib import Path
from typing import Any

from equipot.artifacts import _archive as archive
from equipot.artifacts import _compiled_file as compiled_file
from equipot.artifacts import _package as package
from equipot.artifacts._manifest import Manifest, check_plugins
from equipot.errors import ArtifactError, problem

CHECKPOINT_SUFFIX = ".ckpt"

_PLAIN_GLOBALS = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch Size",
        "torch device",
        "torch.serialization _get_layout",
        *(
            f"torch {kind}Storage"
            for kind in ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
        ),
        *(
            f"torch {dtype}"
            for dtype in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool")
        ),
    }
)
"""All that a pickle of tensors and plain containers names."""

_MAX_PICKLE = 256 * 1024**2


@dataclasses.dataclass(frozen=True)
class Report:
    """What ``equipot inspect`` found."""

    file: str
    size: int
    sha256: str
    verdict: str
    """``safe``, ``needs plugins``, ``contains native code`` or ``contains unsafe pickle``."""
    advice: str
    """What follows from the verdict."""
    manifest: Manifest | None

    def to_dict(self) -> dict[str, Any]:
        """Plain containers."""
        return dataclasses.asdict(self)


def inspect_file(path: str | Path) -> Report:
    """Read any artifact's manifest and judge the file.

    Args:
        path: ``.ckpt``, ``.equipot.zip`` or ``.equipot.pt2``.

    Raises:
        ArtifactError: If the file is damaged, or of a kind equipot does not know.
    """
    path = Path(path)
    if path.name.endswith(package.SUFFIX):
        return _report(path, _checked_package(path), "safe", "holds data only: no pickle, no code")
    if path.name.endswith(compiled_file.SUFFIX):
        return _compiled(path)
    if path.name.endswith(CHECKPOINT_SUFFIX):
        return _checkpoint(path)
    kinds = f"{CHECKPOINT_SUFFIX}, {package.SUFFIX}, {compiled_file.SUFFIX}"
    raise ArtifactError(problem(str(path), "is of no kind that equipot knows", hint=f"known: {kinds}"))


def _report(path: Path, manifest: Manifest | None, verdict: str, advice: str) -> Report:
    if verdict == "safe" and manifest is not None:
        try:
            check_plugins(manifest.plugins, path.name)
        except ArtifactError as error:
            verdict, advice = "needs plugins", str(error)
    return Report(str(path), path.stat().st_size, archive.file_digest(path), verdict, advice, manifest)


def _checked_package(path: Path) -> Manifest:
    """The manifest of a package, all members compared with their digests."""
    manifest = package.read_manifest(path)
    with archive.opened(path) as file:
        if set(file.namelist()) != set(package.MEMBERS):
            raise ArtifactError(
                problem(str(path), f"must have the members {list(package.MEMBERS)}", got=file.namelist())
            )
        for name in package.MEMBERS[1:]:
            archive.check_digest(path, name, archive.read_member(path, file, name), manifest.files)
    return manifest


def _compiled(path: Path) -> Report:
    from equipot.artifacts._trust import built_here

    manifest, _ = compiled_file.read_compiled(path)
    local = built_here(archive.file_digest(path))
    origin = (
        "it was built on this machine"
        if local
        else "it was not built on this machine: load it only if you trust its source"
    )
    return _report(path, manifest, "contains native code", origin)


def _checkpoint(path: Path) -> Report:
    found = pickle_globals(path)
    if unsafe := sorted(set(found) - _PLAIN_GLOBALS):
        advice = f"unpickling would call {unsafe[:5]}; equipot refuses it, and so should you"
        return _report(path, None, "contains unsafe pickle", advice)
    from equipot.artifacts._checkpoint import read_manifest

    return _report(path, read_manifest(path), "safe", "holds a pickle of tensors and plain containers only")


def pickle_globals(path: Path) -> list[str]:
    """Every ``module name`` that the pickle of a checkpoint refers to, found without unpickling.

    Raises:
        ArtifactError: If the file is no checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as file:
            names = [info for info in file.infolist() if info.filename.endswith("data.pkl")]
            if len(names) != 1 or names[0].file_size > _MAX_PICKLE:
                raise ArtifactError(problem(str(path), "is no checkpoint", hint="it must hold one data.pkl"))
            operations = list(pickletools.genops(file.read(names[0])))
    except OSError as error:
        raise ArtifactError(problem(str(path), f"cannot be read: {error.strerror}")) from None
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError) as error:
        raise ArtifactError(
            problem(
                str(path),
                f"cannot be read as a checkpoint ({error})",
                hint="the file is truncated, damaged or of another kind",
            )
        ) from None
    found = [str(argument) for opcode, argument, _ in operations if opcode.name in ("GLOBAL", "INST")]
    found += [
        f"(name made at run time) {opcode.name}"
        for opcode, _, _ in operations
        if opcode.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4")
    ]
    return list(dict.fromkeys(found))
