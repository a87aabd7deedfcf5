"""A program as flat arrays of integers, which the interpreter (``run.cpp``) reads.

Sizes appear as their number in the table of sizes. Words of an instruction: opcode, number of words, its number in the
program, and those of its kind; see ``encode_loop`` for loops.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from equipot_kernels._program.encode_loop import BYTES, TYPES, LoopEncoder, StepFunction, bits, invalid
from equipot_kernels._program.ir import (
    Gemm,
    Kernel,
    Loop,
    Matrix,
    Program,
    Size,
    TorchCall,
)

_GEMM, _KERNEL = 1, 2
_KERNEL_ARGUMENTS = 23
_PANEL_BYTES = 512 * 4 * 64
"""What a product of matrices needs for each thread (gemm.cpp)."""

KernelFunction = Callable[[int, str], int]
"""Address of a kernel's unit."""


@dataclass(frozen=True)
class Segment:
    """Instructions that run one after another without Python."""

    begin: int
    end: int
    """Words."""


@dataclass(frozen=True)
class Encoded:
    """The arrays of a program."""

    code: np.ndarray
    phases: tuple[tuple[Segment | TorchCall, ...], tuple[Segment | TorchCall, ...]]
    size_words: np.ndarray
    sizes: dict[Size, int]
    """Their numbers in the table of sizes."""
    buffers: np.ndarray
    """[n_buffers, 3]: size, bytes of an element, place or -1."""
    places: int
    shared_bytes: int
    """Scratch memory that a run needs, and each thread of it."""
    thread_bytes: int


def encode(program: Program, step: StepFunction, kernel: KernelFunction) -> Encoded:
    """Encode a program.

    Raises:
        KernelError: If it is not valid.
    """
    encoder = _Encoder(program, step, kernel)
    phases = (encoder.phase(0), encoder.phase(1))
    buffers, places = encoder.buffers()
    sizes = encoder.sizes
    words: list[int] = []
    for size in sizes:
        words += [size.constant, len(size.factors), *[number for pair in size.factors for number in pair]]
    code = np.array(encoder.words, dtype=np.int64)
    shared, thread = encoder.shared_bytes, encoder.thread_bytes
    return Encoded(code, phases, np.array(words, dtype=np.int64), sizes, buffers, places, shared, thread)


class _Encoder:
    def __init__(self, program: Program, step: StepFunction, kernel: KernelFunction) -> None:
        self.program, self.step, self.kernel = program, step, kernel
        self.words: list[int] = []
        self.sizes: dict[Size, int] = {}
        self.shared_bytes, self.thread_bytes = 0, 0
        shapes = [each.shape for each in program.inputs] + [each.shape for each in program.outputs]
        for size in itertools.chain(*shapes):
            self.size(size)

    def size(self, size: Size) -> int:
        for symbol, _ in size.factors:
            if not 0 <= symbol < len(self.program.symbols):
                raise invalid("a size refers to a symbol that does not exist", symbol)
        return self.sizes.setdefault(size, len(self.sizes))

    def buffer(self, number: int) -> int:
        if not 0 <= number < len(self.program.buffers):
            raise invalid("no buffer has this number", number)
        return number

    def buffers(self) -> tuple[np.ndarray, int]:
        """Buffers without a place that are neither inputs nor constants get one of their own."""
        program = self.program
        fixed = {each.buffer for each in program.inputs} | set(program.constants)
        following = max(program.places.values(), default=-1) + 1
        rows = []
        for number, buffer in enumerate(program.buffers):
            place = -1 if number in fixed else program.places.get(number, following)
            following += place == following
            rows.append((self.size(buffer.size), BYTES[buffer.dtype], place))
        return np.array(rows, dtype=np.int64).reshape(-1, 3), following

    def phase(self, phase: int) -> tuple[Segment | TorchCall, ...]:
        parts: list[Segment | TorchCall] = []
        begin = len(self.words)
        for number, instruction in enumerate(self.program.instructions):
            if instruction.phase != phase:
                continue
            if isinstance(instruction, TorchCall):
                if len(self.words) > begin:
                    parts.append(Segment(begin, len(self.words)))
                parts.append(self.torch_call(instruction))
                begin = len(self.words)
            else:
                self.words += self.instruction(number, instruction)
        if len(self.words) > begin:
            parts.append(Segment(begin, len(self.words)))
        return tuple(parts)

    def torch_call(self, call: TorchCall) -> TorchCall:
        arguments = [*call.arguments, *[argument for _, argument in call.keywords]]
        while arguments:
            kind, value = arguments.pop()
            if kind == "list":
                arguments += value
            elif kind == "size":
                self.size(value)
            elif kind == "tensor":
                number, offset, shape, strides = value
                self.buffer(number)
                for size in (offset, *shape, *strides):
                    self.size(size)
        return call

    def instruction(self, number: int, instruction: Loop | Gemm | Kernel) -> list[int]:
        if isinstance(instruction, Loop):
            loop = LoopEncoder(instruction, self.program.buffers, self.size, self.step)
            words = loop.encode(number)
            self.shared_bytes = max(self.shared_bytes, loop.table_bytes)
            self.thread_bytes = max(self.thread_bytes, loop.thread_bytes)
            return words
        if isinstance(instruction, Gemm):
            self.thread_bytes = max(self.thread_bytes, _PANEL_BYTES)
        words = self.gemm(instruction) if isinstance(instruction, Gemm) else self.call(instruction)
        return [words[0], len(words) + 2, number, *words[1:]]

    def gemm(self, gemm: Gemm) -> list[int]:
        (dtype, *others) = {self.program.buffers[self.buffer(each.buffer)].dtype for each in (gemm.a, gemm.b, gemm.c)}
        if others or dtype not in ("float32", "float64"):
            raise invalid("a product of matrices needs three buffers of one floating-point type", [dtype, *others])
        sizes = [self.size(size) for size in (gemm.m, gemm.n, gemm.k, gemm.count)]
        matrices = [word for matrix in (gemm.a, gemm.b, gemm.c) for word in self.matrix(matrix)]
        return [_GEMM, TYPES[dtype], *sizes, *matrices, bits(gemm.scale, "float64"), int(gemm.add)]

    def matrix(self, matrix: Matrix) -> list[int]:
        sizes = (matrix.offset, matrix.row, matrix.column, matrix.batch)
        return [matrix.buffer, *[self.size(size) for size in sizes]]

    def call(self, call: Kernel) -> list[int]:
        if len(call.arguments) > _KERNEL_ARGUMENTS:
            raise invalid("a kernel has too many arguments", len(call.arguments))
        words = [_KERNEL, self.kernel(call.handle, call.unit), len(call.arguments)]
        for kind, value in call.arguments:
            if kind == "size":
                words += [0, self.size(value), 0, 0]
            elif kind == "buffer":
                number, offset = value
                words += [1, self.buffer(number), self.size(offset), BYTES[self.program.buffers[number].dtype]]
            elif kind == "null":
                words += [2, 0, 0, 0]
            else:
                raise invalid("a kernel's argument is a size, a buffer or null", kind)
        return words
