import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from equipot.nn.edges import Edges
from equipot.nn.radial import RadialEmbedding
from equipot.nn.radial_function import RadialFunction, RadialNetwork
from equipot_kernels._build import registry
from equipot_kernels._spline import radial
from equipot_kernels._spline.ops import spline_contract, spline_evaluate, spline_scatter
from equipot_kernels._spline.radial import SplineRadial, interpolate, power_coefficients


class PerPair(RadialFunction):
    """exp(-a x) (1 - x)³ with numbers of its own for each pair of types."""

    def __init__(self, num_pairs, dim, dtype=torch.float64):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.rates = torch.nn.Parameter(torch.rand(num_pairs, dim, generator=generator, dtype=dtype))
        self.num_pairs, self.dim = num_pairs, dim

    def _value(self, x, rates):
        return torch.exp(-x.unsqueeze(1) * rates) * ((1 - x).clamp_min(0) ** 3).unsqueeze(1)

    def forward(self, edges):
        return self._value(edges.x, self.rates.index_select(0, edges.pair_types)).to(self.rates.dtype)

    def evaluate(self, x, pair_type=0):
        return self._value(x, self.rates[pair_type].to(x.dtype))


def network(dtype=torch.float64, *, dims=(4, 6, 5), trainable=True, steep=1.0):
    embedding = RadialEmbedding(dims[0], trainable=trainable, polynomial_cutoff_p=6.0, dtype=dtype)
    made = RadialNetwork(embedding, dims, dtype=dtype, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made.weights[0].mul_(steep)
    return made


def edges_at(x, pair_types=None):
    n = x.shape[0]
    return Edges(torch.zeros(2, n, dtype=torch.int64), x, torch.ones(n, 1, dtype=x.dtype), pair_types)


def lengths(n=50, seed=0):
    return torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(2, 40), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_cubics_are_reproduced_exactly(num_knots, dim):
    x = torch.linspace(0.0, 1.0, num_knots, dtype=torch.float64)
    a = torch.randn(4, dim, generator=torch.Generator().manual_seed(num_knots), dtype=torch.float64)
    powers = torch.stack([x**0, x, x**2, x**3], dim=1)
    slopes = torch.stack([0 * x, x**0, 2 * x, 3 * x**2], dim=1) / (num_knots - 1)
    table = power_coefficients(powers @ a, slopes @ a)
    assert table.shape == (num_knots, 4, dim)
    middle = (x[:-1] + 0.3 / (num_knots - 1)).unsqueeze(1)
    found = table[:-1, 0] + 0.3 * (table[:-1, 1] + 0.3 * (table[:-1, 2] + 0.3 * table[:-1, 3]))
    torch.testing.assert_close(found, middle ** torch.arange(4) @ a, rtol=1e-12, atol=1e-12)


def test_state_dict_and_parameters_are_the_functions_own():
    source = network()
    spline = SplineRadial(source, 33)
    assert list(spline.state_dict()) == list(source.state_dict())
    assert all(a is b for a, b in zip(spline.parameters(), source.parameters(), strict=True))
    assert spline.exact() is source
    assert list(spline.buffers()) == list(source.buffers())


@pytest.mark.parametrize(("dtype", "floor"), [(torch.float64, 1e-7), (torch.float32, 3e-6)])
def test_error_falls_with_the_fourth_power_of_the_knots(dtype, floor):
    source, x = network(dtype, dims=(8, 16, 12)), lengths(400)
    exact = source.evaluate(x)
    with torch.no_grad():
        splines = [SplineRadial(source, num_knots).eval() for num_knots in (33, 65, 1025)]
        errors = [float((spline(edges_at(x)) - exact).abs().max()) for spline in splines]
    assert errors[0] > 8 * errors[1] > 0
    assert errors[2] < floor


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exactly_zero_from_the_cutoff_on_with_all_derivatives(training, dtype):
    spline = SplineRadial(network(dtype), 17).train(training)
    x = torch.tensor([1.0, 1.0 + 1e-12, 1.7, 40.0], dtype=torch.float64, requires_grad=True)
    values = spline(edges_at(x))
    assert values.dtype == dtype
    assert bool((values == 0).all())
    (slope,) = torch.autograd.grad(values.sum(), x, create_graph=True)
    assert bool((slope == 0).all())
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    assert bool((curvature == 0).all())


def test_smooth_towards_the_cutoff():
    spline = SplineRadial(network(), 257).eval()
    x = torch.tensor([1.0 - 1e-9], dtype=torch.float64, requires_grad=True)
    values = spline(edges_at(x))
    (slope,) = torch.autograd.grad(values.sum(), x)
    assert float(values.detach().abs().max()) < 1e-15
    assert float(slope.abs()) < 1e-6


def test_short_distances_are_finite():
    spline = SplineRadial(network(), 9)
    x = torch.tensor([0.0, 1e-9], dtype=torch.float64, requires_grad=True)
    gradients = torch.autograd.grad(spline(edges_at(x)).sum(), [x, *spline.sources()])
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_pairs_have_tables_of_their_own():
    source = PerPair(6, 3)
    spline = SplineRadial(source, 129).eval()
    x, pairs = lengths(60), torch.arange(60) % 6
    edges = edges_at(x, pairs)
    assert spline.table(edges).shape == (6, 129, 4, 3)
    assert spline.table(edges).is_contiguous()
    torch.testing.assert_close(spline(edges), source(edges), rtol=0, atol=1e-8)
    torch.testing.assert_close(spline.evaluate(x, 2), source.evaluate(x, 2), rtol=0, atol=1e-8)


def test_gradients_reach_the_weights_through_the_table():
    source, x = network(), lengths(20).requires_grad_()
    spline = SplineRadial(source, 257)
    weights = [*spline.sources()]

    def gradients(function):
        values = function(edges_at(x))
        (slope,) = torch.autograd.grad(values.square().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum() + values.sum(), weights)

    for found, expected in zip(gradients(spline), gradients(source), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_its_own_derivatives():
    spline = SplineRadial(network(dims=(3, 4, 2)), 5)
    x = (lengths(6) * 0.8 + 0.1).requires_grad_()
    parameters = tuple(spline.parameters())
    assert gradcheck(lambda x, *_: spline(edges_at(x)), (x, *parameters))
    assert gradgradcheck(lambda x, *_: spline(edges_at(x)), (x, *parameters))


def test_the_table_is_made_once_a_call_in_training_and_once_for_all_in_evaluation():
    spline = SplineRadial(network(), 17)
    first, second = edges_at(lengths()), edges_at(lengths())
    assert spline.table(first) is spline.table(first)
    assert spline.table(first) is not spline.table(second)
    assert spline.table(first).requires_grad
    spline.eval()
    assert spline.table(first) is spline.table(second)
    assert not spline.table(first).requires_grad


class Operations(TorchDispatchMode):
    """Names of the torch ops that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.names.append(str(function))
        return function(*arguments, **(options or {}))


def operations(function, edges):
    with Operations() as counted:
        torch.autograd.grad(function(edges).square().sum(), list(function.parameters()))
    return counted.names


def test_training_on_few_edges_costs_as_much_as_without_splines(monkeypatch):
    monkeypatch.setattr(radial, "EDGES_PER_KNOT", 8)
    exact, spline = network(), SplineRadial(network(), 5)
    few, enough = edges_at(lengths(39)), edges_at(lengths(40))
    torch.testing.assert_close(spline(few), exact(few), rtol=0, atol=0)
    assert operations(spline, few) == operations(exact, few)
    torch.testing.assert_close(spline(enough), spline.eval()(enough), rtol=0, atol=0)
    assert not torch.equal(spline.train()(enough), exact(enough))


def test_few_edges_are_few_for_each_pair_of_types(monkeypatch):
    monkeypatch.setattr(radial, "EDGES_PER_KNOT", 8)
    spline = SplineRadial(PerPair(4, 3), 5)
    assert [spline.tabulates(edges_at(lengths(n))) for n in (159, 160)] == [False, True]
    assert spline.eval().tabulates(edges_at(lengths(1)))


@pytest.mark.parametrize("change", ["step", "load", "embedding", "move"])
def test_a_kept_table_follows_the_weights(change):
    source = network()
    spline, edges = SplineRadial(source, 17).eval(), edges_at(lengths())
    before = spline(edges).detach()
    if change == "step":
        with torch.no_grad():
            spline.weights[1].lerp_(torch.ones_like(spline.weights[1]), 0.5)
    elif change == "load":
        spline.load_state_dict({key: value + 0.1 for key, value in spline.state_dict().items()})
    elif change == "embedding":
        with torch.no_grad():
            source._embedding[0].bessel.roots.add_(0.1)
    else:
        spline.to(torch.float32)
    after = spline(edges)
    assert not torch.equal(before, after.to(torch.float64))
    torch.testing.assert_close(after, SplineRadial(source, 17).eval()(edges), rtol=0, atol=0)


def test_a_kept_table_follows_a_fused_optimizer_which_counts_no_versions():
    spline, edges = SplineRadial(network(), 17).eval(), edges_at(lengths())
    before = spline(edges).detach()
    spline.train()
    spline(edges_at(lengths())).sum().backward()
    torch.optim.AdamW(spline.parameters(), lr=0.1, fused=True).step()
    assert not torch.equal(spline.eval()(edges), before)


def test_copies_have_tables_of_their_own():
    spline, edges = SplineRadial(network(), 17).eval(), edges_at(lengths())
    before = spline(edges)
    copied = copy.deepcopy(spline)
    with torch.no_grad():
        copied.weights[0].mul_(2.0)
    assert not torch.equal(copied(edges), before)
    assert torch.equal(spline(edges), before)


def test_layers_share_what_they_derive_from_the_edges():
    one, two = SplineRadial(network(), 17), SplineRadial(network(), 17)
    edges = edges_at(lengths())
    assert one.locate(edges)[0] is two.locate(edges)[0]
    assert SplineRadial(network(), 9).locate(edges)[0] is not one.locate(edges)[0]


def test_no_edges():
    spline = SplineRadial(network(), 17)
    assert spline(edges_at(torch.zeros(0, dtype=torch.float64))).shape == (0, 5)


# --------------------------------------------------------------------- kernels


def operands(dtype=torch.float64, dim=3, n_edges=7, n_rows=4):
    generator = torch.Generator().manual_seed(n_edges)
    table = torch.randn(n_rows, 4, dim, generator=generator, dtype=dtype)
    row = torch.randint(n_rows, (n_edges,), generator=generator)
    place = torch.rand(n_edges, generator=generator, dtype=torch.float64)
    kernel = registry.handle_of({"family": "spline", "dtype": str(dtype)[6:], "channels": dim})
    return table, row, place, kernel


@pytest.mark.parametrize(
    ("dim", "dtype"),
    [(40, torch.float32), (3, torch.float64)]
    + [pytest.param(dim, torch.float32, marks=pytest.mark.slow) for dim in (1, 5, 21)],
)
def test_kernels_equal_plain_torch(dim, dtype):
    table, row, place, kernel = operands(dtype, dim)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-13

    def results(function):
        inputs = [table.clone().requires_grad_(), place.clone().requires_grad_()]
        values = function(inputs[0], row, inputs[1])
        (slope,) = torch.autograd.grad(values.square().sum(), inputs[1], create_graph=True)
        return [values, slope, *torch.autograd.grad(slope.square().sum(), inputs)]

    found = results(lambda table, row, place: spline_evaluate(table, row, place, None, 0, kernel))
    for mine, expected in zip(found, results(interpolate), strict=True):
        torch.testing.assert_close(mine, expected, rtol=0, atol=tolerance * float(expected.detach().abs().max()))


@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("op", ["evaluate", "contract", "scatter"])
def test_ops_have_all_derivatives(op, order):
    table, row, place, kernel = operands()
    scale, g = place.flip(0).clone(), torch.randn(7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for part in (table, place, scale, g):
        part.requires_grad_()
    call, inputs = {
        "evaluate": (lambda t, f, s: spline_evaluate(t, row, f, s, order, kernel), (table, place, scale)),
        "contract": (lambda t, f, g: spline_contract(t, row, f, g, order, kernel), (table, place, g)),
        "scatter": (lambda g, f, s: spline_scatter(g, row, f, s, 4, order, kernel), (g, place, scale)),
    }[op]
    assert gradcheck(call, inputs, fast_mode=True)
    assert gradgradcheck(call, inputs, fast_mode=True)


@pytest.mark.parametrize(
    "op", ["evaluate", *(pytest.param(op, marks=pytest.mark.slow) for op in ("contract", "scatter"))]
)
def test_ops_are_what_torch_expects(op):
    table, row, place, kernel = operands()
    scale, g = place.flip(0).clone().requires_grad_(), torch.ones(7, 3, dtype=torch.float64, requires_grad=True)
    table, place = table.requires_grad_(), place.requires_grad_()
    for factor in (scale, None):
        function, arguments = {
            "evaluate": (spline_evaluate, (table, row, place, factor, 1, kernel)),
            "contract": (spline_contract, (table, row, place, g, 1, kernel)),
            "scatter": (spline_scatter, (g, row, place, factor, 4, 1, kernel)),
        }[op]
        torch.library.opcheck(function.default, arguments)


def test_threads_change_no_bit():
    table, row, place, kernel = operands(torch.float32, 40, 200, 16)
    g = torch.ones(200, 40)

    def results():
        return [
            spline_evaluate(table, row, place, None, 0, kernel),
            spline_contract(table, row, place, g, 1, kernel),
            spline_scatter(g, row, place, None, 16, 0, kernel),
        ]

    expected, before = results(), torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        found = results()
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(mine, other) for mine, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("training", [False, True])
def test_the_module_on_kernels_equals_the_one_without(training):
    source, pairs = PerPair(6, 3), torch.arange(60) % 6
    results = []
    for on_kernels in (False, True):
        spline = SplineRadial(source, 33, on_kernels=on_kernels).train(training)
        x = (1.1 * lengths(60)).requires_grad_()
        values = spline(edges_at(x, pairs))
        slope = torch.autograd.grad(values.square().sum(), x, create_graph=training)
        results.append([values, *slope, *(torch.autograd.grad(slope[0].sum(), source.rates) if training else ())])
        assert spline.kernel_specs(torch.float64) == [
            {"family": "spline", "dtype": "float64", "channels": 3} for _ in range(on_kernels)
        ]
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected, rtol=0, atol=1e-11)
