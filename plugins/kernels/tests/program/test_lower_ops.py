"""Torch operations as instructions, one by one, against torch itself, at several sizes."""

import pytest
import torch

from equipot_kernels._program.check import check_program
from equipot_kernels._program.lower import Lowering, handled
from equipot_kernels._program.lower_sizes import Symbols, chosen_sizes
from equipot_kernels._program.record import NotTraceable, Spec, record
from equipot_kernels._program.reference import Reference
from equipot_kernels._program.trace import assemble

DOUBLE, SINGLE, INTEGER = torch.float64, torch.float32, torch.int64


def program_of(function, specs):
    """The program of a function of tensors whose first dimensions are ``n`` and ``e``."""
    names = list(dict.fromkeys(size for spec in specs for size in spec.shape if isinstance(size, str)))
    values = chosen_sizes(names)
    runs = [
        record(
            lambda tensors: function(*tensors),
            specs,
            {name: pair[i] for name, pair in zip(names, values, strict=True)},
            handled,
        )
        for i in range(2)
    ]
    lowering = Lowering(*runs, Symbols(values))
    program = assemble(lowering, lowering.results, len(lowering.results), specs, [0] * len(specs))
    check_program(program)
    return program


def made(spec, sizes, seed):
    shape = [sizes[size] if isinstance(size, str) else size for size in spec.shape]
    generator = torch.Generator().manual_seed(seed)
    if spec.dtype == INTEGER:
        return torch.randint(0, 3, shape, generator=generator)
    return torch.randn(shape, dtype=spec.dtype, generator=generator)


def agrees(function, *specs, sizes=({"n": 4, "e": 7}, {"n": 1, "e": 0}, {"n": 5, "e": 1})):
    program = program_of(function, specs)
    for number, values in enumerate(sizes):
        tensors = [made(spec, values, number + 10 * i) for i, spec in enumerate(specs)]
        expected = function(*(tensor.clone() for tensor in tensors))
        found, _ = Reference(program).forward(tensors)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype
            assert one.shape == other.shape
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12, equal_nan=True)
    return program


X, Y = Spec(("n", 12), DOUBLE), Spec(("e", 12), DOUBLE)
ROW = Spec(("e",), INTEGER)  # values from 0 to 2
TABLE = Spec((3, 5), DOUBLE)
MATRIX = Spec((12, 7), DOUBLE)

ELEMENTWISE = {
    "arithmetic": lambda x: 2 * x + 1 - x / 3 + (1 - x) * x,
    "alpha": lambda x: torch.add(x, x, alpha=2.5) - torch.sub(x, x * x, alpha=-2),
    "functions": lambda x: torch.exp(x).sin().cos().tanh().sigmoid().log().abs().sqrt(),
    "more functions": lambda x: torch.erf(x) + torch.expm1(x) + torch.log1p(x.abs()) + x.floor() + torch.sign(x),
    "reciprocal": lambda x: 1 / x + torch.rsqrt(x.abs()) + torch.reciprocal(x),
    "powers": lambda x: x**2 + x**3 + x**7 + x.abs() ** 1.7 + x.abs() ** 0.5 + x**-1 + 1.3**x + x**0,
    "extremes": lambda x: torch.minimum(x, -x) + torch.maximum(x, x * x) + x.clamp(-0.3, 0.7) + x.clamp_min(0.1),
    "comparisons": lambda x: torch.where((x > 0) & (x <= 1) | ~(x < 2), x, -x) * (x == x.abs()) + (x >= 0.5),
    "nan": lambda x: torch.where(torch.log(x) > 0, x, torch.log(x)),
    "activations": lambda x: torch.nn.functional.silu(x) + torch.relu(x) + torch.sinc(x) + torch.sinc(x * 0),
    "decomposed activations": lambda x: (
        torch.nn.functional.mish(x) + torch.nn.functional.gelu(x) + torch.nn.functional.softplus(x)
    ),
    "converted": lambda x: x.to(torch.float32).double() + x.to(torch.int64),
    "made": lambda x: torch.zeros_like(x) + torch.ones_like(x) * torch.full_like(x, 2.5) + x.new_full((12,), 3.0),
    "counted": lambda x: x * torch.arange(12) + torch.arange(x.shape[0]).unsqueeze(1) + torch.eye(12)[3] * 2,
    "masked": lambda x: x.masked_fill(x > 0, 1.5) + torch.addcmul(x, x, x, value=0.5) + torch.addcdiv(x, x, x),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_operations(name):
    agrees(lambda x: [ELEMENTWISE[name](x)], X)


VIEWS = {
    "transposed": lambda x: x.t() * 2,
    "reshaped": lambda x: x.reshape(-1, 3, 4).transpose(1, 2).reshape(x.shape[0], 12) + x,
    "parts of rows": lambda x: x[:, 2:8].reshape(-1, 2, 3) * x[:, 8:].reshape(-1, 2, 2)[:, :, :1],
    "rows of parts": lambda x: x[:, 3:9].reshape(-1, 3).reshape(-1, 6) * 2,
    "stepped": lambda x: x[:, ::3] + x[:, 1::3],
    "from the end": lambda x: x[:, -3:] * x[:, -4].unsqueeze(1),
    "first row": lambda x: x[0] + x[:1],
    "unbound": lambda x: x.reshape(-1, 4, 3).unbind(2)[1] + x.reshape(-1, 4, 3).unbind(2)[2],
    "split": lambda x: torch.cat(x.split([2, 3, 7], 1)[::-1], 1),
    "expanded": lambda x: x.unsqueeze(1).expand(-1, 3, -1).reshape(-1, 36) * 2,
    "repeated": lambda x: x.repeat(1, 2) + x.repeat(1, 2).cos(),
    "diagonal": lambda x: x[:, :9].reshape(-1, 3, 3).diagonal(dim1=1, dim2=2) * 2,
    "squeezed": lambda x: x[:, :1].squeeze(1) + x.sum(1, keepdim=True).squeeze(-1),
    "swapped": lambda x: x.reshape(-1, 2, 2, 3).permute(2, 0, 3, 1).contiguous() * 2,
    "nothing": lambda x: x.detach(),
    "empty": lambda x: torch.cat([x[:, :0], x, x[:, 12:]], 1),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_and_their_gradients(name):
    def both(x):
        leaf = x.detach().requires_grad_()
        out = VIEWS[name](leaf)
        if not out.requires_grad:
            return [out]
        (g,) = torch.autograd.grad((out * out).sum() if name != "first row" else out.sum(), leaf)
        return [out.detach(), g]

    agrees(both, X)


JOINED = {
    "joined": lambda x, y: torch.cat([x * 2, y.exp(), x.sin()], 0),
    "stacked": lambda x, y: torch.stack([x, x * x, x[:, :12] - 1], 2) + y.sum(),
    "sums": lambda x, y: x.sum(0) + y.sum((0,)) * x.sum() + x.sum(1).sum(),
    "sums of parts": lambda x, y: x.reshape(-1, 3, 4).sum(1, keepdim=True) + y.reshape(-1, 4).sum(0),
    "padded": lambda x, y: torch.nn.functional.pad(x, (1, 2)) + torch.nn.functional.pad(x, (3, 0), value=2.0) + y.sum(),
    "cut": lambda x, y: torch.nn.functional.pad(x, (-1, -2)) + torch.nn.functional.pad(x, (-4, 1))[:, :9] + y.sum(),
    "short": lambda x, y: x[:, :3].prod(1) + (x[:, :3] > 0).any(1) + (x[:, :2] > 0).all(1) + x.amax(1) + y.sum(),
    "cross": lambda x, y: torch.linalg.cross(x[:, :3], x[:, 3:6]) + y.sum(),
    "called": lambda x, y: x.mean(0) + x.cumsum(1) + y.sum(0),
    "parts replaced": lambda x, y: torch.slice_scatter(x, x[:, :4] * 2, 1, 5, 9) + y.sum(),
    "index replaced": lambda x, y: torch.select_scatter(x, x[:, 3], 1, 7) * y.sum(),
}  # fmt: skip


@pytest.mark.parametrize("name", JOINED)
def test_joined_and_summed(name):
    agrees(lambda x, y: [JOINED[name](x, y)], X, Y)


NUMBERED = {
    "rows": lambda t, y, i: t.index_select(0, i) * y[:, :5],
    "columns": lambda t, y, i: t.t().index_select(1, i).t() * 2,
    "rows of a part": lambda t, y, i: t[:, 1:3].index_select(0, i) + t[:, 4].index_select(0, i).unsqueeze(1),
    "rows of rows": lambda t, y, i: t.index_select(0, i).index_select(0, i * 0) if i.shape[0] else t[:0],
    "indexed": lambda t, y, i: t[i] + t[i - 3, i] .unsqueeze(1),
    "indexed columns": lambda t, y, i: t[:, i] * 2,
    "embedded": lambda t, y, i: torch.nn.functional.embedding(i, t) * 2,
    "one of several": lambda t, y, i: torch.nn.functional.one_hot(i, 3).double() @ t,
    "added to rows": lambda t, y, i: (t * 0).index_add(0, i, y[:, :5]).index_add(0, i, y[:, 2:7] * 2) + t,
    "added to zeros": lambda t, y, i: torch.zeros(3, 12, dtype=DOUBLE).index_add(0, i, y)[:, 2:7] + t,
    "added to a sum": lambda t, y, i: (t * 2).index_add(0, i, y[:, :5], alpha=0.5) + t,
    "added to columns": lambda t, y, i: torch.zeros(4, 3, dtype=DOUBLE).index_add(1, i, y[:, :4].t()) + t.sum(),
    "scattered": lambda t, y, i: t.scatter_add(0, i.unsqueeze(1).expand(-1, 5), y[:, :5]),
    "put": lambda t, y, i: t.index_put((i,), y[:, :5], accumulate=True),
    "gathered": lambda t, y, i: t.gather(0, i.unsqueeze(1).expand(-1, 5)) + y[:, :5],
    "gathered by element": lambda t, y, i: y.gather(1, i.unsqueeze(1)) + t.sum(),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERED)
def test_rows_by_their_numbers(name):
    agrees(lambda t, y, i: [NUMBERED[name](t, y, i)], TABLE, Y, ROW)


def test_gradients_of_rows_by_their_numbers():
    def function(t, y, i):
        t, y = t.detach().requires_grad_(), y.detach().requires_grad_()
        rows = torch.nn.functional.embedding(i, t) * y[:, :5] + t.index_select(0, i)
        sums = torch.zeros(3, 5, dtype=DOUBLE).index_add(0, i, rows * rows)
        return torch.autograd.grad((sums * t).sum(), [t, y])

    agrees(function, TABLE, Y, ROW)


PRODUCTS = {
    "plain": lambda x, m, v: x @ m,
    "transposed": lambda x, m, v: (x.t() @ x) @ m + x.sum(),
    "of scaled": lambda x, m, v: x @ (m * 0.3) * 2.0 + (-(x @ m)),
    "of parts": lambda x, m, v: x.reshape(-1, 3, 4) @ m[:4] + x.reshape(-1, 3, 4)[:, :1] @ m[4:8],
    "into parts": lambda x, m, v: torch.cat([x[:, :4] @ m[:4], (x.reshape(-1, 3, 4) @ m[:4, :2]).reshape(-1, 6)], 1),
    "added up": lambda x, m, v: x[:, :4] @ m[:4] + x[:, 4:8] @ m[4:8] + x[:, 8:] @ m[8:] + 1,
    "transposed sum": lambda x, m, v: (m.t() @ x.t()).t() + (x @ m) * 1.0,
    "vectors": lambda x, m, v: (x @ v).unsqueeze(1) + v @ v + torch.outer(v, v).sum() + x[:, :1] @ v[:7].unsqueeze(0),
    "with bias": lambda x, m, v: torch.addmm(v[:7], x, m, alpha=2, beta=0.5) + torch.nn.functional.linear(x, m.t()),
    "batched": lambda x, m, v: torch.bmm(x.reshape(-1, 4, 3), x.reshape(-1, 3, 4)),
    "of broadcast": lambda x, m, v: x.sum(1, keepdim=True).expand(-1, 12) @ m,
    "of gathered": lambda x, m, v: x.index_select(0, torch.zeros(2, dtype=INTEGER)) @ m,
    "sum over parts": lambda x, m, v: x.reshape(-1, 4).t() @ x[:, :4].reshape(-1, 4).repeat(3, 1),
    "sum over rows of parts": lambda x, m, v: x[:, 2:10].reshape(-1, 4).t() @ (x[:, 3:11].reshape(-1, 4) * 2),
    "single": lambda x, m, v: torch.einsum("nuv,nv->nu", x.reshape(-1, 3, 4), x[:, :4]),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_matrix_products_and_their_gradients(name):
    def both(x, m, v):
        leaves = [part.detach().requires_grad_() for part in (x, m, v)]
        out = PRODUCTS[name](*leaves)
        found = torch.autograd.grad((out * out.detach().cos()).sum(), leaves, allow_unused=True)
        return [out.detach(), *(g for g in found if g is not None)]

    agrees(both, X, MATRIX, Spec((12,), DOUBLE), sizes=({"n": 4}, {"n": 1}, {"n": 5}))


def _set_column(x):
    x = x.clone()
    x[:, 2] = x[:, 3] * 2
    x[:, 4:6] += 1
    return x


def _views_see_changes(x):
    x = x * 1
    column, flat = x[:, 5], x.view(-1)
    x.mul_(2)
    column.add_(1)
    return flat + x.reshape(-1) * column.sum()


def _filled(x):
    y = torch.empty_like(x)
    y.fill_(1.0).sub_(x)
    z = torch.zeros(x.shape[0], 3, dtype=x.dtype)
    z.index_add_(1, torch.tensor([0, 2]), x[:, :2])
    z.copy_(z + 1)
    return y.sum(1, keepdim=True) + z


@pytest.mark.parametrize("function", [_set_column, _views_see_changes, _filled])
def test_changes_in_place(function):
    agrees(lambda x: [function(x)], X)


def test_a_program_of_single_precision_rounds_as_torch_does():
    def function(x):
        return [torch.tanh(x * 0.1 + 1.0 / 3.0).sum(1), (x > 0.1).float(), x.double() * 0.1]

    program = program_of(function, [Spec(("n", 12), SINGLE)])
    x = torch.randn(6, 12, generator=torch.Generator().manual_seed(1))
    for one, other in zip(Reference(program).forward([x])[0], function(x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_the_same_is_computed_once():
    program = agrees(lambda x: [x.exp() * x.exp() + x.exp().sin()], X)
    (loop,) = program.instructions
    assert [step.op for step in loop.steps] == ["exp", "mul", "sin", "add"]


def test_elementwise_operations_become_one_loop_that_stores_only_its_result():
    program = agrees(
        lambda x: [(x[:, :6].reshape(-1, 2, 3) * x[:, 6:].reshape(-1, 2, 3)).exp().reshape(-1, 6).tanh()], X
    )
    (loop,) = program.instructions
    assert len(loop.stores) == 1


def test_joining_parts_copies_nothing():
    program = agrees(lambda x, m: [torch.cat([x @ m, x.exp()], 1)], X, MATRIX)
    kinds = [type(instruction).__name__ for instruction in program.instructions]
    assert sorted(kinds) == ["Gemm", "Loop"]
    assert len(program.buffers) == 3  # two inputs and the result


def test_sums_of_products_are_added_up_in_place():
    program = agrees(lambda x, m: [x @ m + (x * 2) @ (m * 0.5)], X, MATRIX)
    first, second = (part for part in program.instructions if type(part).__name__ == "Gemm")
    assert (first.add, second.add) == (False, True)
    assert first.c == second.c


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: [x * torch.rand_like(x)], "draws random numbers"),
        (lambda x: [torch.nn.functional.dropout(x)], "draws random numbers"),
        (lambda x: [x if x.sum() > 0 else -x], "reads the value of a tensor"),
        (lambda x: [x * float(x[0, 0])], "reads the value of a tensor"),
        (lambda x: [x[x > 0]], "makes a tensor whose size depends on values"),
        (lambda x: [torch.tensor(x[0].tolist())], "reads the value of a tensor"),
        (lambda x: [torch.from_numpy(x.numpy() * 2)], "cannot be recorded"),
        (lambda x: [x.add_(1)], "changes a parameter, a buffer or an input"),
        (lambda x: [x / x.shape[0]], "a size of the batch is used as a number"),
        (lambda x: [x / float(x.shape[0])], "a number differs between calls"),
        (lambda x: [x.sum(1).unsqueeze(1) * x.sum(1)], "product of two sizes"),
        (lambda x: [x.half()], "a tensor of torch.float16"),
        (lambda x: [x * 2 if x.shape[0] < 20000 else x * x], "depend on the numbers of atoms"),
        (lambda x: [x[: int(x.shape[0] ** 0.5)]], "not linear"),
    ],
)
def test_what_cannot_be_repeated_is_refused(function, message):
    with pytest.raises(NotTraceable, match=message):
        program_of(function, [X])


def test_the_refusal_names_the_line():
    with pytest.raises(NotTraceable, match=r"test_lower_ops\.py, line \d+: aten\.rand_like\.default draws"):
        program_of(lambda x: [torch.rand_like(x)], [X])


def test_rows_that_are_given_in_the_second_phase_only_are_read_there():
    """A matrix product needs them stored: the gradient of a sum over frames, read by atoms, times weights."""

    def function(x, frame, weights, gradient):
        return [2 * x, gradient.index_select(0, frame).reshape(-1, 1) @ weights.unsqueeze(0)]

    specs = [X, Spec(("n",), INTEGER), Spec((5,), DOUBLE), Spec(("n", 3), DOUBLE)]
    values = chosen_sizes(["n"])
    runs = [record(lambda given: function(*given), specs, {"n": size}, handled) for size in values[0]]
    lowering = Lowering(*runs, Symbols(values))
    program = assemble(lowering, lowering.results, 1, specs, [0, 0, 0, 1])
    check_program(program)
    given = [made(spec, {"n": 4}, number) for number, spec in enumerate(specs)]
    reference = Reference(program)
    _, state = reference.forward(given[:3])
    (found,) = reference.backward(state, given[3:])
    torch.testing.assert_close(found, function(*given)[1])
