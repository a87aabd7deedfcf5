"""Show what is in an artifact without executing any of it: ``equipot inspect``.

Packages and compiled files are read with the standard library alone. The pickle in a checkpoint is scanned for the
names it would call before torch reads it with ``weights_only=True``.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from equipot.artifacts import _trust as trust
from equipot.artifacts._compiled_file import read_compiled
from equipot.artifacts._manifest import Manifest, kind_of
from equipot.artifacts._origins import check_plugins
from equipot.artifacts._package import checked_manifest
from equipot.errors import ArtifactError
from equipot.files import file_digest

_STORAGES = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool")
_PLAIN_GLOBALS = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch Size",
        "torch device",
        "torch.serialization _get_layout",
        *(f"torch {kind}Storage" for kind in _STORAGES),
        *(f"torch {dtype}" for dtype in _DTYPES),
    }
)
"""All names that a pickle of tensors and plain containers refers to."""


@dataclasses.dataclass(frozen=True)
class Report:
    """The findings of ``equipot inspect``."""

    file: str
    size: int
    sha256: str
    verdict: str
    """``safe``, ``needs plugins``, ``contains native code`` or ``contains unsafe pickle``."""
    advice: str
    """What to do about it."""
    manifest: Manifest | None


def inspect_file(path: str | Path) -> Report:
    """Read any artifact's manifest and judge whether the file is safe to load.

    Args:
        path: A ``.ckpt``, ``.equipot.zip`` or ``.equipot.pt2`` file.

    Raises:
        ArtifactError: If the file is damaged or of an unknown type.
    """
    path = Path(path)
    kind = kind_of(path)
    if kind == "checkpoint":
        return _checkpoint(path)
    if kind == "package":
        return _report(path, checked_manifest(path), "safe", "holds data only: no pickle, no code")
    manifest, _ = read_compiled(path)
    origin = "you built it, as the record in your cache folder says"
    if not trust.built_here(file_digest(path)):
        origin = f"{trust.folder()} has no record that you built it; load it only if you trust its source"
    return _report(path, manifest, "contains native code", origin)


def _report(path: Path, manifest: Manifest | None, verdict: str, advice: str) -> Report:
    if verdict == "safe" and manifest is not None:
        try:
            check_plugins(manifest.plugins, path.name)
        except ArtifactError as error:
            verdict, advice = "needs plugins", str(error)
    return Report(str(path), path.stat().st_size, file_digest(path), verdict, advice, manifest)


def _checkpoint(path: Path) -> Report:
    from equipot.artifacts._checkpoint import pickle_globals, read_manifest  # imports torch, the rest does not

    if unsafe := sorted(set(pickle_globals(path)) - _PLAIN_GLOBALS):
        advice = f"unpickling would call {unsafe[:5]}; equipot refuses it, and so should you"
        return _report(path, None, "contains unsafe pickle", advice)
    return _report(path, read_manifest(path), "safe", "holds a pickle of tensors and plain containers only")
