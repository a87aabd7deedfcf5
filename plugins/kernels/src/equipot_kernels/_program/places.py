"""Memory: buffers whose lifetimes do not overlap share a place."""

from __future__ import annotations

from collections.abc import Iterator

from equipot_kernels._program.ir import Gemm, Instruction, Kernel, Loop, Program, Size, TorchCall


def buffers_of(instruction: Instruction) -> Iterator[int]:
    """Every buffer that an instruction reads or writes."""
    if isinstance(instruction, Loop):
        for access in (*instruction.loads, *(store.access for store in instruction.stores)):
            yield access.buffer
            if access.index is not None:
                yield access.index
    elif isinstance(instruction, Gemm):
        yield from (matrix.buffer for matrix in (instruction.a, instruction.b, instruction.c))
    elif isinstance(instruction, Kernel):
        yield from (value[0] for kind, value in instruction.arguments if kind == "buffer")
    else:
        yield from _of_call(instruction)


def _of_call(call: TorchCall) -> Iterator[int]:
    yield from (number for number in call.results if number is not None)
    pending = [*call.arguments, *(value for _, value in call.keywords)]
    while pending:
        kind, value = pending.pop()
        if kind == "tensor":
            yield value[0]
        elif kind == "list":
            pending += value


def places_of(program: Program) -> dict[int, int]:
    """A place for every buffer that is neither an input nor a constant.

    A buffer that phase 1 reads keeps its place from phase 0 on. Places are given to buffers of the same size first.
    """
    fixed = {given.buffer for given in program.inputs} | set(program.constants)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for number, instruction in enumerate(program.instructions):
        for buffer in buffers_of(instruction):
            first.setdefault(buffer, number)
            last[buffer] = number
    for output in program.outputs:  # copied out at the end of its phase
        end = _end(program, output.phase)
        first.setdefault(output.buffer, end)
        last[output.buffer] = max(end, last.get(output.buffer, end))
    free: list[tuple[int, tuple[str, Size]]] = []
    taken: list[tuple[int, int, int]] = []
    places: dict[int, int] = {}
    count = 0
    for buffer in sorted((b for b in first if b not in fixed), key=lambda b: (first[b], b)):
        for entry in [entry for entry in taken if entry[0] < first[buffer]]:
            taken.remove(entry)
            free.append((entry[1], _kind(program, entry[2])))
        chosen = _chosen(free, _kind(program, buffer))
        if chosen is None:
            place, count = count, count + 1
        else:
            place = free.pop(chosen)[0]
        places[buffer] = place
        taken.append((last[buffer], place, buffer))
    return places


def _end(program: Program, phase: int) -> int:
    return sum(instruction.phase <= phase for instruction in program.instructions) - 1


def _kind(program: Program, buffer: int) -> tuple[str, Size]:
    return program.buffers[buffer].dtype, program.buffers[buffer].size


def _chosen(free: list[tuple[int, tuple[str, Size]]], kind: tuple[str, Size]) -> int | None:
    """The free place whose last buffer was most like this one: of the same symbols, and of the nearest size."""
    symbols = [symbol for symbol, _ in kind[1].factors]
    best, distance = None, 0
    for number, (_, (dtype, size)) in enumerate(free):
        if [symbol for symbol, _ in size.factors] != symbols:
            continue
        off = abs(_bytes(dtype, size) - _bytes(*kind))
        if best is None or off <= distance:
            best, distance = number, off
    return best


def _bytes(dtype: str, size: Size) -> int:
    width = {"float32": 4, "float64": 8, "int64": 8, "bool": 1}[dtype]
    return width * (sum(factor for _, factor in size.factors) or size.constant)
