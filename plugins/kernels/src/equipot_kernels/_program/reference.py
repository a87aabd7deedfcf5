"""Runs a program slowly, with torch operations on whole buffers: what the interpreter is tested against."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import torch

from equipot.errors import problem
from equipot_kernels._build import registry
from equipot_kernels._build.errors import KernelError
from equipot_kernels._program.ir import Access, Gemm, Instruction, Kernel, Loop, Matrix, Program, Size, TorchCall

Tensor = torch.Tensor

_DTYPES = {"float32": torch.float32, "float64": torch.float64, "int64": torch.int64, "bool": torch.bool}

_TORCH: dict[str, Callable[..., Tensor]] = {
    "neg": torch.neg, "abs": torch.abs, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "reciprocal": torch.reciprocal,
    "exp": torch.exp, "log": torch.log, "log1p": torch.log1p, "expm1": torch.expm1, "sin": torch.sin, "cos": torch.cos,
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "erf": torch.erf, "floor": torch.floor, "sign": torch.sign,
    "not": torch.logical_not, "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "pow": torch.pow,
    "minimum": torch.minimum, "maximum": torch.maximum, "lt": torch.lt, "le": torch.le, "gt": torch.gt, "ge": torch.ge,
    "eq": torch.eq, "ne": torch.ne, "and": torch.logical_and, "or": torch.logical_or, "where": torch.where,
}  # fmt: skip


class _State:
    """Sizes and buffers of a call."""

    def __init__(self, program: Program, sizes: list[int]) -> None:
        self.program, self.sizes = program, sizes
        self.memory: dict[int, Tensor] = {}
        for number, array in program.constants.items():
            self.memory[number] = torch.from_numpy(array).reshape(-1)
        self._places: dict[int, Tensor] = {}

    def size(self, size: Size) -> int:
        return size.constant + sum(factor * self.sizes[symbol] for symbol, factor in size.factors)

    def ints(self, sizes: Sequence[Size]) -> list[int]:
        return [self.size(size) for size in sizes]

    def flat(self, number: int) -> Tensor:
        """A buffer as a flat tensor; memory is shared as the program's places say, and full of rubbish at first."""
        if number in self.memory:
            return self.memory[number]
        buffer = self.program.buffers[number]
        place = self.program.places.get(number, -1 - number)
        if place not in self._places:
            shared = [b for b in self.program.places if self.program.places[b] == place] or [number]
            most = max(8 * self.size(self.program.buffers[b].size) for b in shared)
            self._places[place] = torch.full((most,), 255, dtype=torch.uint8)
        dtype = _DTYPES[buffer.dtype]
        count = self.size(buffer.size)
        self.memory[number] = self._places[place][: count * dtype.itemsize].view(dtype)
        return self.memory[number]

    def strided(self, number: int, offset: Size, shape: Sequence[Size], strides: Sequence[Size]) -> Tensor:
        sizes = self.ints(shape)
        if 0 in sizes:
            return self.flat(number).new_empty(sizes)
        return torch.as_strided(self.flat(number), sizes, self.ints(strides), self.size(offset))


class Reference:
    """Runs a program.

    Args:
        program: What to run.
    """

    def __init__(self, program: Program) -> None:
        self._program = program

    def forward(self, inputs: Sequence[Tensor]) -> tuple[list[Tensor], Any]:
        """The results of phase 0, and what phase 1 needs."""
        given = [item for item in self._program.inputs if item.phase == 0]
        numbers = {number: tensor for (number, item), tensor in zip(
            ((n, i) for n, i in enumerate(self._program.inputs) if i.phase == 0), inputs, strict=True
        )}  # fmt: skip
        sizes = [numbers[symbol.input].shape[symbol.axis] for symbol in self._program.symbols]
        state = _State(self._program, sizes)
        self._take(state, given, inputs)
        return self._phase(state, 0), state

    def backward(self, state: Any, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The results of phase 1."""
        self._take(state, [item for item in self._program.inputs if item.phase == 1], inputs)
        return self._phase(state, 1)

    def _take(self, state: _State, items: Sequence[Any], tensors: Sequence[Tensor]) -> None:
        for item, tensor in zip(items, tensors, strict=True):
            wanted = state.ints(item.shape)
            dtype = _DTYPES[self._program.buffers[item.buffer].dtype]
            if list(tensor.shape) != wanted or tensor.dtype != dtype:
                raise KernelError(problem("program", f"needs {dtype} {wanted}", got=(tensor.dtype, list(tensor.shape))))
            state.memory[item.buffer] = tensor.detach().contiguous().reshape(-1)

    def _phase(self, state: _State, phase: int) -> list[Tensor]:
        with torch.no_grad():
            for instruction in self._program.instructions:
                if instruction.phase == phase:
                    _run(state, instruction)
            outputs = [output for output in self._program.outputs if output.phase == phase]
            return [state.flat(out.buffer).clone().reshape(state.ints(out.shape)) for out in outputs]


def _run(state: _State, instruction: Instruction) -> None:
    if isinstance(instruction, Loop):
        _loop(state, instruction)
    elif isinstance(instruction, Gemm):
        _gemm(state, instruction)
    elif isinstance(instruction, Kernel):
        _kernel(state, instruction)
    else:
        _call(state, instruction)


def _elements(state: _State, access: Access, shape: Sequence[Size]) -> Tensor:
    """Numbers of the elements that an access refers to."""
    sizes = state.ints(shape)
    where = torch.full(sizes, state.size(access.offset), dtype=torch.int64)
    for axis, stride in enumerate(state.ints(access.strides)):
        step = [1] * len(sizes)
        step[axis] = sizes[axis]
        where = where + (torch.arange(sizes[axis]) * stride).reshape(step)
    if access.index is not None:
        rows = state.strided(access.index, access.index_offset, shape, access.index_strides)
        where = where + rows * state.size(access.index_stride)
        if where.numel() and not 0 <= int(where.min()) <= int(where.max()) < state.flat(access.buffer).numel():
            raise KernelError(problem("program", "an index is out of range", got=(int(rows.min()), int(rows.max()))))
    return where


def _loaded(state: _State, access: Access, shape: Sequence[Size]) -> Tensor:
    if access.index is None:
        return state.strided(access.buffer, access.offset, shape, access.strides).clone()
    return state.flat(access.buffer)[_elements(state, access, shape)]


def _loop(state: _State, loop: Loop) -> None:
    if 0 in state.ints(loop.shape):
        return
    registers = [_loaded(state, access, loop.shape) for access in loop.loads]
    sizes = state.ints(loop.shape)
    for step in loop.steps:
        dtype = _DTYPES[step.dtype]
        if step.op == "constant":
            registers.append(torch.full(sizes, step.value, dtype=dtype))
        elif step.op == "iota":
            view = [1] * len(sizes)
            view[int(step.value)] = sizes[int(step.value)]
            registers.append(torch.arange(sizes[int(step.value)]).reshape(view).expand(sizes).to(dtype))
        elif step.op == "copy":
            registers.append(registers[step.arguments[0]].to(dtype))
        else:
            registers.append(_TORCH[step.op](*(registers[part] for part in step.arguments)))
        if registers[-1].dtype != dtype:
            raise KernelError(problem("program", f"{step.op} gives {registers[-1].dtype}", hint=f"not {dtype}"))
    for store in loop.stores:
        access, value = store.access, registers[store.register]
        if store.add:
            where = _elements(state, access, loop.shape)
            state.flat(access.buffer).index_add_(0, where.reshape(-1), value.reshape(-1))
        elif access.index is None:
            state.strided(access.buffer, access.offset, loop.shape, access.strides).copy_(value)
        else:
            state.flat(access.buffer)[_elements(state, access, loop.shape)] = value


def _gemm(state: _State, gemm: Gemm) -> None:
    m, n, k, count = state.ints((gemm.m, gemm.n, gemm.k, gemm.count))
    if 0 in (m, n, count):
        return

    def matrices(matrix: Matrix, rows: int, columns: int) -> Tensor:
        if 0 in (rows, columns):
            return torch.zeros(count, rows, columns, dtype=state.flat(gemm.c.buffer).dtype)
        strides = state.ints((matrix.batch, matrix.row, matrix.column))
        return torch.as_strided(state.flat(matrix.buffer), (count, rows, columns), strides, state.size(matrix.offset))

    made = gemm.scale * torch.bmm(matrices(gemm.a, m, k), matrices(gemm.b, k, n))
    target = matrices(gemm.c, m, n)
    if gemm.add:
        for i in range(count):
            target[i] += made[i]
    else:
        target.copy_(made)


def _kernel(state: _State, kernel: Kernel) -> None:
    given: list[Any] = []
    for kind, value in kernel.arguments:
        if kind == "buffer":
            number, offset = value
            flat = state.flat(number)
            given.append(flat.data_ptr() + state.size(offset) * flat.element_size())
        else:
            given.append(state.size(value) if kind == "size" else None)
    unit: Any = registry.function(kernel.handle, kernel.unit)
    if len(unit.argtypes) > len(given):
        given.append(ctypes.c_int64(torch.get_num_threads()))
    unit(*given)


def _call(state: _State, call: TorchCall) -> None:
    def bound(argument: tuple[str, Any]) -> Any:
        kind, value = argument
        if kind == "tensor":
            return state.strided(*value)
        if kind == "list":
            return [bound(part) for part in value]
        return state.size(value) if kind == "size" else getattr(torch, value) if kind == "dtype" else value

    namespace, name, overload = call.op.split(".")
    op = getattr(getattr(getattr(torch.ops, namespace), name), overload)
    made = op(*(bound(part) for part in call.arguments), **{key: bound(part) for key, part in call.keywords})
    for number, result in zip(call.results, [made] if isinstance(made, Tensor) else made, strict=True):
        if number is not None:
            state.flat(number).copy_(result.reshape(-1))
