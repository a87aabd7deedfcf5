"""Each kind of instruction against torch and numpy."""

import itertools

import numpy as np
import pytest
import torch

from equipot_kernels._build.errors import KernelError
from equipot_kernels._build.registry import handle_of
from equipot_kernels._program import ir
from equipot_kernels._program.interpreter import Runner

S = ir.Size
ONE, N = S(1), S(0, ((0, 1),))
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, -1e-30, 1e-42, 88.0, -88.0, 104.0, 745.0, -745.5, 1e5, -3e6, 1e30]
SPECIAL += [float("inf"), -float("inf"), float("nan")]
FUNCTIONS = {
    **{name: getattr(torch, name) for name in ("neg", "abs", "sqrt", "rsqrt", "reciprocal", "exp", "log", "log1p")},
    **{name: getattr(torch, name) for name in ("expm1", "sin", "cos", "tanh", "erf", "floor", "sign")},
    "sigmoid": lambda x: torch.where(x < 0, x.exp() / (1 + x.exp()), 1 / (1 + (-x).exp())),
}
PAIRS = {
    **{name: getattr(torch, name) for name in ("add", "sub", "mul", "div", "pow", "minimum", "maximum")},
    **{name: getattr(torch, name) for name in ("lt", "le", "gt", "ge", "eq", "ne")},
}
TESTS = ("lt", "le", "gt", "ge", "eq", "ne")


def flat(buffer):
    return ir.Access(buffer, S(), (ONE,))


def pointwise(op, dtypes, result, value=0):
    """A program that applies an operation to flat inputs."""
    count = len(dtypes)
    step = ir.Step(op, result, tuple(range(count)), value)
    return ir.Program(
        (ir.Symbol(0, 0),),
        tuple(ir.Input(number, (N,)) for number in range(count)),
        {},
        (*[ir.Buffer(dtype, N) for dtype in dtypes], ir.Buffer(result, N)),
        (ir.Loop((N,), tuple(flat(number) for number in range(count)), (step,), (ir.Store(count, flat(count)),)),),
        (ir.Output(count, (N,)),),
    )


def apply(op, tensors, result):
    names = [str(tensor.dtype).removeprefix("torch.") for tensor in tensors]
    return Runner(pointwise(op, names, result)).forward(tensors)[0][0]


def ulps(found, exact):
    """Largest error in units of the last place of the result's type."""
    assert torch.equal(found.isnan(), exact.isnan())
    infinite = exact.to(found.dtype).isinf()
    assert torch.equal(found[infinite].double(), exact[infinite].to(found.dtype).double())
    usual = ~(infinite | exact.isnan())
    found, exact = found[usual], exact[usual]
    spacing = np.spacing(np.abs(exact.to(found.dtype).numpy())).astype("float64")
    return float(((found.double() - exact.double()).abs().numpy() / spacing).max(initial=0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("op", FUNCTIONS)
def test_function(op, dtype):
    generator = torch.Generator().manual_seed(0)
    sizes = torch.logspace(-12, 3, 4000, dtype=torch.float64)
    x = torch.cat([sizes, -sizes, torch.randn(3001, generator=generator, dtype=torch.float64)]).to(dtype)
    x = torch.cat([x, torch.tensor(SPECIAL, dtype=torch.float64).to(dtype)])
    found = apply(op, [x], str(dtype).removeprefix("torch."))
    exact = FUNCTIONS[op](x.double()) if dtype is torch.float32 else FUNCTIONS[op](x)
    assert ulps(found, exact) <= 3
    zeros = x == 0
    if op not in ("log", "rsqrt", "reciprocal"):
        assert torch.equal(found[zeros].signbit(), exact[zeros].signbit())


@pytest.mark.parametrize(
    ("op", "dtype"),
    [
        (op, dtype)
        for op in PAIRS
        for dtype in (torch.float32, torch.float64, torch.int64)
        if dtype.is_floating_point or op not in ("div", "pow")
    ],
)
@pytest.mark.parametrize("count", [0, 1, 15, 1000])
def test_pair(op, dtype, count):
    generator = torch.Generator().manual_seed(count)
    x, y = (torch.randn(count, generator=generator, dtype=torch.float64) for _ in range(2))
    pairs = torch.tensor(list(itertools.product(SPECIAL, SPECIAL)), dtype=torch.float64)
    if count > 1:
        x, y = torch.cat([x, pairs[:, 0]]), torch.cat([y, pairs[:, 1]])
    if dtype is torch.int64:
        x, y = (torch.randint(-5, 6, x.shape, generator=generator) for _ in range(2))
    x, y = x.to(dtype), y.to(dtype)
    result = "bool" if op in TESTS else str(dtype).removeprefix("torch.")
    found, wanted = apply(op, [x, y], result), PAIRS[op](x, y)
    torch.testing.assert_close(found, wanted, rtol=3e-7 if dtype is torch.float32 else 1e-15, atol=0, equal_nan=True)


def test_integers_are_divided_with_rounding_down():
    x, y = torch.tensor([7, -7, 7, -7, 6, -6, 5, -(2**63)]), torch.tensor([2, 2, -2, -2, 3, 3, 0, -1])
    assert apply("div", [x, y], "int64").tolist() == [3, -4, -4, 3, 2, -2, 0, -(2**63)]


@pytest.mark.parametrize(("given", "made"), list(itertools.product(["float32", "float64", "int64", "bool"], repeat=2)))
def test_conversion(given, made):
    x = torch.tensor([0.0, 1.0, -1.0, 2.7, -2.7, 100.5]).to(getattr(torch, given)).repeat(7)
    assert torch.equal(apply("copy", [x], made), x.to(getattr(torch, made)))


def test_logic():
    x, y = torch.tensor([0, 0, 1, 1] * 9, dtype=torch.bool), torch.tensor([0, 1, 0, 1] * 9, dtype=torch.bool)
    assert torch.equal(apply("and", [x, y], "bool"), x & y)
    assert torch.equal(apply("or", [x, y], "bool"), x | y)
    assert torch.equal(apply("not", [x], "bool"), ~x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1),
        (3, 5, 7),
        (0, 3, 2),
        (3, 0, 2),
        (3, 2, 0),
        (1, 64, 9),
        (40, 1, 33),
        (70, 65, 80),
        (3, 32, 96),
        (7, 130, 600),
    ],
)
@pytest.mark.parametrize("turned", list(itertools.product([False, True], repeat=3)))
def test_gemm(run, dtype, shape, turned):
    m, n, k = shape
    count, extra = 3, 2
    rng = np.random.default_rng(0)
    arrays, matrices, dense = [], [], []
    for number, (rows, columns) in enumerate([(m, k), (k, n), (m, n)]):
        whole = (columns, rows + extra) if turned[number] else (rows, columns + extra)
        array = rng.normal(size=(count, *whole)).astype(dtype)
        arrays.append(array.reshape(-1))
        part = array[:, :, : whole[1] - extra]
        dense.append(part.transpose(0, 2, 1) if turned[number] else part)
        row, column = (1, whole[1]) if turned[number] else (whole[1], 1)
        matrices.append(ir.Matrix(number, S(), S(row), S(column), S(whole[0] * whole[1])))
    for add in (False, True):
        instruction = ir.Gemm(S(m), S(n), S(k), *matrices, S(count), 0.5, add)
        (found,) = run([instruction], arrays, written=[2])
        wanted = 0.5 * dense[0].astype("float64") @ dense[1].astype("float64") + add * dense[2]
        whole = (n, m + extra) if turned[2] else (m, n + extra)
        part = found.reshape(count, *whole)[:, :, : whole[1] - extra]
        part = part.transpose(0, 2, 1) if turned[2] else part
        np.testing.assert_allclose(part, wanted, atol={"float32": 1e-4, "float64": 1e-12}[dtype])
        rest = found.reshape(count, *whole)[:, :, whole[1] - extra :]
        np.testing.assert_array_equal(rest, arrays[2].reshape(count, *whole)[:, :, whole[1] - extra :])


@pytest.mark.parametrize("wrong", [-1, 4, 2**40, -(2**62)])
@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize("width", [1, 3])
def test_wrong_index(run, wrong, store, width):
    index = np.array([0, 3, wrong, 1])
    rows, dense = np.zeros(4 * width), np.ones(4 * width)
    shape, strides = (S(4), S(width)), (S(width), ONE)
    gathered = ir.Access(1, S(), (S(), ONE), 0, S(), (ONE, S()), S(width))
    direct = ir.Access(2, S(), strides)
    load, target = (direct, gathered) if store else (gathered, direct)
    for add in (False, True):
        loop = ir.Loop(shape, (load,), (), (ir.Store(0, target, add),))
        message = rf"program, instruction 1 \(Loop\): an index must be from 0 to 3, got {wrong}"
        with pytest.raises(KernelError, match=message):
            run([loop], [index, rows, dense], written=[target.buffer])


def test_damaged_program(run):
    loop = ir.Loop((S(5),), (flat(0),), (), (ir.Store(0, flat(1)),))
    for sizes in ((4, 5), (5, 4)):
        with pytest.raises(KernelError, match="it would leave its buffers"):
            run([loop], [np.zeros(size) for size in sizes], written=[1])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (ir.Step("sqrt", "int64", (0,)), "there is no operation sqrt to int64"),
        (ir.Step("magic", "float64", (0,)), "no such operation"),
        (ir.Step("add", "float64", (0,)), "wrong number of arguments"),
        (ir.Step("add", "float64", (0, 1)), "registers that come later"),
        (ir.Step("add", "float32", (0, 0)), "there is no operation add to float32"),
        (ir.Step("iota", "int64", (), 1), "iota has no such axis"),
    ],
)
def test_invalid_step(run, step, message):
    with pytest.raises(KernelError, match=message):
        run([ir.Loop((S(5),), (flat(0),), (step,), ())], [np.zeros(5)])


def test_kernel_call():
    """The spline kernel's unit evaluate on a table [2, 4, 3]."""
    handle = handle_of({"family": "spline", "dtype": "float64", "channels": 3})
    buffers = ["float64", "int64", "float64", "float64"]
    sizes = [S(24), N, N, S(0, ((0, 3),))]
    arguments = [("size", N), *[("buffer", (number, S())) for number in range(3)], ("null", None), ("buffer", (3, S()))]
    program = ir.Program(
        (ir.Symbol(1, 0),),
        (ir.Input(0, (S(2), S(4), S(3))), ir.Input(1, (N,)), ir.Input(2, (N,))),
        {},
        tuple(ir.Buffer(dtype, size) for dtype, size in zip(buffers, sizes, strict=True)),
        (ir.Kernel(handle, "evaluate", (*arguments, ("size", S()))),),
        (ir.Output(3, (N, S(3))),),
    )
    table, rows = torch.randn(2, 4, 3, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1])
    places = torch.rand(5, dtype=torch.float64)
    powers = places[:, None] ** torch.arange(4)
    (found,), _ = Runner(program).forward([table, rows, places])
    torch.testing.assert_close(found, torch.einsum("eq,eqc->ec", powers, table[rows]))
