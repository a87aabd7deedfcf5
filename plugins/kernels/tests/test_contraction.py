import itertools
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from equipot.nn.contraction import Contraction
from equipot.nn.edges import Edges
from equipot.nn.irreps import FeatureLayout
from equipot_kernels._build import registry
from equipot_kernels._build.errors import KernelError
from equipot_kernels._contraction import contraction_ops, coupling_ops, environment_ops, initial_ops
from equipot_kernels._contraction.fused import FusedContraction, fused_contraction
from equipot_test_support.ops import check_strides, check_to_the_third

DTYPES = {torch.float32: 2e-6, torch.float64: 1e-13}
"""Data types and how much results may differ, relative to the largest."""


def random(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)), dtype=dtype)


def lists(counts):
    """Centre of each edge and first edge of each atom."""
    counts = torch.tensor(counts)
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    return torch.repeat_interleave(torch.arange(len(counts)), counts), ptr


def check_close(found, expected, tolerance):
    scale = max(float(expected.detach().abs().max()), 1.0) if expected.numel() else 1.0
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * scale)


sizes = st.tuples(
    st.integers(1, 6), st.integers(1, 10), st.integers(1, 37), st.lists(st.integers(0, 5), min_size=1, max_size=5)
)


@pytest.mark.parametrize(
    ("size", "dtype"),
    [
        ((2, 3, 2, [2, 0, 3]), torch.float64),
        ((4, 7, 19, [2, 0, 3]), torch.float32),
        ((11, 13, 16, [5, 2]), torch.float32),  # more sums than registers
        ((2, 3, 16, [6000, 0, 6001]), torch.float32),  # results that no cache can hold
    ],
)
def test_products(size, dtype):
    check_products(size, dtype)


@pytest.mark.slow
@given(sizes, st.sampled_from(list(DTYPES)))
@settings(max_examples=20, deadline=None)
def test_products_of_any_sizes(size, dtype):
    check_products(size, dtype)


def check_products(size, dtype):
    dim_in, dim_out, channels, counts = size
    spec = {"family": "contraction", "dtype": str(dtype)[6:], "dim_in": dim_in, "dim_out": dim_out}
    kernel = registry.handle_of({**spec, "channels": channels})
    centre, ptr = lists(counts)
    n_atoms, n_edges = len(counts), len(centre)
    m = random(n_atoms, dim_in, dim_out, channels, dtype=dtype)
    x, g = random(n_edges, dim_in, channels, dtype=dtype), random(n_edges, dim_out, channels, dtype=dtype, seed=1)
    tolerance = DTYPES[dtype] * 20
    check_close(contraction_ops.al_mv(m, x, ptr, kernel), torch.einsum("eiku,eiu->eku", m[centre], x), tolerance)
    check_close(contraction_ops.al_mvt(m, g, ptr, kernel), torch.einsum("eiku,eku->eiu", m[centre], g), tolerance)
    outer = torch.zeros_like(m).index_add(0, centre, torch.einsum("eiu,eku->eiku", x, g))
    check_close(contraction_ops.al_outer(x, g, ptr, kernel), outer, tolerance)


@pytest.mark.parametrize(("channels", "dtype"), [(2, torch.float64), (19, torch.float32)])
def test_environments(channels, dtype):
    check_environments([1, 3], channels, [2, 0, 3], dtype)


@pytest.mark.slow
@given(
    st.lists(st.sampled_from([1, 3, 5]), min_size=1, max_size=4),
    st.integers(1, 37),
    st.lists(st.integers(0, 5), min_size=1, max_size=5),
    st.sampled_from(list(DTYPES)),
)
@settings(max_examples=20, deadline=None)
def test_environments_of_any_sizes(blocks, channels, counts, dtype):
    check_environments(blocks, channels, counts, dtype)


def check_environments(blocks, channels, counts, dtype):
    spec = {"family": "environment", "dtype": str(dtype)[6:], "blocks": blocks, "channels": channels}
    kernel, (centre, ptr) = registry.handle_of(spec), lists(counts)
    n_atoms, n_edges, dim = len(counts), len(centre), sum(blocks)
    y, w = random(n_edges, dim, dtype=dtype), random(n_edges, len(blocks) * channels, dtype=dtype)
    g = random(n_atoms, dim, channels, dtype=dtype)
    member = torch.zeros(dim, len(blocks), dtype=dtype)
    member[torch.arange(dim), torch.arange(len(blocks)).repeat_interleave(torch.tensor(blocks))] = 1.0
    split = w.view(n_edges, len(blocks), channels)
    tolerance = DTYPES[dtype] * 20
    expected = torch.zeros_like(g).index_add(0, centre, torch.einsum("eb,eju,bj->ebu", y, split, member))
    check_close(environment_ops.env_sum(y, w, ptr, kernel), expected, tolerance)
    expected = torch.einsum("eb,ebu,bj->eju", y, g[centre], member).flatten(1)
    check_close(environment_ops.env_weights(y, g, ptr, kernel), expected, tolerance)
    expected = torch.einsum("eju,ebu,bj->eb", split, g[centre], member)
    check_close(environment_ops.env_attributes(w, g, ptr, kernel), expected, tolerance)


@pytest.mark.parametrize(
    ("blocks", "dim_out", "channels", "dtype"),
    [([1, 3], 3, 2, torch.float64), ([1, 3], 13, 19, torch.float32)]
    + [pytest.param([1, 3, 5], 14, 17, dtype, marks=pytest.mark.slow) for dtype in DTYPES],
)
def test_products_from_weights(blocks, dim_out, channels, dtype):
    spec = {"family": "initial", "dtype": str(dtype)[6:], "blocks": blocks, "dim_out": dim_out, "channels": channels}
    kernel, (centre, ptr) = registry.handle_of(spec), lists([2, 0, 3])
    dim, n_edges = sum(blocks), len(centre)
    m, g = random(3, dim, dim_out, channels, dtype=dtype), random(n_edges, dim_out, channels, dtype=dtype)
    y, w = random(n_edges, dim, dtype=dtype), random(n_edges, len(blocks) * channels, dtype=dtype)
    of_block = torch.arange(len(blocks)).repeat_interleave(torch.tensor(blocks))
    each = w.view(n_edges, len(blocks), channels)[:, of_block]
    x, tolerance = y.unsqueeze(2) * each, DTYPES[dtype] * 20
    expected = torch.einsum("eiku,eiu->eku", m[centre], x)
    check_close(initial_ops.init_apply(m, y, w, ptr, kernel), expected, tolerance)
    outer = torch.zeros_like(m).index_add(0, centre, torch.einsum("eiu,eku->eiku", x, g))
    check_close(initial_ops.init_outer(y, w, g, ptr, kernel), outer, tolerance)
    z = torch.einsum("eiku,eku->eiu", m[centre], g)
    gy, gw = initial_ops.init_backward(m, y, w, g, ptr, kernel, True, True)
    check_close(gy, (z * each).sum(2), tolerance)
    blockwise = torch.zeros(n_edges, len(blocks), channels, dtype=dtype).index_add(1, of_block, y.unsqueeze(2) * z)
    check_close(gw, blockwise.flatten(1), tolerance)


COUPLING = {
    "family": "coupling",
    "dtype": "float64",
    "layout_in": "1x0e+1x1o",
    "layout_edge": "1x0e+1x1o",
    "layout_out": "1x0e+1x1o",
    "channels": 2,
}


def operands(name):
    """An op, small tensors for it, and its constants."""
    _, ptr = lists([2, 0, 3])
    product = registry.handle_of(
        {"family": "contraction", "dtype": "float64", "dim_in": 2, "dim_out": 3, "channels": 2}
    )
    environment = registry.handle_of({"family": "environment", "dtype": "float64", "blocks": [1, 3], "channels": 2})
    initial = registry.handle_of(
        {"family": "initial", "dtype": "float64", "blocks": [1, 3], "dim_out": 3, "channels": 2}
    )
    coupling = registry.handle_of(COUPLING)
    q, a, matrix = random(4, 2), random(3, 4, 2), random(3, 4, 4, 2)
    n = random(3, 4, 3, 2)
    m, x, g = random(3, 2, 3, 2), random(5, 2, 2), random(5, 3, 2)
    y, w, h = random(5, 4), random(5, 4, seed=1), random(3, 4, 2)
    given = {"al_mv": (m, x), "al_mvt": (m, g), "al_outer": (x, g)}
    given |= {"env_sum": (y, w), "env_weights": (y, h), "env_attributes": (w, h)}
    given |= {"init_apply": (n, y, w), "init_outer": (y, w, g)}
    given |= {"cg_matrices": (q, a), "cg_environment": (q, matrix), "cg_weights": (a, matrix)}
    if name.startswith("cg_"):
        return getattr(coupling_ops, name), tuple(part.requires_grad_() for part in given[name]), (coupling,)
    module, kernel = {
        "al": (contraction_ops, product),
        "env": (environment_ops, environment),
        "init": (initial_ops, initial),
    }[name.split("_")[0]]
    return getattr(module, name), tuple(part.requires_grad_() for part in given[name]), (ptr, kernel)


OPS = ["al_mv", "al_mvt", "al_outer", "env_sum", "env_weights", "env_attributes", "init_apply", "init_outer"]
OPS += ["cg_matrices", "cg_environment", "cg_weights"]


@pytest.mark.parametrize("name", OPS)
def test_derivatives_to_the_third(name):
    check_to_the_third(*operands(name))


FIRST = ("al_mv", "env_sum", "init_apply", "cg_matrices")


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in FIRST else pytest.mark.slow) for name in OPS])
def test_ops_are_what_torch_expects(name):
    op, tensors, rest = operands(name)
    torch.library.opcheck(op.default, (*tensors, *rest))


@pytest.mark.parametrize("name", OPS)
def test_strided_arguments(name):
    check_strides(*operands(name))


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("name", OPS)
def test_threads_change_no_bit(name, threads):
    op, tensors, rest = operands(name)
    before = torch.get_num_threads()
    expected = op(*(part.detach() for part in tensors), *rest)
    try:
        torch.set_num_threads(threads)
        found = op(*(part.detach() for part in tensors), *rest)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("y_wanted", [False, True])
@pytest.mark.parametrize("w_wanted", [False, True])
def test_gradients_of_initial_tensors(y_wanted, w_wanted):
    _, (n, y, w), (ptr, kernel) = operands("init_apply")
    g = random(5, 3, 2).requires_grad_()
    call = partial(initial_ops.init_backward, ptr=ptr, kernel=kernel, y_wanted=y_wanted, w_wanted=w_wanted)
    sizes = [part.numel() for part in call(n, y, w, g)]
    assert sizes == [y.numel() * y_wanted, w.numel() * w_wanted]
    if y_wanted or w_wanted:
        assert gradcheck(call, (n, y, w, g), fast_mode=True)
        assert gradgradcheck(call, (n, y, w, g), fast_mode=True)
        torch.library.opcheck(
            initial_ops.init_backward.default,
            (n, y, w, g, ptr, kernel, y_wanted, w_wanted),
            test_utils=["test_schema", "test_faketensor", "test_autograd_registration"],
        )


def contraction(dtype, channels=3, *, channel_weights=True, from_weights=False):
    edge = FeatureLayout.spherical_harmonics(1)
    return Contraction(
        edge if from_weights else FeatureLayout.parse("1x0e+1x1o+1x1e"),
        edge,
        FeatureLayout.parse("1x0e+1x1o+1x1e"),
        num_channels=channels,
        channel_weights=channel_weights,
        from_weights=from_weights,
        dtype=dtype,
        generator=torch.Generator().manual_seed(0),
    )


FEW = [(torch.float64, 2, True, True), (torch.float32, 1, False, False)]
ALL = list(itertools.product(DTYPES, [2, 1], [True, False], [True, False]))


@pytest.mark.parametrize(
    ("dtype", "num_env_weights", "channel_weights", "from_weights"),
    [pytest.param(*case, marks=() if case in FEW else pytest.mark.slow) for case in ALL],
)
def test_the_module_equals_the_reference(dtype, num_env_weights, channel_weights, from_weights):
    reference = contraction(dtype, channel_weights=channel_weights, from_weights=from_weights)
    fused = fused_contraction(reference)
    assert list(fused.state_dict()) == list(reference.state_dict())
    assert fused.weights is reference.weights
    centre, _ = lists([3, 0, 4, 1])
    index = torch.stack([centre, torch.arange(8) % 4])
    given = [
        random(8, *((6,) if from_weights else (7, 3)), dtype=dtype),
        random(8, num_env_weights * 3, dtype=dtype),
        random(8, 4, dtype=dtype),
    ]
    given.append(random(4, 1, dtype=dtype).abs())

    def results(module):
        tensors, weights, attributes, normalization = parts = [part.clone().requires_grad_() for part in given]
        edges = Edges(index, torch.ones(8, dtype=torch.float64), attributes)
        value = module(tensors, weights, edges, normalization)
        along = [*parts, module.weights]
        first = torch.autograd.grad(value.square().sum(), along, create_graph=True)
        return [value, *first, *torch.autograd.grad(sum(part.square().sum() for part in first), along)]

    for found, expected in zip(results(fused), results(reference), strict=True):
        check_close(found, expected, DTYPES[dtype] * 10)


def test_no_edges_and_lone_atoms():
    fused = fused_contraction(contraction(torch.float64))
    edges = Edges(torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0), torch.zeros(0, 4, dtype=torch.float64))
    tensors = torch.zeros(0, 7, 3, dtype=torch.float64, requires_grad=True)
    result = fused(tensors, torch.zeros(0, 6, dtype=torch.float64), edges, torch.ones(2, 1, dtype=torch.float64))
    assert result.shape == (0, 7, 3)
    assert torch.autograd.grad(result.sum(), tensors)[0].shape == tensors.shape


def test_other_dtypes_take_the_reference():
    reference = contraction(torch.float64).to(torch.bfloat16)
    fused = FusedContraction(reference)
    centre, _ = lists([2, 1])
    edges = Edges(torch.stack([centre, centre]), torch.ones(3), random(3, 4).bfloat16())
    given = random(3, 7, 3).bfloat16(), random(3, 6).bfloat16(), edges, torch.ones(2, 1).bfloat16()
    assert torch.equal(fused(*given), reference(*given))


def test_other_slots_are_left():
    assert fused_contraction(FusedContraction(contraction(torch.float64))) is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"family": "contraction", "dtype": "float16", "dim_in": 1, "dim_out": 1, "channels": 1}, "dtype"),
        ({"family": "contraction", "dtype": "float32", "dim_in": 0, "dim_out": 1, "channels": 1}, "dim_in"),
        ({"family": "contraction", "dtype": "float32", "dim_in": 1, "dim_out": True, "channels": 1}, "dim_out"),
        ({"family": "contraction", "dtype": "float32", "dim_in": 1, "channels": 1}, "a spec must hold"),
        ({"family": "initial", "dtype": "float32", "blocks": [1], "channels": 1}, "a spec must hold"),
        ({"family": "initial", "dtype": "float32", "blocks": [64], "dim_out": 1, "channels": 1}, "blocks"),
        (COUPLING | {"layout_in": "2x0e"}, "layout_in: must be irreps of multiplicity 1"),
        (COUPLING | {"layout_out": "1x99e"}, "layout_out"),
        (COUPLING | {"layout_edge": 3}, "layout_edge"),
        ({"family": "environment", "dtype": "float32", "channels": 1}, "blocks"),
        ({"family": "environment", "dtype": "float32", "blocks": [1, "3"], "channels": 1}, "blocks"),
        ({"family": "environment", "dtype": "float32", "blocks": [], "channels": 1}, "blocks"),
        ({"family": "environment", "dtype": "float32", "blocks": [1], "channels": "1"}, "channels"),
    ],
)
def test_wrong_specs_are_refused(spec, message):
    with pytest.raises(KernelError, match=message):
        registry.handle_of(spec)


def test_components_without_coupling_have_no_gradient():
    kernel = registry.handle_of(
        COUPLING | {"layout_in": "1x0e", "layout_edge": "1x0e+1x1o", "layout_out": "1x0e", "channels": 3}
    )
    found = coupling_ops.cg_environment(random(1, 3), random(2, 1, 1, 3), kernel)
    assert found[:, 0].all()
    assert not found[:, 1:].any()
