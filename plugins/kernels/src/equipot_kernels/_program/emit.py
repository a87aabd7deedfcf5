"""From a schedule to instructions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equipot_kernels._program import ir
from equipot_kernels._program.fuse import Calling, Fill, Group, Loop, Product, Schedule, inlined, is_inline
from equipot_kernels._program.ir import Access, Buffer, Size, Step
from equipot_kernels._program.lower import TorchOp
from equipot_kernels._program.lower_kernels import KernelCall
from equipot_kernels._program.lower_maps import identity
from equipot_kernels._program.lower_refs import (
    CallNode,
    ConstantNode,
    InputNode,
    Load,
    Node,
    PointNode,
    View,
    row_major,
    size_of,
    strides_in,
)
from equipot_kernels._program.lower_sizes import ONE, ZERO, add, product, times


class Emitter:
    """Buffers and instructions."""

    def __init__(self, schedule: Schedule, inputs: Sequence[InputNode]) -> None:
        self.buffers: list[Buffer] = []
        self.constants: dict[int, Any] = {}
        self.instructions: list[ir.Instruction] = []
        self._numbers: dict[int, int] = {}
        for node in inputs:
            self.buffer(node)
        for groups in schedule.groups:
            for group in groups:
                self._group(group)

    def buffer(self, node: Node) -> int:
        """The number of a node's buffer."""
        if id(node) not in self._numbers:
            self._numbers[id(node)] = len(self.buffers)
            self.buffers.append(Buffer(node.dtype, node.size))
            if isinstance(node, ConstantNode):
                self.constants[self._numbers[id(node)]] = node.array
        return self._numbers[id(node)]

    def _group(self, group: Group) -> None:
        if isinstance(group, Loop):
            self.instructions.append(_LoopWriter(self, group).made())
        elif isinstance(group, Fill):
            self._fill(group)
        elif isinstance(group, Product):
            self._product(group)
        else:
            self._call(group)

    def _fill(self, group: Fill) -> None:
        node = group.target
        access = Access(self.buffer(node), ZERO, (ONE,))
        steps = (Step("constant", node.dtype, (), 0),)
        self.instructions.append(ir.Loop((node.size,), (), steps, (ir.Store(0, access),), group.phase))

    def _product(self, group: Product) -> None:
        node = group.node
        assert node.a is not None and node.b is not None  # noqa: S101, PT018 - set when made
        bases = [
            (self.buffer(node.a.node), node.a.offset),
            (self.buffer(node.b.node), node.b.offset),
            (self.buffer(group.target), group.offset),
        ]
        for call in group.calls:
            a, b, c = [
                ir.Matrix(buffer, add(base, offset), row, column, batch)
                for (buffer, base), offset, row, column, batch in zip(
                    bases, call.offsets, call.rows, call.columns, call.batches, strict=True
                )
            ]
            adds = group.add or call.add
            self.instructions.append(
                ir.Gemm(call.m, call.n, call.k, a, b, c, call.count, node.scale, adds, group.phase)
            )

    def _call(self, group: Calling) -> None:
        node = group.node
        if isinstance(node.call, KernelCall):
            self._kernel(node, node.call, group.phase)
        else:
            self._torch(node, node.call, group.phase)

    def _kernel(self, node: CallNode, call: KernelCall, phase: int) -> None:
        places = [(self.buffer(view.node), view.offset) for view in node.arguments]
        places += [(self.buffer(made), ZERO) for made in node.results]
        for unit in call.calls:
            arguments = []
            for kind, value in unit.arguments:
                if kind == "buffer":
                    number, offset = value
                    buffer, base = places[number]
                    arguments.append((kind, (buffer, add(base, offset))))
                else:
                    arguments.append((kind, value))
            self.instructions.append(ir.Kernel(unit.handle, unit.unit, tuple(arguments), phase))
        if call.checked:
            self._check(places[call.results[0] or 0][0], phase)

    def _check(self, number: int, phase: int) -> None:
        """Refuse a negative first element: taken as the number of a row, which is never negative."""
        spare = len(self.buffers)
        self.buffers.append(Buffer("int64", ONE))
        load = Access(number, ZERO, (), index=number, index_stride=ONE)
        self.instructions.append(ir.Loop((), (load,), (), (ir.Store(0, Access(spare, ZERO, ())),), phase))

    def _torch(self, node: CallNode, call: TorchOp, phase: int) -> None:
        views = [self._tensor(view) for view in node.arguments]

        def bound(argument: tuple[str, Any]) -> tuple[str, Any]:
            kind, value = argument
            if kind == "view":
                return ("tensor", views[value])
            return (kind, tuple(bound(part) for part in value)) if kind == "list" else argument

        results = tuple(self.buffer(made) for made in node.results)
        arguments = tuple(bound(part) for part in call.arguments)
        keywords = tuple((name, bound(part)) for name, part in call.keywords)
        self.instructions.append(ir.TorchCall(call.op, arguments, keywords, results, phase))

    def _tensor(self, view: View) -> tuple[int, Size, tuple[Size, ...], tuple[Size, ...]]:
        strides = tuple(dim[0][1] if dim else ONE for dim in view.dims)
        return self.buffer(view.node), view.offset, tuple(size_of(dim) for dim in view.dims), strides


class _LoopWriter:
    """One loop: numbers registers, joins axes."""

    def __init__(self, emitter: Emitter, loop: Loop) -> None:
        self._emitter, self._loop = emitter, loop
        self._loads: dict[Access, int] = {}
        self._steps: list[tuple[str, ir.DType, list[tuple[bool, int]], Any]] = []
        self._constants: dict[tuple[Any, ...], int] = {}
        self._registers: dict[int, tuple[bool, int]] = {}
        self._stores: list[tuple[tuple[bool, int], Access, bool]] = []
        self._here = {id(node) for node in loop.points}
        for node in loop.points:
            self._point(node)
        for node in loop.stored:
            steps = row_major(node.space)
            assert steps is not None  # noqa: S101 - it has a size
            access = Access(emitter.buffer(node), ZERO, self._finer(node.space, steps))
            self._stores.append((self._registers[id(node)], access, False))
        for writing in loop.writings:
            part = writing.part
            access = Access(emitter.buffer(writing.target), part.offset, self._finer(part.space, part.strides))
            if part.index is not None:
                access = self._indexed(access, part.index, part.space, part.index_stride)
            self._stores.append((self._register(part.value, part.space), access, writing.add))

    def _finer(self, space: Sequence[Size], strides: Sequence[Size]) -> tuple[Size, ...]:
        found = strides_in(space, strides, self._loop.space)
        assert found is not None  # noqa: S101 - the loop has accepted it
        return found

    def _indexed(self, access: Access, index: Load, space: Sequence[Size], stride: Size) -> Access:
        return Access(
            access.buffer,
            access.offset,
            access.strides,
            self._emitter.buffer(index.node),
            index.offset,
            self._finer(space, index.strides),
            stride,
        )

    def _register(self, load: Load, space: Sequence[Size]) -> tuple[bool, int]:
        """The register of a load: whether it is a step, and its number."""
        node = load.node
        if id(node) in self._here and id(node) in self._registers and identity(load, space):
            return self._registers[id(node)]
        if is_inline(node):
            inner = inlined(load, space)
            if inner is not None:
                return self._inline(node, inner, space)  # type: ignore[arg-type]
        return self._load(Access(self._emitter.buffer(node), load.offset, self._finer(space, load.strides)))

    def _load(self, access: Access) -> tuple[bool, int]:
        return False, self._loads.setdefault(access, len(self._loads))

    def _inline(self, node: PointNode, inner: Sequence[Load], space: Sequence[Size]) -> tuple[bool, int]:
        if node.op == "gather":
            row, index = inner
            access = Access(self._emitter.buffer(row.node), row.offset, self._finer(space, row.strides))
            return self._load(self._indexed(access, index, space, node.value))
        if node.op == "constant":
            return self._once(node)
        return self._iota(node)

    def _once(self, node: PointNode) -> tuple[bool, int]:
        key = (node.op, node.dtype, repr(node.value))
        if key not in self._constants:
            self._constants[key] = self._step(node.op, node.dtype, [], node.value)[1]
        return True, self._constants[key]

    def _iota(self, node: PointNode) -> tuple[bool, int]:
        """The index along all axes of the loop, which are one as far as this is concerned."""
        steps = row_major(self._loop.space)
        made: tuple[bool, int] | None = None
        for axis, step in enumerate(steps or ()):
            index = self._step("iota", "int64", [], axis)
            if step != ONE:
                factor = self._step("constant", "int64", [], step.constant)
                index = self._step("mul", "int64", [index, factor], 0)
            made = index if made is None else self._step("add", "int64", [made, index], 0)
        return made or self._step("constant", "int64", [], 0)

    def _step(self, op: str, dtype: ir.DType, arguments: list[tuple[bool, int]], value: Any) -> tuple[bool, int]:
        self._steps.append((op, dtype, arguments, value))
        return True, len(self._steps) - 1

    def _point(self, node: PointNode) -> None:
        if node.op == "gather":
            register = self._inline(node, node.loads, node.space)
        elif node.op == "constant":
            register = self._once(node)
        elif node.op == "iota":
            register = self._iota(node)
        else:
            arguments = [self._register(load, node.space) for load in node.loads]
            register = self._step(node.op, node.dtype, arguments, node.value)
        self._registers[id(node)] = register

    def made(self) -> ir.Loop:
        """The instruction."""
        count = len(self._loads)

        def number(register: tuple[bool, int]) -> int:
            return register[1] + count if register[0] else register[1]

        steps = tuple(
            Step(op, dtype, tuple(number(part) for part in parts), value) for op, dtype, parts, value in self._steps
        )
        stores = tuple(ir.Store(number(register), access, adds) for register, access, adds in self._stores)
        keep_axes = any(op == "iota" for op, *_ in self._steps)
        loop = ir.Loop(self._loop.space, tuple(self._loads), steps, stores, self._loop.phase)
        return loop if keep_axes else joined(loop)


def joined(loop: ir.Loop) -> ir.Loop:
    """The loop with neighbouring axes made one where all accesses go on from one to the other."""
    accesses = [*loop.loads, *(store.access for store in loop.stores)]
    columns = [access.strides for access in accesses]
    columns += [access.index_strides for access in accesses if access.index is not None]
    shape: list[Size] = []
    kept: list[list[Size]] = [[] for _ in columns]
    for axis, size in enumerate(loop.shape):
        if size == ONE:
            continue
        both = product([shape[-1], size]) if shape else None
        if both is not None and all(old[-1] == times(size, new[axis]) for old, new in zip(kept, columns, strict=True)):
            shape[-1] = both
            for old, new in zip(kept, columns, strict=True):
                old[-1] = new[axis]
            continue
        shape.append(size)
        for old, new in zip(kept, columns, strict=True):
            old.append(new[axis])
    made, rest = [], iter(kept[len(accesses) :])
    for access, strides in zip(accesses, kept, strict=False):
        index = tuple(next(rest)) if access.index is not None else ()
        made.append(
            Access(
                access.buffer,
                access.offset,
                tuple(strides),
                access.index,
                access.index_offset,
                index,
                access.index_stride,
            )
        )
    loads, stores = made[: len(loop.loads)], made[len(loop.loads) :]
    written = tuple(ir.Store(old.register, access, old.add) for old, access in zip(loop.stores, stores, strict=True))
    return ir.Loop(tuple(shape), tuple(loads), loop.steps, written, loop.phase)
