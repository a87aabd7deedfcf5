"""Files of safetensors whose head tells lies."""

from __future__ import annotations

import json
from typing import Any


def tensors(head: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A file with this head; its stated length may differ."""
    raw = head if isinstance(head, bytes) else json.dumps(head).encode()
    size = len(raw) if length is None else length
    return size.to_bytes(8, "little", signed=False) + raw + data


def _one(**changes: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F64", "shape": [2], "data_offsets": [0, 16], **changes}}


HEADERS: dict[str, bytes] = {
    "a head of 2⁶³ bytes": tensors(b"{}", length=2**63),
    "a head beyond the file": tensors(b"{}", length=10_000),
    "no head": b"",
    "half a length": b"\x01\x02",
    "a head of nothing": tensors(b""),
    "a head of a list": tensors([]),
    "a head of noise": tensors(bytes(range(256))),
    "a deep head": tensors(b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    "a head of spaces": tensors(b" " * 1_000_000),
    "the same name twice": tensors(b'{"a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]},"a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}}', bytes(16)),
    "data beyond the file": tensors(_one(data_offsets=[0, 10**12], shape=[125_000_000_000])),
    "data that go backwards": tensors(_one(data_offsets=[16, 0]), bytes(16)),
    "data with a gap": tensors(_one(data_offsets=[8, 24]), bytes(24)),
    "negative offsets": tensors(_one(data_offsets=[-16, 0]), bytes(16)),
    "a negative shape": tensors(_one(shape=[-2]), bytes(16)),
    "a shape that overflows": tensors(_one(shape=[2**32, 2**32, 2**32]), bytes(16)),
    "a shape of nothing and much": tensors(_one(shape=[0, 10**15], data_offsets=[0, 0])),
    "a shape of halves": tensors(_one(shape=[0.5]), bytes(16)),
    "a shape of another size": tensors(_one(shape=[3]), bytes(16)),
    "an unknown type": tensors(_one(dtype="PICKLE"), bytes(16)),
    "a type of a number": tensors(_one(dtype=7), bytes(16)),
    "more data than stated": tensors(_one(), bytes(1600)),
    "less data than stated": tensors(_one(), bytes(8)),
    "a type of few bits": tensors(_one(dtype="F4", shape=[32]), bytes(16)),
    "metadata of a list": tensors({"__metadata__": [1], **_one()}, bytes(16)),
    "metadata of numbers": tensors({"__metadata__": {"a": 1}, **_one()}, bytes(16)),
    "a name with escapes": tensors({"\x1b[31m\n": _one()["a"]}, bytes(16)),
}  # fmt: skip
"""Whole files, by lie."""
