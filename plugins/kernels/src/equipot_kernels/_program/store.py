"""Programs in files: a zip of arrays, one of which holds text, without any code."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import types
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from equipot.errors import problem
from equipot.files import atomic
from equipot_kernels._build import registry
from equipot_kernels._build.errors import KernelError
from equipot_kernels._program import ir
from equipot_kernels._program.check import check_program
from equipot_kernels._program.ir import Program, Size
from equipot_kernels._program.trace import Traced

_INSTRUCTIONS = {kind.__name__: kind for kind in (ir.Loop, ir.Gemm, ir.Kernel, ir.TorchCall)}
_HEADER = 32
"""Bytes of the digest that comes before everything else."""


def write_traced(path: Path, traced: Traced) -> None:
    """Write a program to a file, atomically.

    Args:
        path: Where.
        traced: What.

    Raises:
        ArtifactError: If the file cannot be written.
    """
    content = to_bytes(traced)
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def to_bytes(traced: Traced) -> bytes:
    """The contents of a file."""
    program = traced.program
    writer = _Writer()
    handles = {instruction.handle for instruction in program.instructions if isinstance(instruction, ir.Kernel)}
    text = {
        "specs": [registry.spec_of(handle) for handle in sorted(handles)],
        "names": [list(traced.inputs), list(traced.cotangents), list(traced.outputs), list(traced.gradients)],
        "program": [writer.plain(getattr(program, name)) for name in _PARTS],
        "instructions": [[type(part).__name__, writer.plain(part)] for part in program.instructions],
        "places": sorted(program.places.items()),
        "sizes": writer.sizes(),
    }
    arrays = {f"c{number}": array for number, array in program.constants.items()}
    arrays["text"] = np.frombuffer(json.dumps(text, separators=(",", ":")).encode(), dtype=np.uint8)
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    content = stream.getvalue()
    return hashlib.sha256(content).digest() + content


_PARTS = ("symbols", "inputs", "buffers", "outputs")


def from_bytes(content: bytes) -> Traced:
    """The program in a file's contents, which may be anything.

    Files of other versions do not come here: the key of a cache says which version wrote an entry.

    Raises:
        KernelError: If they are not a valid program that this version can run.
    """
    digest, content = content[:_HEADER], content[_HEADER:]
    if hashlib.sha256(content).digest() != digest:
        raise KernelError(problem("program", "is damaged"))
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            text = json.loads(arrays["text"].tobytes())
            constants = {int(name[1:]): arrays[name] for name in arrays.files if name != "text"}
        registry.prepare(text["specs"])
        made = _read(text, constants)
    except KernelError:
        raise
    except Exception as error:
        raise KernelError(problem("program", f"cannot be read ({type(error).__name__}: {error})")) from error
    check_program(made.program)
    return made


def _read(text: dict[str, Any], constants: dict[int, Any]) -> Traced:
    sizes = [Size(_int(constant), tuple((_int(s), _int(f)) for s, f in pairs)) for constant, pairs in text["sizes"]]
    reader = _Reader(sizes)
    hints = get_type_hints(Program)
    parts = [reader.typed(hints[name], value) for name, value in zip(_PARTS, text["program"], strict=True)]
    symbols, inputs, buffers, outputs = parts
    instructions = tuple(reader.typed(_INSTRUCTIONS[kind], value) for kind, value in text["instructions"])
    places = {_int(buffer): _int(place) for buffer, place in text["places"]}
    program = Program(symbols, inputs, constants, buffers, instructions, outputs, places)
    names = [reader.typed(tuple[str, ...], group) for group in text["names"]]
    counts = [
        sum(part.phase == 0 for part in inputs),
        sum(part.phase == 1 for part in inputs),
        sum(part.phase == 0 for part in outputs),
        sum(part.phase == 1 for part in outputs),
    ]
    if [len(group) for group in names] != counts:
        raise ValueError(counts)
    return Traced(program, *names)


def _int(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(value)
    return value


def _plain(kind: Any, value: Any) -> Any:
    """A number, a text or one of several given values."""
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(value)
        return value
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError(value)
    return value


class _Writer:
    """Dataclasses as lists, each Size as its number in a list of all."""

    def __init__(self) -> None:
        self._numbers: dict[Size, int] = {}

    def sizes(self) -> list[Any]:
        """All sizes."""
        return [[size.constant, [list(pair) for pair in size.factors]] for size in self._numbers]

    def plain(self, value: Any) -> Any:
        """A value as JSON has it."""
        if isinstance(value, Size):
            return {"size": self._numbers.setdefault(value, len(self._numbers))}
        if is_dataclass(value) and not isinstance(value, type):
            return [self.plain(getattr(value, item.name)) for item in fields(value)]
        if isinstance(value, tuple | list):
            return [self.plain(part) for part in value]
        return value


class _Reader:
    """The way back, which trusts nothing."""

    def __init__(self, sizes: list[Size]) -> None:
        self._sizes = sizes

    def typed(self, kind: Any, value: Any) -> Any:
        """A value of a type."""
        origin = get_origin(kind)
        if origin is tuple:
            made = self._tuple(get_args(kind), value)
        elif origin in (Union, types.UnionType):
            made = self._one_of(get_args(kind), value)
        elif kind is Size:
            made = self._size(value)
        elif kind is Any:
            made = self._any(value)
        elif isinstance(kind, type) and is_dataclass(kind):
            made = kind(*[self.typed(hint, part) for hint, part in zip(_hints(kind), value, strict=True)])
        else:
            made = _plain(kind, value)
        return made

    def _size(self, value: Any) -> Size:
        number = _int(value["size"])
        if number < 0:
            raise IndexError(number)
        return self._sizes[number]

    def _tuple(self, arguments: tuple[Any, ...], value: Any) -> Any:
        if not isinstance(value, list):
            raise TypeError(value)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(self.typed(arguments[0], part) for part in value)
        return tuple(self.typed(hint, part) for hint, part in zip(arguments, value, strict=True))

    def _one_of(self, arguments: tuple[Any, ...], value: Any) -> Any:
        """An optional value, or a number that may be an integer."""
        if value is None and type(None) in arguments:
            return None
        found = next((kind for kind in arguments if type(value) is kind), None)
        return value if found is not None else self.typed(arguments[0], value)

    def _any(self, value: Any) -> Any:
        """Arguments of calls: JSON values, sizes and lists of these."""
        if isinstance(value, dict):
            return self._size(value)
        return tuple(self._any(part) for part in value) if isinstance(value, list) else value


@functools.lru_cache(maxsize=32)
def _hints(kind: type) -> tuple[Any, ...]:
    known = typing.get_type_hints(kind)
    return tuple(known[item.name] for item in fields(kind))
