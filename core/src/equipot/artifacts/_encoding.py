"""JSON and tensors of untrusted files as bytes, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from equipot.artifacts._schema import check_plain
from equipot.errors import ArtifactError, problem

if TYPE_CHECKING:
    import torch


def canonical_json(value: object, indent: int | None = None) -> bytes:
    """JSON with sorted keys and without NaN: equal values give equal bytes."""
    text = json.dumps(value, indent=indent, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return text.encode()


def parse_json(raw: bytes, where: str) -> dict[str, Any]:
    """Parse a JSON object from an untrusted file."""
    try:
        plain = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        what = f"is damaged: {type(error).__name__}: {error}"
        raise ArtifactError(problem(where, what, hint="get the file again")) from None
    if not isinstance(plain, dict):
        raise ArtifactError(problem(where, "must hold a JSON object", got=type(plain).__name__))
    check_plain(plain, where)
    return plain


def _refuse_constant(name: str) -> None:
    raise ValueError(f"the constant {name} is not JSON")


def read_tensors(raw: bytes, where: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Args:
        raw: The contents of the file, which need not be trusted.
        where: File named in errors.

    Returns:
        Tensors by name, on the CPU, and the text entries of its metadata.

    Raises:
        ArtifactError: If it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(raw)
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        metadata = {str(key): str(value) for key, value in header.get("__metadata__", {}).items()}
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        raise ArtifactError(problem(where, f"is damaged ({error})", hint="get the file again")) from None
    return tensors, metadata


def read_metadata(raw: bytes, where: str) -> dict[str, str]:
    """The metadata of a safetensors file, read without torch.

    Args:
        raw: The contents of the file, which need not be trusted.
        where: File named in errors.

    Raises:
        ArtifactError: If it is damaged.
    """
    metadata = parse_json(raw[8 : 8 + int.from_bytes(raw[:8], "little")], where).get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ArtifactError(problem(where, "is damaged: its metadata must be texts", hint="get the file again"))
    return metadata
