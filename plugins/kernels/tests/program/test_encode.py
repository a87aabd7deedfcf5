"""Random loops against a slow executor."""

import numpy as np
import pytest

from equipot_kernels._program import ir

S = ir.Size


def random_axes(rng):
    shape = [int(rng.choice([1, 2, 3, 4, 5, 9, 16, 17, 33, 64, 130, 600, 1500])) for _ in range(rng.integers(0, 5))]
    while np.prod(shape, dtype=int) > 20000:
        shape[rng.integers(len(shape))] = int(rng.integers(1, 8))
    if rng.random() < 0.05 and shape:
        shape[rng.integers(len(shape))] = 0
    return shape


class Maker:
    """Makes loops and their buffers."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.arrays, self.written = [], []
        self.shape = random_axes(self.rng)

    def array(self, dtype, size):
        size = max(size, 0)
        if dtype == "int64":
            return self.rng.integers(-5, 6, size)
        if dtype == "bool":
            return self.rng.random(size) < 0.5
        return self.rng.normal(size=size).astype(dtype)

    def strides(self, *, distinct):
        """Strides of a part of an array whose axes may be permuted, repeated, sliced."""
        rng, shape = self.rng, self.shape
        order = rng.permutation(len(shape)) if rng.random() < 0.3 else np.arange(len(shape))
        strides, step = [0] * len(shape), 1 if rng.random() < 0.7 else int(rng.integers(1, 4))
        for axis in reversed(order):
            if not distinct and rng.random() < 0.3:
                continue
            strides[axis] = step
            step *= shape[axis]
            if rng.random() < 0.2:
                step += int(rng.integers(0, 5))
        reach = sum(stride * (size - 1) for stride, size in zip(strides, shape, strict=True) if size)
        return strides, reach + 1

    def access(self, dtype, *, distinct=False, indexed=False):
        rng = self.rng
        offset = int(rng.integers(0, 4))
        strides, reach = self.strides(distinct=distinct)
        index, index_offset, index_strides, step, rows = None, 0, (), 0, 1
        if indexed:
            step, rows = int(rng.choice([1, reach, reach + 3])), int(rng.integers(1, 9))
            index_strides, length = self.strides(distinct=False)
            if rng.random() < 0.7:
                index_strides = [stride if axis == 0 else 0 for axis, stride in enumerate(index_strides)]
            index_offset = int(rng.integers(0, 3))
            index = len(self.arrays)
            self.arrays.append(rng.integers(0, rows, length + index_offset))
        number = len(self.arrays)
        self.arrays.append(self.array(dtype, offset + reach + step * (rows - 1) + int(rng.integers(0, 3))))
        sizes = tuple(S(stride) for stride in strides)
        return ir.Access(number, S(offset), sizes, index, S(index_offset), tuple(S(s) for s in index_strides), S(step))

    def loop(self, dtype):
        rng = self.rng
        loads = [self.access(dtype, indexed=rng.random() < 0.3) for _ in range(rng.integers(1, 5))]
        loads.append(self.access("bool"))
        mask, registers, steps = len(loads) - 1, list(range(len(loads) - 1)), []
        for _ in range(rng.integers(0, 9)):
            op = str(rng.choice(["add", "sub", "mul", "neg", "maximum", "constant", "where"]))
            chosen = [int(each) for each in rng.choice(registers, 3)]
            arguments = {"constant": [], "where": [mask, *chosen[:2]], "neg": chosen[:1]}.get(op, chosen[:2])
            registers.append(len(loads) + len(steps))
            steps.append(ir.Step(op, dtype, tuple(arguments), 2))
        if rng.random() < 0.3 and self.shape:
            steps.append(ir.Step("iota", dtype, (), int(rng.integers(len(self.shape)))))
            registers.append(len(loads) + len(steps) - 1)
        stores = []
        for _ in range(rng.integers(1, 4)):
            add = rng.random() < 0.6
            access = self.access(dtype, distinct=not add, indexed=add and rng.random() < 0.4)
            self.written.append(access.buffer)
            register = registers[-1] if rng.random() < 0.6 else int(rng.choice(registers))
            stores.append(ir.Store(register, access, add))
        return ir.Loop(tuple(S(size) for size in self.shape), tuple(loads), tuple(steps), tuple(stores))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("seed", range(60))
def test_random_loop(run, slowly, dtype, seed):
    maker = Maker(seed)
    loop = maker.loop(dtype)
    found = run([loop], maker.arrays, written=maker.written)
    sizes = [np.abs(array.astype("float64")) for array in maker.arrays]
    slowly(loop, maker.arrays)
    for result, number in zip(found, maker.written, strict=True):
        scale = 1 + np.abs(maker.arrays[number]).max(initial=0) + sizes[number].max(initial=0)
        tolerance = {"float32": 3e-5, "float64": 1e-12, "int64": 0}[dtype]
        np.testing.assert_allclose(result, maker.arrays[number], rtol=tolerance, atol=tolerance * scale)
