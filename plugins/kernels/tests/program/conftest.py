"""Small programs written by hand, and a slow executor of loops."""

import math

import numpy as np
import pytest
import torch

from equipot_kernels._program import ir
from equipot_kernels._program.interpreter import Runner

UNARY = {
    "neg": np.negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "erf": np.vectorize(math.erf, otypes=[float]),
    "floor": np.floor,
    "sign": lambda x: (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype),
    "not": np.logical_not,
}
BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
}


def value(size, symbols):
    return size.constant + sum(symbols[symbol] * factor for symbol, factor in size.factors)


def elements(access, shape, buffers, symbols):
    points = np.indices(shape).reshape(len(shape), math.prod(shape))
    at = value(access.offset, symbols) + sum(
        value(stride, symbols) * axis for stride, axis in zip(access.strides, points, strict=True)
    )
    at = np.broadcast_to(at, math.prod(shape))
    if access.index is None:
        return at
    rows = value(access.index_offset, symbols) + sum(
        value(stride, symbols) * axis for stride, axis in zip(access.index_strides, points, strict=True)
    )
    return at + buffers[access.index][np.broadcast_to(rows, math.prod(shape))] * value(access.index_stride, symbols)


def run_slowly(loop, buffers, symbols=()):
    """Run a loop on flat numpy arrays, in place."""
    shape = tuple(value(size, symbols) for size in loop.shape)
    registers = [buffers[access.buffer][elements(access, shape, buffers, symbols)] for access in loop.loads]
    for step in loop.steps:
        arguments = [registers[number] for number in step.arguments]
        if step.op == "constant":
            made = np.full(math.prod(shape), step.value)
        elif step.op == "iota":
            made = np.indices(shape)[int(step.value)].reshape(-1)
        elif step.op == "copy":
            made = arguments[0]
        elif step.op == "where":
            made = np.where(*arguments)
        else:
            with np.errstate(all="ignore"):
                made = {**UNARY, **BINARY}[step.op](*arguments)
        registers.append(made.astype(step.dtype))
    for store in loop.stores:
        at = elements(store.access, shape, buffers, symbols)
        if store.add:
            wide = buffers[store.access.buffer].astype(
                "float64" if registers[store.register].dtype.kind == "f" else "int64"
            )
            np.add.at(wide, at, registers[store.register])
            buffers[store.access.buffer][:] = wide
        else:
            buffers[store.access.buffer][at] = registers[store.register]


@pytest.fixture(name="slowly", scope="session")
def _slowly():
    return run_slowly


@pytest.fixture(name="run", scope="session")
def _run():
    """Run instructions on arrays: those that are written are copied in before and out after."""

    def run(instructions, arrays, symbols=(), written=()):
        size = [ir.Size(array.size) for array in arrays]
        buffers = [ir.Buffer(str(array.dtype), each) for array, each in zip(arrays, size, strict=True)]
        count = len(arrays)
        buffers += [buffers[number] for number in written]
        move = {number: count + position for position, number in enumerate(written)}
        copies = [
            ir.Loop(
                (size[old],),
                (ir.Access(old, ir.Size(), (ir.Size(1),)),),
                (),
                (ir.Store(0, ir.Access(new, ir.Size(), (ir.Size(1),))),),
            )
            for old, new in move.items()
        ]
        inputs = [ir.Input(number, (each,)) for number, each in enumerate(size)]
        marks = [
            ir.Input(count + len(written) + number, (ir.Size(0, ((number, 1),)),)) for number in range(len(symbols))
        ]
        buffers += [ir.Buffer("bool", ir.Size(0, ((number, 1),))) for number in range(len(symbols))]
        program = ir.Program(
            tuple(ir.Symbol(count + number, 0) for number in range(len(symbols))),
            (*inputs, *marks),
            {},
            tuple(buffers),
            (*copies, *[moved(instruction, move) for instruction in instructions]),
            tuple(ir.Output(new, (size[old],)) for old, new in move.items()),
        )
        given = [torch.tensor(array) for array in arrays] + [torch.zeros(each, dtype=torch.bool) for each in symbols]
        return [tensor.numpy() for tensor in Runner(program).forward(given)[0]]

    return run


def moved(instruction, numbers):
    """An instruction with other buffers."""

    def change(thing):
        if isinstance(thing, ir.Access):
            index = None if thing.index is None else numbers.get(thing.index, thing.index)
            return ir.Access(
                numbers.get(thing.buffer, thing.buffer),
                thing.offset,
                thing.strides,
                index,
                thing.index_offset,
                thing.index_strides,
                thing.index_stride,
            )
        return thing

    if isinstance(instruction, ir.Loop):
        loads = tuple(change(access) for access in instruction.loads)
        stores = tuple(ir.Store(each.register, change(each.access), each.add) for each in instruction.stores)
        return ir.Loop(instruction.shape, loads, instruction.steps, stores, instruction.phase)
    if isinstance(instruction, ir.Gemm):
        a, b, c = (
            ir.Matrix(numbers.get(each.buffer, each.buffer), each.offset, each.row, each.column, each.batch)
            for each in (instruction.a, instruction.b, instruction.c)
        )
        return ir.Gemm(
            instruction.m, instruction.n, instruction.k, a, b, c, instruction.count, instruction.scale, instruction.add
        )
    return instruction
