"""Runners: inputs, phases, memory, threads, torch calls."""

import concurrent.futures

import numpy as np
import pytest
import torch

from equipot_kernels._build.errors import KernelError
from equipot_kernels._program import interpreter, ir
from equipot_kernels._program.interpreter import Runner

S = ir.Size
ONE, N, NC = S(1), S(0, ((0, 1),)), S(0, ((0, 4),))


def flat(buffer):
    return ir.Access(buffer, S(), (ONE,))


def two_phases():
    """y = exp(x) weighted by a constant [4], in phase 0; gradient g·y in phase 1; and sorted columns, by torch."""
    rows = (S(4), ONE)
    return ir.Program(
        symbols=(ir.Symbol(0, 0),),
        inputs=(ir.Input(0, (N, S(4))), ir.Input(1, (N, S(4)), 1)),
        constants={2: np.array([1.0, 2.0, 3.0, 4.0])},
        buffers=(*[ir.Buffer("float64", NC)] * 2, ir.Buffer("float64", S(4)), *[ir.Buffer("float64", NC)] * 3),
        instructions=(
            ir.Loop(
                (N, S(4)),
                (ir.Access(0, S(), rows), ir.Access(2, S(), (S(), ONE))),
                (ir.Step("exp", "float64", (0,)), ir.Step("mul", "float64", (1, 2))),
                (ir.Store(3, ir.Access(3, S(), rows)),),
            ),
            ir.TorchCall(
                "aten.sort.default",
                (("tensor", (3, S(), (N, S(4)), (S(4), ONE))), ("value", 0), ("value", True)),
                results=(4, None),
            ),
            ir.Loop(
                (NC,),
                (flat(1), flat(3)),
                (ir.Step("mul", "float64", (0, 1)),),
                (ir.Store(2, flat(5)),),
                phase=1,
            ),
        ),
        outputs=(ir.Output(3, (N, S(4))), ir.Output(4, (N, S(4))), ir.Output(5, (N, S(4)), 1)),
    )


@pytest.fixture(name="runner", scope="module")
def _runner(kernel_folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQUIPOT_CACHE_DIR", str(kernel_folder))
        return Runner(two_phases())


def check(runner, count):
    x, g = (torch.randn(count, 4, dtype=torch.float64) for _ in range(2))
    (y, ordered), state = runner.forward([x])
    wanted = x.exp() * torch.arange(1, 5)
    torch.testing.assert_close(y, wanted)
    torch.testing.assert_close(ordered, wanted.sort(0, descending=True).values)
    (gradient,) = runner.backward(state, [g])
    torch.testing.assert_close(gradient, g * wanted)
    return state


@pytest.mark.parametrize("count", [0, 1, 7, 3000])
def test_phases(runner, count):
    check(runner, count)


def test_states_are_independent(runner):
    x, other = torch.randn(2, 3, 4, dtype=torch.float64)
    (y, _), state = runner.forward([x])
    runner.forward([other])
    (gradient,) = runner.backward(state, [torch.ones_like(x)])
    torch.testing.assert_close(gradient, y)


def test_gradients_of_two_steps_do_not_share_memory(runner):
    x, g = torch.randn(2, 3, 4, dtype=torch.float64)
    (y, _), state = runner.forward([x])
    (first,) = runner.backward(state, [g])
    _, state = runner.forward([2 * x])
    (second,) = runner.backward(state, [g])
    torch.testing.assert_close(first, g * y)
    assert first.data_ptr() != second.data_ptr()


def test_a_gradient_that_phase_0_has_begun(kernel_folder, monkeypatch):
    """Its buffer stays where it is between the phases."""
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(kernel_folder))
    begun = ir.Loop((N,), (), (ir.Step("constant", "float64", (), 2.0),), (ir.Store(0, flat(2)),))
    added = ir.Loop((N,), (flat(1),), (), (ir.Store(0, flat(2), add=True),), phase=1)
    program = ir.Program(
        symbols=(ir.Symbol(0, 0),),
        inputs=(ir.Input(0, (N,)), ir.Input(1, (N,), 1)),
        constants={},
        buffers=(ir.Buffer("float64", N),) * 3,
        instructions=(begun, added),
        outputs=(ir.Output(2, (N,), 1),),
    )
    _, state = (made := Runner(program)).forward([torch.zeros(5, dtype=torch.float64)])
    (gradient,) = made.backward(state, [torch.arange(5.0, dtype=torch.float64)])
    assert gradient.tolist() == [2.0, 3.0, 4.0, 5.0, 6.0]


def test_a_state_is_used_once(runner):
    state = check(runner, 2)
    with pytest.raises(KernelError, match="a state can be used by one backward run; run forward again"):
        runner.backward(state, [torch.zeros(2, 4, dtype=torch.float64)])


def test_memory_returns(runner):
    for _ in range(5):
        runner.forward([torch.randn(50, 4, dtype=torch.float64)])
        check(runner, 50)
    assert 1 <= len(runner._arenas) <= interpreter._SPARE


def test_several_threads_at_once(runner):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda count: check(runner, count), list(range(40)) * 3))


def test_inputs_need_not_be_contiguous(runner):
    x = torch.randn(4, 6, dtype=torch.float64).T
    (y, _), _ = runner.forward([x])
    torch.testing.assert_close(y, x.exp() * torch.arange(1, 5))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "needs 1 inputs, got 0"),
        ([torch.zeros(3, 4)], r"input 0 must be torch.float64 on the CPU, got \(torch.float32"),
        ([torch.zeros(3, 5, dtype=torch.float64)], r"input 0 must have the shape \[3, 4\].*, got \[3, 5\]"),
        ([torch.zeros(12, dtype=torch.float64)], "input 0 must have 2 axes, got 1"),
        ([torch.zeros((), dtype=torch.float64)], "input 0 must have 2 axes, got 0"),
    ],
)
def test_wrong_inputs(runner, inputs, message):
    with pytest.raises(KernelError, match=message):
        runner.forward(inputs)


def test_wrong_cotangents(runner):
    _, state = runner.forward([torch.zeros(3, 4, dtype=torch.float64)])
    with pytest.raises(KernelError, match=r"input 0 must have the shape \[3, 4\]"):
        runner.backward(state, [torch.zeros(2, 4, dtype=torch.float64)])


def test_shared_places():
    """Two buffers that follow one another in the same memory."""
    add = ir.Step("add", "float32", (0, 0))
    program = ir.Program(
        (ir.Symbol(0, 0),),
        (ir.Input(0, (N,)),),
        {},
        (ir.Buffer("float32", N),) * 4,
        tuple(ir.Loop((N,), (flat(number),), (add,), (ir.Store(1, flat(number + 1)),)) for number in range(3)),
        (ir.Output(3, (N,)),),
        {1: 0, 2: 1, 3: 0},
    )
    runner = Runner(program)
    assert runner.encoded.places == 2
    assert runner.forward([torch.ones(9)])[0][0].tolist() == [8.0] * 9


def sums(threads):
    """Sums of [n, 40] float32 over each axis, over both, and a product, by one loop."""
    n40, rows = S(0, ((0, 40),)), (S(40), ONE)
    program = ir.Program(
        (ir.Symbol(0, 0),),
        (ir.Input(0, (N, S(40))), ir.Input(1, (S(40),)), ir.Input(2, (N,)), ir.Input(3, (ONE,))),
        {},
        (
            *(ir.Buffer("float32", size) for size in (n40, S(40), N, ONE)),
            *(ir.Buffer("float32", size) for size in (S(40), N, ONE, n40)),
        ),
        (
            *(
                ir.Loop((size,), (flat(old),), (), (ir.Store(0, flat(old + 3)),))
                for old, size in ((1, S(40)), (2, N), (3, ONE))
            ),
            ir.Loop(
                (N, S(40)),
                (ir.Access(0, S(), rows),),
                (ir.Step("mul", "float32", (0, 0)),),
                (
                    ir.Store(0, ir.Access(4, S(), (S(), ONE)), add=True),
                    ir.Store(0, ir.Access(7, S(), rows)),
                    ir.Store(1, ir.Access(6, S(), (S(), S())), add=True),
                ),
            ),
            ir.Loop(
                (N, S(40)), (ir.Access(0, S(), rows),), (), (ir.Store(0, ir.Access(5, S(), (ONE, S())), add=True),)
            ),
        ),
        tuple(ir.Output(number, (size,)) for number, size in ((4, S(40)), (5, N), (6, ONE), (7, n40))),
    )
    x = torch.randn(20011, 40, generator=torch.Generator().manual_seed(1))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        runs = [Runner(program).forward([x, torch.ones(40), torch.ones(20011), torch.ones(1)])[0] for _ in range(3)]
    finally:
        torch.set_num_threads(before)
    for again in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], again, strict=True))
    return x, runs[0]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_sums_are_accurate_and_reproducible(threads):
    x, (columns, rows, square, copied) = sums(threads)
    wide = x.double()
    exact = (1 + wide.sum(0), 1 + wide.sum(1), 1 + (wide**2).sum()[None])
    torch.testing.assert_close(columns.double(), exact[0], rtol=2e-7, atol=2e-5)
    torch.testing.assert_close(rows.double(), exact[1], rtol=2e-7, atol=5e-6)
    torch.testing.assert_close(square.double(), exact[2], rtol=2e-7, atol=0)
    assert torch.equal(copied, x.reshape(-1))
