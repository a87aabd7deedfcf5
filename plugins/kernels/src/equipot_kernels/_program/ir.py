"""The instructions of a program.

A program works on *buffers*: flat arrays of one data type. Sizes, offsets and strides are counted in elements and may
depend on the sizes of a call, so one program serves any number of atoms, edges and frames. Views cost nothing: an
instruction reads and writes its buffers through offsets and strides.

A program for training has two phases: phase 0 computes the model's outputs, phase 1, which runs in the backward pass,
the gradients of its parameters from the cotangents of these outputs. Buffers keep their contents between the phases.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

DType = Literal["float32", "float64", "int64", "bool"]
"""Type of a buffer's elements; ``bool`` is one byte."""


@dataclass(frozen=True)
class Size:
    """A number that depends linearly on the sizes of a call: constant + Σ factor·symbol."""

    constant: int = 0
    factors: tuple[tuple[int, int], ...] = ()
    """Pairs of symbol (index in ``Program.symbols``) and factor, ascending, without zeros."""


@dataclass(frozen=True)
class Symbol:
    """A size that differs between calls, read from the shape of an input."""

    input: int
    """Index in ``Program.inputs``."""
    axis: int


@dataclass(frozen=True)
class Buffer:
    """A flat array. Inputs and constants are read only."""

    dtype: DType
    size: Size


@dataclass(frozen=True)
class Access:
    """Which element of a buffer each point of an instruction's index space refers to.

    The point (i₀, i₁, …) refers to element ``offset + Σ strides[d]·i_d``, plus ``index[…]·index_stride`` if there is
    an index buffer; its element is found in the same way from ``index_offset`` and ``index_strides``.
    """

    buffer: int
    offset: Size
    strides: tuple[Size, ...]
    """One for each axis of the index space; 0 along axes that the element does not depend on."""
    index: int | None = None
    """An int64 buffer of row numbers, for gathering (loads) and scattering (stores)."""
    index_offset: Size = Size()
    index_strides: tuple[Size, ...] = ()
    index_stride: Size = Size()
    """Elements from one row to the next."""


@dataclass(frozen=True)
class Step:
    """One arithmetic operation on registers: the result gets the next number."""

    op: str
    """A key of ``OPS``."""
    dtype: DType
    """Type of the result."""
    arguments: tuple[int, ...] = ()
    """Registers."""
    value: float | int = 0
    """For ``constant``: its value; for ``iota``: the axis whose index it gives."""


@dataclass(frozen=True)
class Store:
    """Where a register goes."""

    register: int
    access: Access
    add: bool = False
    """Whether to add to what is there. Then several points may refer to the same element, through strides of 0 (a sum
    over these axes) or through an index (a sum by rows); the buffer must have been set before."""


@dataclass(frozen=True)
class Loop:
    """Arithmetic at every point of an index space, row-major.

    Registers are numbered: loads first, then the steps.
    """

    shape: tuple[Size, ...]
    loads: tuple[Access, ...]
    steps: tuple[Step, ...]
    stores: tuple[Store, ...]
    phase: int = 0


@dataclass(frozen=True)
class Matrix:
    """A matrix, or a batch of them, within a buffer."""

    buffer: int
    offset: Size
    row: Size
    """Elements from one row to the next; row or column stride is 1."""
    column: Size
    batch: Size = Size()
    """Elements from one matrix of a batch to the next; 0: the same for all."""


@dataclass(frozen=True)
class Gemm:
    """c = scale·a·b (added to c if ``add``), for a [m, k], b [k, n], ``count`` times along the batch."""

    m: Size
    n: Size
    k: Size
    a: Matrix
    b: Matrix
    c: Matrix
    count: Size = Size(1)
    scale: float = 1.0
    add: bool = False
    phase: int = 0


@dataclass(frozen=True)
class Kernel:
    """A call of a compiled unit (see ``equipot_kernels._build.registry``)."""

    handle: int
    unit: str
    arguments: tuple[tuple[str, Any], ...]
    """In the unit's order, without the number of threads, which comes last: ``("size", Size)`` for an integer,
    ``("buffer", (number, offset Size))`` for an address, ``("null", None)``."""
    phase: int = 0


@dataclass(frozen=True)
class TorchCall:
    """A call of a torch operation that has no instruction of its own: slow, but any operation can be part of a program.

    Arguments are ``("tensor", (buffer, offset, shape, strides))`` with Sizes, ``("size", Size)`` and ``("value", any
    JSON value)``, ``("dtype", name)``, ``("list", tuple of arguments)``. Results are copied into contiguous buffers.
    """

    op: str
    """As in torch.ops, for example ``aten.sort.default``."""
    arguments: tuple[tuple[str, Any], ...]
    keywords: tuple[tuple[str, tuple[str, Any]], ...] = ()
    results: tuple[int | None, ...] = ()
    """Buffers of its results, None for one that nothing uses."""
    phase: int = 0


Instruction = Loop | Gemm | Kernel | TorchCall


@dataclass(frozen=True)
class Input:
    """An argument of a program: a contiguous tensor."""

    buffer: int
    shape: tuple[Size, ...]
    phase: int = 0


@dataclass(frozen=True)
class Output:
    """A result: a contiguous tensor, copied out of its buffer."""

    buffer: int
    shape: tuple[Size, ...]
    phase: int = 0


@dataclass(frozen=True)
class Program:
    """Everything that is needed to run."""

    symbols: tuple[Symbol, ...]
    inputs: tuple[Input, ...]
    constants: dict[int, Any]
    """Buffer number to numpy array."""
    buffers: tuple[Buffer, ...]
    instructions: tuple[Instruction, ...]
    """Those of phase 0 first."""
    outputs: tuple[Output, ...]
    places: dict[int, int] = field(default_factory=dict)
    """Buffer number to place in memory: buffers whose lifetimes do not overlap share a place. Inputs and constants have
    none."""


OPS: dict[str, int] = {
    "constant": 0,
    "iota": 0,
    "copy": 1,  # with conversion to the result's type
    "neg": 1,
    "abs": 1,
    "sqrt": 1,
    "rsqrt": 1,
    "reciprocal": 1,
    "exp": 1,
    "log": 1,
    "log1p": 1,
    "expm1": 1,
    "sin": 1,
    "cos": 1,
    "tanh": 1,
    "sigmoid": 1,
    "erf": 1,
    "floor": 1,
    "sign": 1,
    "not": 1,
    "add": 2,
    "sub": 2,
    "mul": 2,
    "div": 2,
    "pow": 2,
    "minimum": 2,
    "maximum": 2,
    "lt": 2,
    "le": 2,
    "gt": 2,
    "ge": 2,
    "eq": 2,
    "ne": 2,
    "and": 2,
    "or": 2,
    "where": 3,
}
"""Operations of steps and their numbers of arguments. Comparisons give ``bool``; arguments have one common type, except
for ``copy`` and the first of ``where``. They follow IEEE 754: NaN and infinities go through as in torch."""
