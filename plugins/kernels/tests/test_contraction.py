import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from equipot.nn.contraction import Contraction
from equipot.nn.edges import Edges
from equipot.nn.irreps import FeatureLayout
from equipot_kernels import contraction_ops, environment_ops, registry
from equipot_kernels.allegro import FusedContraction, fused_contraction
from equipot_kernels.errors import KernelError

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


@pytest.mark.parametrize("size", [(4, 7, 3, [2, 0, 3]), (9, 1, 21, [4])])
@pytest.mark.parametrize("dtype", list(DTYPES))
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


@pytest.mark.parametrize("dtype", list(DTYPES))
def test_environments(dtype):
    check_environments([1, 3], 3, [2, 0, 3], dtype)
    check_environments([5], 17, [4], dtype)


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


def operands(name):
    """An op, small tensors for it, and its constants."""
    _, ptr = lists([2, 0, 3])
    product = registry.handle_of(
        {"family": "contraction", "dtype": "float64", "dim_in": 2, "dim_out": 3, "channels": 2}
    )
    environment = registry.handle_of({"family": "environment", "dtype": "float64", "blocks": [1, 3], "channels": 2})
    m, x, g = random(3, 2, 3, 2), random(5, 2, 2), random(5, 3, 2)
    y, w, h = random(5, 4), random(5, 4, seed=1), random(3, 4, 2)
    given = {"al_mv": (m, x), "al_mvt": (m, g), "al_outer": (x, g)}
    given |= {"env_sum": (y, w), "env_weights": (y, h), "env_attributes": (w, h)}
    module = contraction_ops if name.startswith("al_") else environment_ops
    kernel = product if name.startswith("al_") else environment
    return getattr(module, name), tuple(part.requires_grad_() for part in given[name]), (ptr, kernel)


OPS = ["al_mv", "al_mvt", "al_outer", "env_sum", "env_weights", "env_attributes"]


@pytest.mark.parametrize("name", OPS)
def test_derivatives_to_the_third(name):
    op, tensors, rest = operands(name)
    assert gradcheck(lambda a, b: op(a, b, *rest), tensors)
    assert gradgradcheck(lambda a, b: op(a, b, *rest), tensors)

    def gradient(a, b):
        return torch.autograd.grad(op(a, b, *rest).square().sum(), (a, b), create_graph=True)

    assert gradgradcheck(gradient, tensors)


@pytest.mark.parametrize("name", OPS)
def test_ops_are_what_torch_expects(name):
    op, tensors, rest = operands(name)
    torch.library.opcheck(op.default, (*tensors, *rest))


@pytest.mark.parametrize("name", OPS)
def test_strided_arguments(name):
    op, (first, second), rest = operands(name)
    expected = op(first.detach(), second.detach(), *rest)
    spread = [torch.stack([part.detach()] * 2, dim=-1)[..., 0] for part in (first, second)]
    assert not any(part.is_contiguous() for part in spread)
    torch.testing.assert_close(op(*spread, *rest), expected, rtol=0, atol=0)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("name", OPS)
def test_threads_change_no_bit(name, threads):
    op, (first, second), rest = operands(name)
    before = torch.get_num_threads()
    expected = op(first.detach(), second.detach(), *rest)
    try:
        torch.set_num_threads(threads)
        found = op(first.detach(), second.detach(), *rest)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found, expected)


def contraction(dtype, channels=3, *, channel_weights=True, out="1x0e+1x1o+1x1e"):
    edge = FeatureLayout.spherical_harmonics(1)
    return Contraction(
        FeatureLayout.parse("1x0e+1x1o+1x1e"),
        edge,
        FeatureLayout.parse(out),
        num_channels=channels,
        channel_weights=channel_weights,
        dtype=dtype,
        generator=torch.Generator().manual_seed(0),
    )


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("num_env_weights", [2, 1])
@pytest.mark.parametrize("channel_weights", [True, False])
def test_the_module_equals_the_reference(dtype, num_env_weights, channel_weights):
    reference = contraction(dtype, channel_weights=channel_weights)
    fused = fused_contraction(reference)
    assert list(fused.state_dict()) == list(reference.state_dict())
    assert fused.weights is reference.weights
    centre, _ = lists([3, 0, 4, 1])
    index = torch.stack([centre, torch.arange(8) % 4])
    given = [random(8, 7, 3, dtype=dtype), random(8, num_env_weights * 3, dtype=dtype), random(8, 4, dtype=dtype)]
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
        ({"family": "environment", "dtype": "float32", "channels": 1}, "blocks"),
        ({"family": "environment", "dtype": "float32", "blocks": [1, "3"], "channels": 1}, "blocks"),
        ({"family": "environment", "dtype": "float32", "blocks": [], "channels": 1}, "blocks"),
        ({"family": "environment", "dtype": "float32", "blocks": [1], "channels": "1"}, "channels"),
    ],
)
def test_wrong_specs_are_refused(spec, message):
    with pytest.raises(KernelError, match=message):
        registry.handle_of(spec)
