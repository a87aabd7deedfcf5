"""Checks of a program, which may come from a file: no instruction refers to what is not there.

Numbers of buffers, registers and symbols must exist, types must fit, and every access must stay inside its buffer at
any sizes from 1 on. Rows given by an index, and accesses at sizes of 0, are checked in every run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from equipot.errors import problem
from equipot_kernels._build import registry
from equipot_kernels._build.errors import KernelError
from equipot_kernels._program.ir import OPS, Access, Gemm, Kernel, Loop, Matrix, Program, Size, Step, TorchCall

_COMPARISONS = {"lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"}

_Terms = dict[tuple[int, ...], int]
"""A polynomial in the symbols: products of symbols and their factors."""


def check_program(program: Program) -> None:
    """Check a program.

    Raises:
        KernelError: If it is not valid.
    """
    _Checker(program).check()


class _Checker:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._written: set[int] = set()
        self._where = "inputs"

    def _require(self, condition: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
        if not condition:
            raise KernelError(problem(f"program: {self._where}", what))

    def check(self) -> None:
        program = self._program
        for symbol in program.symbols:
            self._require(0 <= symbol.input < len(program.inputs), "a symbol is read from an input that does not exist")
            given = program.inputs[symbol.input]
            self._require(given.phase == 0 and 0 <= symbol.axis < len(given.shape), "a symbol has no axis")
        for buffer in program.buffers:
            self._size(buffer.size)
        for given in program.inputs:
            self._full(given.buffer, given.shape)
            self._require(given.phase in (0, 1), "a phase is neither 0 nor 1")
        for number, array in program.constants.items():
            self._buffer(number)
            buffer = program.buffers[number]
            fits = Size(int(array.size)) == buffer.size and str(array.dtype) == buffer.dtype
            self._require(fits and array.flags.c_contiguous, "a constant does not fit its buffer")
        self._fixed = {given.buffer for given in program.inputs} | set(program.constants)
        last = 0
        for number, instruction in enumerate(program.instructions):
            self._where = f"instruction {number}"
            self._require(instruction.phase in (last, 1), "phases are out of order")
            last = instruction.phase
            self._instruction(instruction)
        self._where = "outputs"
        for output in program.outputs:
            self._full(output.buffer, output.shape)
            self._require(output.phase in (0, 1), "a phase is neither 0 nor 1")
        self._places()

    def _places(self) -> None:
        self._where = "places"
        count = len(self._program.places)
        for buffer, place in self._program.places.items():
            self._buffer(buffer)
            self._require(buffer not in self._fixed and 0 <= place < count, "a buffer has a wrong place")

    def _instruction(self, instruction: Any) -> None:
        if isinstance(instruction, Loop):
            self._loop(instruction)
        elif isinstance(instruction, Gemm):
            self._gemm(instruction)
        elif isinstance(instruction, Kernel):
            self._kernel(instruction)
        else:
            self._call(instruction)

    # ------------------------------------------------------------- pieces

    def _size(self, size: Size) -> None:
        numbers = [symbol for symbol, _ in size.factors]
        known = all(0 <= symbol < len(self._program.symbols) for symbol in numbers)
        self._require(known and numbers == sorted(set(numbers)), "a size has a symbol that does not exist")
        positive = size.constant >= 0 and all(factor > 0 for _, factor in size.factors)
        self._require(positive, "a size may be negative")

    def _buffer(self, number: int) -> None:
        self._require(0 <= number < len(self._program.buffers), "a buffer does not exist")

    def _full(self, number: int, shape: Sequence[Size]) -> None:
        """A buffer holds exactly a tensor of a shape."""
        self._buffer(number)
        for size in shape:
            self._size(size)
        made: _Terms = {(): 1}
        for size in shape:
            made = _product(made, _terms(size))
        self._require(made == _terms(self._program.buffers[number].size), "a tensor does not fit its buffer")

    def _target(self, number: int) -> None:
        self._buffer(number)
        self._require(number not in self._fixed, "an input or constant is written to")

    def _inside(self, number: int, offset: Size, shape: Sequence[Size], strides: Sequence[Size]) -> None:
        """All elements are in a buffer."""
        self._buffer(number)
        self._require(len(shape) == len(strides), "strides do not fit the index space")
        for size in (offset, *shape, *strides):
            self._size(size)
        rest = _difference(_terms(self._program.buffers[number].size), _terms(offset))
        rest = _difference(rest, {(): 1})
        for size, stride in zip(shape, strides, strict=True):
            rest = _difference(rest, _product(_difference(_terms(size), {(): 1}), _terms(stride)))
        empty = any(size == Size() for size in shape)
        self._require(empty or _never_negative(rest), "an access may leave its buffer")

    # ------------------------------------------------------- instructions

    def _loop(self, loop: Loop) -> None:
        for size in loop.shape:
            self._size(size)
        dtypes = [self._access(access, loop.shape) for access in loop.loads]
        for step in loop.steps:
            dtypes.append(self._step(step, dtypes, len(loop.shape)))
        for store in loop.stores:
            self._target(store.access.buffer)
            dtype = self._access(store.access, loop.shape)
            self._require(0 <= store.register < len(dtypes), "a register does not exist")
            self._require(dtypes[store.register] == dtype, "a register does not fit the buffer that it goes to")
            self._require(not (store.add and dtype == "bool"), "a bool is added to")

    def _access(self, access: Access, shape: Sequence[Size]) -> str:
        self._inside(access.buffer, access.offset, shape, access.strides)
        if access.index is not None:
            self._inside(access.index, access.index_offset, shape, access.index_strides)
            self._size(access.index_stride)
            self._require(self._program.buffers[access.index].dtype == "int64", "an index is not int64")
        return self._program.buffers[access.buffer].dtype

    def _step(self, step: Step, dtypes: Sequence[str], rank: int) -> str:
        self._require(step.op in OPS and len(step.arguments) == OPS[step.op], f"{step.op} is not an operation")
        self._require(all(0 <= part < len(dtypes) for part in step.arguments), "a register does not exist")
        given = [dtypes[part] for part in step.arguments]
        if step.op == "iota":
            self._require(isinstance(step.value, int) and 0 <= step.value < rank, "iota has no axis")
            self._require(step.dtype == "int64", "iota is not int64")
        elif step.op == "where":
            self._require(given == ["bool", step.dtype, step.dtype], "where has arguments of other types")
        elif step.op in _COMPARISONS:
            same = len(set(given)) == 1 and (step.op not in ("and", "or", "not") or given[0] == "bool")
            self._require(same and step.dtype == "bool", f"{step.op} has arguments of other types")
        elif step.op not in ("constant", "copy"):
            self._require(set(given) == {step.dtype} != {"bool"}, f"{step.op} has arguments of other types")
        return step.dtype

    def _gemm(self, gemm: Gemm) -> None:
        sizes = (gemm.m, gemm.n, gemm.k, gemm.count)
        for size in sizes:
            self._size(size)
        self._target(gemm.c.buffer)
        for matrix, rows, columns in ((gemm.a, gemm.m, gemm.k), (gemm.b, gemm.k, gemm.n), (gemm.c, gemm.m, gemm.n)):
            self._matrix(matrix, rows, columns, gemm.count)
        dtypes = {self._program.buffers[matrix.buffer].dtype for matrix in (gemm.a, gemm.b, gemm.c)}
        self._require(len(dtypes) == 1 and dtypes <= {"float32", "float64"}, "matrices have other types")

    def _matrix(self, matrix: Matrix, rows: Size, columns: Size, count: Size) -> None:
        self._inside(matrix.buffer, matrix.offset, (count, rows, columns), (matrix.batch, matrix.row, matrix.column))
        self._require(Size(1) in (matrix.row, matrix.column), "a matrix has no stride of 1")

    def _kernel(self, kernel: Kernel) -> None:
        family = registry.family_of(registry.spec_of(kernel.handle))
        self._require(kernel.unit in family.UNITS, f"there is no unit {kernel.unit}")
        wanted = list(family.UNITS[kernel.unit])
        kinds = [registry.INTEGER if kind == "size" else registry.POINTER for kind, _ in kernel.arguments]
        self._require(kinds in (wanted, wanted[:-1]), f"{kernel.unit} has other arguments")
        for kind, value in kernel.arguments:
            if kind == "size":
                self._size(value)
            elif kind == "buffer":
                self._buffer(value[0])
                self._size(value[1])
            else:
                self._require(kind == "null", "an argument is of no known kind")

    def _call(self, call: TorchCall) -> None:
        parts = call.op.split(".")
        self._require(len(parts) == 3 and parts[0] in ("aten", "equipot_kernels"), f"{call.op} is not an operation")
        try:
            op = getattr(getattr(getattr(torch.ops, parts[0]), parts[1]), parts[2])
        except AttributeError:
            self._require(condition=False, what=f"{call.op} is not an operation")
        schema = op._schema  # noqa: SLF001 - torch's own way to ask
        aliases = any(part.alias_info is not None for part in (*schema.arguments, *schema.returns))
        self._require(not aliases and len(call.results) == len(schema.returns), f"{call.op} cannot be called")
        tensors = [*_tensors(call.arguments), *_tensors(value for _, value in call.keywords)]
        self._require(bool(tensors), f"{call.op} has no tensor")
        for number, offset, shape, strides in tensors:
            self._inside(number, offset, shape, strides)
        for result in call.results:
            if result is not None:
                self._target(result)


def _tensors(arguments: Iterable[tuple[str, Any]]) -> list[Any]:
    made = []
    for kind, value in arguments:
        made += [value] if kind == "tensor" else _tensors(value) if kind == "list" else []
    return made


def _terms(size: Size) -> _Terms:
    made: _Terms = {(symbol,): factor for symbol, factor in size.factors}
    return {**made, (): size.constant} if size.constant else made


def _product(first: _Terms, second: _Terms) -> _Terms:
    made: _Terms = {}
    for one, factor in first.items():
        for other, value in second.items():
            key = tuple(sorted((*one, *other)))
            made[key] = made.get(key, 0) + factor * value
    return {key: value for key, value in made.items() if value}


def _difference(first: _Terms, second: _Terms) -> _Terms:
    made = dict(first)
    for key, value in second.items():
        made[key] = made.get(key, 0) - value
    return {key: value for key, value in made.items() if value}


def _never_negative(terms: _Terms) -> bool:
    """Whether a polynomial is ≥ 0 if every symbol is at least 1: each is written as 1 + what is left of it."""
    moved: _Terms = {}
    for key, value in terms.items():
        part: _Terms = {(): value}
        for symbol in key:
            part = _product(part, {(symbol,): 1, (): 1})
        for one, factor in part.items():
            moved[one] = moved.get(one, 0) + factor
    return all(value >= 0 for value in moved.values())
