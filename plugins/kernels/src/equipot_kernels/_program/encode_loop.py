"""A loop as integers, which the interpreter (``loop.cpp``) reads.

Words: opcode, number of words, number of the instruction, axes, accesses, loads, values, items, bytes of a point's
values, cost of a point, constants, points of a block, bytes of a thread, 0; then the sizes of the axes; where each
value is kept; the accesses (buffer, type, offset, index buffer or -1, its offset, its step, value, flags; strides;
index strides); the constants (value, type, bits); and the items, five words each: (0, load), (1, store) or (address of
a function, result, three arguments).

Values are kept in slots of a block's numbers; slots are used again where a value is no longer needed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from equipot.errors import problem
from equipot_kernels._build.errors import KernelError
from equipot_kernels._program.ir import OPS, Access, Buffer, DType, Loop, Size, Step

TYPES: dict[DType, int] = {"float32": 0, "float64": 1, "int64": 2, "bool": 3}
BYTES: dict[DType, int] = {"float32": 4, "float64": 8, "int64": 8, "bool": 1}

AXES = 8
"""Most axes of a loop."""

StepFunction = Callable[[str, int, int], int]
"""Address of the function of a step: name, type of its arguments, type of its result; 0 if there is none."""

_LOOP = 0
_KEEP, _ADD, _DIRECT, _IOTA = 1, 2, 4, 8
_LOAD, _STORE = 0, 1
_COSTS = {
    **dict.fromkeys(("exp", "log", "log1p", "expm1", "tanh", "sigmoid", "div", "sqrt", "rsqrt", "reciprocal"), 4),
    **dict.fromkeys(("sin", "cos", "pow", "erf"), 16),
}
_REGISTER_BYTES = 24576
"""What the values of a block may take of the fastest cache."""
_BLOCK = (128, 1024)
"""Fewest and most points of a block."""
_LIVE_BYTES = 48
"""What a thread keeps for each access."""

_TESTS = ("lt", "le", "gt", "ge", "eq", "ne", "not")
_POWERS: dict[float, str] = {1.0: "copy", 0.5: "sqrt", -1.0: "reciprocal", -0.5: "rsqrt"}


def invalid(what: str, got: object) -> KernelError:
    """The error for a program that breaks the rules of ``ir``."""
    return KernelError(problem("program", what, got=got))


def bits(value: float, dtype: DType) -> int:
    """The bits of a number, as a signed integer."""
    if dtype == "bool":
        return int(bool(value))
    if dtype == "int64":
        return int(value)
    form = {"float32": ("<f", "<i"), "float64": ("<d", "<q")}[dtype]
    (made,) = struct.unpack(form[1], struct.pack(form[0], value))
    return int(made)


@dataclass
class _Value:
    """What a load, a constant or a step makes."""

    dtype: DType
    lasting: bool = False
    """Whether it keeps its slot during the whole loop."""
    constant: float | None = None
    load: int | None = None
    """The load that makes it, until that is done."""
    used: int = -1
    """The last item that uses it."""
    slot: int = -1
    """Where it is kept, in bytes of a point."""


class LoopEncoder:
    """Encodes one loop.

    Args:
        loop: The loop.
        buffers: Those of its program.
        size: Gives a size its number in the table of sizes.
        step: Gives the functions of steps.
    """

    def __init__(self, loop: Loop, buffers: Sequence[Buffer], size: Callable[[Size], int], step: StepFunction) -> None:
        self.loop, self.buffers, self.size, self.step = loop, buffers, size, step
        self.values: list[_Value] = []
        self.accesses: list[list[int]] = []
        self.items: list[tuple[int, int, int, int, int]] = []
        self.registers: list[int] = []
        self.made_by_step: dict[int, int] = {}
        self.table_bytes = self.thread_bytes = 0

    def encode(self, number: int) -> list[int]:
        """The words of the loop, which is instruction ``number``.

        Raises:
            KernelError: If it is not valid.
        """
        loop = self.loop
        if len(loop.shape) > AXES:
            raise invalid(f"a loop has more than {AXES} axes", len(loop.shape))
        for access in loop.loads:
            self._load(access)
        iotas = {index: self._iota(step) for index, step in enumerate(loop.steps) if step.op == "iota"}
        self.loads = len(self.accesses)
        read = {access.buffer for access in loop.loads} | {access.index for access in loop.loads}
        early: dict[int, list[int]] = {}
        late: list[int] = []
        for index, store in enumerate(loop.stores):
            self._check_store(index)
            if store.access.buffer in read:
                late.append(index)
            else:
                early.setdefault(store.register, []).append(index)
        for register in range(len(loop.loads)):
            for index in early.get(register, []):
                self._store(index)
        for index, step in enumerate(loop.steps):
            self._step(step, iotas.get(index))
            for store_index in early.get(len(self.registers) - 1, []):
                self._store(store_index)
        for index in late:
            self._store(index)
        self._stores_directly(early)
        return self._words(number)

    # -------------------------------------------------------------- accesses

    def _access(self, access: Access, value: int, flags: int) -> list[int]:
        axes, indexed = len(self.loop.shape), access.index is not None
        if len(access.strides) != axes or (indexed and len(access.index_strides) != axes):
            raise invalid("an access needs one stride for each axis of its loop", access)
        for buffer in (access.buffer, access.index if indexed else access.buffer):
            if buffer is None or not 0 <= buffer < len(self.buffers):
                raise invalid("no buffer has this number", buffer)
        if access.index is not None and self.buffers[access.index].dtype != "int64":
            raise invalid("an index must be int64", self.buffers[access.index].dtype)
        words = [access.buffer, TYPES[self.buffers[access.buffer].dtype], self.size(access.offset)]
        words += [-1 if access.index is None else access.index]
        words += [self.size(access.index_offset), self.size(access.index_stride), value, flags]
        words += [self.size(size) for size in access.strides]
        return words + ([self.size(size) for size in access.index_strides] if indexed else [0] * axes)

    def _load(self, access: Access) -> None:
        repeats = any(
            stride == Size() and size != Size(1) for stride, size in zip(access.strides, self.loop.shape, strict=False)
        )
        lasting = repeats and access.index is None
        self.registers.append(len(self.values))
        words = self._access(access, len(self.values), _KEEP if lasting else 0)
        self.values.append(_Value(self.buffers[access.buffer].dtype, lasting, load=len(self.accesses)))
        self.accesses.append(words)

    def _iota(self, step: Step) -> int:
        axes, axis = len(self.loop.shape), int(step.value)
        if not 0 <= axis < axes:
            raise invalid("iota has no such axis", axis)
        zero, one = self.size(Size()), self.size(Size(1))
        value = len(self.values)
        self.values.append(_Value("int64", load=len(self.accesses)))
        strides = [one if axis == each else zero for each in range(axes)]
        self.accesses.append([-1, TYPES["int64"], zero, -1, zero, zero, value, _IOTA, *strides, *[0] * axes])
        return value

    def _check_store(self, index: int) -> None:
        store = self.loop.stores[index]
        if not 0 <= store.register < len(self.loop.loads) + len(self.loop.steps):
            raise invalid("no register has this number", store.register)
        self.accesses.append(self._access(store.access, -1, _ADD if store.add else 0))
        if store.add and self.buffers[store.access.buffer].dtype == "bool":
            raise invalid("bool cannot be added to", store)

    # -------------------------------------------------------------- items

    def _use(self, value: int) -> int:
        made = self.values[value]
        if made.load is not None:
            self.items.append((_LOAD, made.load, 0, 0, 0))
            made.load = None
        return value

    def _store(self, index: int) -> None:
        store = self.loop.stores[index]
        value = self._use(self.registers[store.register])
        wanted = self.buffers[store.access.buffer].dtype
        if self.values[value].dtype != wanted:
            raise invalid(f"a store to {wanted} needs that type", self.values[value].dtype)
        self.accesses[self.loads + index][6] = value
        self.values[value].used = len(self.items)
        self.items.append((_STORE, index, 0, 0, 0))

    def _step(self, step: Step, iota: int | None) -> None:
        if step.op not in OPS or len(step.arguments) != OPS[step.op]:
            raise invalid("no such operation, or wrong number of arguments", step)
        if not all(0 <= register < len(self.registers) for register in step.arguments):
            raise invalid("a step uses registers that come later", step)
        if iota is not None:
            self.registers.append(iota if step.dtype == "int64" else self._do("copy", (iota,), step.dtype))
        elif step.op == "constant":
            self.registers.append(len(self.values))
            self.values.append(_Value(step.dtype, lasting=True, constant=step.value))
        else:
            arguments = tuple(self.registers[register] for register in step.arguments)
            self.registers.append(self._do(*self._simpler(step.op, arguments), step.dtype))

    def _simpler(self, op: str, arguments: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """Powers that have an operation of their own."""
        exponent = self.values[arguments[1]].constant if op == "pow" else None
        if exponent == 2:
            return "mul", (arguments[0], arguments[0])
        if exponent in _POWERS:
            return _POWERS[exponent], arguments[:1]
        return op, arguments

    def _do(self, op: str, arguments: tuple[int, ...], dtype: DType) -> int:
        types = [self.values[value].dtype for value in arguments]
        common = set(types[1:] if op == "where" else types)
        result = "bool" if op in _TESTS else dtype if op == "copy" else types[-1]
        wrong = len(common) != 1 or result != dtype or (op == "where" and types[0] != "bool")
        function = 0 if wrong else self.step(op, TYPES[types[-1]], TYPES[dtype])
        if not function:
            raise invalid(f"there is no operation {op} to {dtype} for these types", types)
        for value in arguments:
            self._use(value)
        for value in arguments:
            self.values[value].used = len(self.items)
        made = len(self.values)
        self.values.append(_Value(dtype, used=len(self.items)))
        self.made_by_step[made] = len(self.items)
        first, second, third = (*arguments, *[arguments[-1]] * (3 - len(arguments)))
        self.items.append((function, made, first, second, third))
        return made

    def _stores_directly(self, early: dict[int, list[int]]) -> None:
        """The first store of a step's result other than a sum may take it straight from the step."""
        for register, stores in early.items():
            value = self.registers[register]
            for index in stores:
                words = self.accesses[self.loads + index]
                if value in self.made_by_step and words[3] < 0 and not words[7] & _ADD:
                    words[7] |= _DIRECT
                    break

    # -------------------------------------------------------------- the words

    def _slots(self) -> int:
        """Give each value its place; returns the bytes of all at one point."""
        end, free = 0, {size: list[int]() for size in (1, 4, 8)}
        leaving: dict[int, list[_Value]] = {}
        first = {item[1]: index for index, item in enumerate(self.items) if item[0] > _STORE}
        first |= {self.accesses[item[1]][6]: index for index, item in enumerate(self.items) if item[0] == _LOAD}
        lasting = [value for value in self.values if value.lasting]
        for value in lasting:
            value.slot, end = end, end + BYTES[value.dtype]
        order = sorted(first, key=lambda number: first[number])
        for number in order:
            value, begin = self.values[number], first[number]
            for item in sorted(leaving):
                if item <= begin:
                    for gone in leaving.pop(item):
                        free[BYTES[gone.dtype]].append(gone.slot)
            if value.lasting:
                continue
            size = BYTES[value.dtype]
            if free[size]:
                value.slot = free[size].pop()
            else:
                value.slot, end = end, end + size
            leaving.setdefault(value.used, []).append(value)
        return max(end, 1)

    def _words(self, number: int) -> list[int]:
        point = self._slots()
        block = min(max(_REGISTER_BYTES // point, _BLOCK[0]), _BLOCK[1]) // 64 * 64
        constants = [
            word
            for index, value in enumerate(self.values)
            if value.constant is not None
            for word in (index, TYPES[value.dtype], bits(value.constant, value.dtype))
        ]
        cost = 1 + len(self.loop.loads) + sum(_COSTS.get(step.op, 1) for step in self.loop.steps)
        accesses, values = len(self.accesses), len(self.values)
        self.table_bytes = accesses * 16 * block
        thread = (point + 16 + 8 * accesses) * block + _LIVE_BYTES * accesses + 8 * values
        self.thread_bytes = (thread + 63) // 64 * 64
        words = [number, len(self.loop.shape), accesses, self.loads, values, len(self.items), point, cost]
        words += [len(constants) // 3, block, self.thread_bytes, 0]
        words += [self.size(size) for size in self.loop.shape]
        words += [max(value.slot, 0) for value in self.values]
        words += [word for access in self.accesses for word in access]
        words += constants
        words += [word for item in self.items for word in item]
        return [_LOOP, len(words) + 2, *words]
