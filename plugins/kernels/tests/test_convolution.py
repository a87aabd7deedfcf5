import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from equipot.errors import DataError
from equipot.nn.edges import Edges
from equipot.nn.irreps import FeatureLayout, Irrep
from equipot.nn.tensor_product import Convolution
from equipot_kernels._convolution.fused import FusedConvolution
from equipot_kernels._convolution.ops import conv_backward, conv_double, conv_forward
from equipot_kernels._convolution.table_ops import table_backward, table_double, table_forward
from equipot_kernels._edge_lists import edge_lists
from equipot_kernels._spline.radial import interpolate

TOLERANCES = {torch.float32: 3e-6, torch.float64: 1e-13}
"""How much results may differ, relative to the largest number; third derivatives are sums of many terms."""

LAYOUT = "5x0e+3x1o"
"""Multiplicities that fill no vector."""

NUM_KNOTS = 6


class Case:
    """A layer and its arguments."""

    def __init__(self, layout=LAYOUT, l_max=1, dtype=torch.float64, n_atoms=4, n_edges=19, seed=0):
        random = torch.Generator().manual_seed(seed)
        layout_in, layout_edge = FeatureLayout.parse(layout), FeatureLayout.spherical_harmonics(l_max)
        allowed = [block.irrep for block in layout_in.blocks]
        self.reference = Convolution(layout_in, layout_edge, allowed, dtype=dtype)
        self.fused = FusedConvolution(self.reference)
        centre = torch.randint(n_atoms, (n_edges,), generator=random).sort()[0]
        self.index = torch.stack([centre, torch.randint(n_atoms, (n_edges,), generator=random)])

        def draw(*shape, dtype=dtype):
            return torch.randn(*shape, generator=random, dtype=dtype).requires_grad_()

        self.x, self.y = draw(n_atoms, layout_in.dim), draw(n_edges, layout_edge.dim)
        self.w = draw(n_edges, self.reference.num_weights)
        self.edges = Edges(self.index, None, self.y)
        self.lists = (self.index, *edge_lists(self.edges, n_atoms))
        self.handle = self.fused.handles[dtype]
        table = torch.randn(2, NUM_KNOTS, 4, self.reference.num_weights, generator=random, dtype=dtype)
        table[:, -1] = 0.0
        self.table = table.flatten(0, 1).requires_grad_()
        along = torch.rand(n_edges, generator=random, dtype=torch.float64) * 1.2 * (NUM_KNOTS - 1)
        row = along.long().clamp(0, NUM_KNOTS - 1)
        self.place = (along - row).requires_grad_()
        self.row = row + NUM_KNOTS * torch.randint(2, (n_edges,), generator=random)

    def explicit(self, convolution, x, y, w):
        return convolution(x, lambda _: w, Edges(self.index, None, y))

    def by_reference(self, x, y, w):
        return self.explicit(self.reference, x, y, w)

    def by_kernel(self, x, y, w):
        return self.explicit(self.fused, x, y, w)

    def table_by_reference(self, x, y, place, table):
        return self.by_reference(x, y, interpolate(table, self.row, place))

    def table_by_kernel(self, x, y, place, table):
        rest = (self.row, *self.lists, NUM_KNOTS, self.handle)
        return table_forward(x, y, place, table, *rest)


def derivatives(function, arguments, order, along=None):
    """Value and gradients up to an order, each along all arguments and all cotangents before."""
    random = torch.Generator().manual_seed(3)
    results = function(*arguments)
    found, given_to, results = [results], list(arguments if along is None else along), [results]
    for _ in range(order):
        cotangents = [torch.randn(r.shape, generator=random, dtype=r.dtype).requires_grad_() for r in results]
        results = torch.autograd.grad(
            results, given_to, cotangents, create_graph=True, allow_unused=True, materialize_grads=True
        )
        given_to = [*given_to, *cotangents]
        found += results
    return [part.detach() for part in found]


def check_same(found, expected, dtype):
    for one, other in zip(found, expected, strict=True):
        scale = max(float(other.abs().max()), 1.0) if other.numel() else 1.0
        torch.testing.assert_close(one, other, rtol=0, atol=TOLERANCES[dtype] * scale)


def without_beyond(parts):
    """Gradients of a table without the rows that stay zero."""
    rows = 2 * NUM_KNOTS
    return [part.view(2, NUM_KNOTS, *part.shape[1:])[:, :-1] if part.shape[0] == rows else part for part in parts]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", list(TOLERANCES))
def test_three_derivatives(dtype):
    case = Case(dtype=dtype)
    arguments = (case.x, case.y, case.w)
    check_same(derivatives(case.by_kernel, arguments, 3), derivatives(case.by_reference, arguments, 3), dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", list(TOLERANCES))
def test_three_derivatives_of_tables(dtype):
    case = Case(dtype=dtype)
    arguments = (case.x, case.y, case.place, case.table)
    found, expected = (derivatives(f, arguments, 3) for f in (case.table_by_kernel, case.table_by_reference))
    check_same(without_beyond(found), without_beyond(expected), dtype)


def test_what_training_differentiates_with_tables():
    """Forces first, then weights and features: the kernels' own way, not the composed one."""
    case, dtype = Case(), torch.float64

    def trained(function):
        out = function(case.x, case.y, case.place, case.table)
        random = torch.Generator().manual_seed(5)
        g = torch.randn(out.shape, generator=random, dtype=dtype).requires_grad_()
        forces = torch.autograd.grad(out, [case.x, case.y, case.place], g, create_graph=True)
        cotangents = [torch.randn(f.shape, generator=random, dtype=f.dtype) for f in forces]
        return [part.detach() for part in torch.autograd.grad(forces, [g, case.x, case.table], cotangents)]

    found, expected = trained(case.table_by_kernel), trained(case.table_by_reference)
    check_same(without_beyond(found), without_beyond(expected), dtype)


@pytest.mark.parametrize("wanted", ["x", "y", "w", "xy", "xw", "yw"])
def test_some_gradients_only(wanted):
    case = Case()
    arguments = {"x": case.x, "y": case.y, "w": case.w}
    given_to = [arguments[letter] for letter in wanted]
    fixed = [part if letter in wanted else part.detach() for letter, part in arguments.items()]
    found, expected = (derivatives(f, fixed, 1, given_to) for f in (case.by_kernel, case.by_reference))
    check_same(found, expected, torch.float64)


@pytest.mark.parametrize("wanted", ["x", "y", "p", "t", "yp", "xt", "xyp", "ypt"])
def test_some_gradients_with_tables_only(wanted):
    case = Case()
    arguments = {"x": case.x, "y": case.y, "p": case.place, "t": case.table}
    given_to = [arguments[letter] for letter in wanted]
    fixed = [part if letter in wanted else part.detach() for letter, part in arguments.items()]
    found, expected = (derivatives(f, fixed, 1, given_to) for f in (case.table_by_kernel, case.table_by_reference))
    check_same(without_beyond(found), without_beyond(expected), torch.float64)


def test_gradients_of_weights_that_no_cache_can_hold():
    case = Case(layout="16x0e", l_max=0, dtype=torch.float32, n_atoms=800, n_edges=40_000)
    assert case.w.numel() * 4 > 2 << 20
    arguments = (case.x, case.y, case.w)
    check_same(
        derivatives(case.by_kernel, arguments, 2), derivatives(case.by_reference, arguments, 2), dtype=torch.float32
    )


def test_gradients_along_intermediate_results():
    case = Case()
    x, y, w = (part * 1.0 for part in (case.x, case.y, case.w))
    found, expected = (derivatives(f, (x, y, w), 2, [x, y]) for f in (case.by_kernel, case.by_reference))
    check_same(found, expected, torch.float64)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 9), st.integers(0, 70), st.integers(0, 10**6))
def test_any_number_of_atoms_and_edges(n_atoms, n_edges, seed):
    case = Case(n_atoms=n_atoms, n_edges=n_edges, seed=seed)
    arguments = (case.x, case.y, case.w)
    found, expected = derivatives(case.by_kernel, arguments, 2), derivatives(case.by_reference, arguments, 2)
    check_same(found, expected, torch.float64)


blocks = st.tuples(st.integers(1, 40), st.integers(0, 3), st.sampled_from("eo"))


@pytest.mark.slow
@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.lists(blocks, min_size=1, max_size=3), st.integers(0, 2), st.sampled_from(list(TOLERANCES)))
def test_any_layout(terms, l_max, dtype):
    layout = FeatureLayout((mul, Irrep(l, 1 if p == "e" else -1)) for mul, l, p in terms)
    case = Case(str(layout), l_max, dtype)
    arguments = (case.x, case.y, case.w)
    check_same(derivatives(case.by_kernel, arguments, 2), derivatives(case.by_reference, arguments, 2), dtype)
    arguments = (case.x, case.y, case.place, case.table)
    found, expected = (derivatives(f, arguments, 1) for f in (case.table_by_kernel, case.table_by_reference))
    check_same(without_beyond(found), without_beyond(expected), dtype)


@pytest.mark.slow
def test_l_max_4_with_parity():
    case = Case("2x0e+1x1e+2x1o+1x3o+1x4o", 4)
    arguments = (case.x, case.y, case.w)
    found, expected = derivatives(case.by_kernel, arguments, 1), derivatives(case.by_reference, arguments, 1)
    check_same(found, expected, torch.float64)


def test_gradcheck():
    case = Case(n_atoms=2, n_edges=3)
    arguments = (case.x, case.y, case.w)
    assert gradcheck(case.by_kernel, arguments, fast_mode=True)
    assert gradgradcheck(case.by_kernel, arguments, fast_mode=True)


def ops_and_arguments():
    case = Case(n_atoms=3, n_edges=5)
    rest, of_table = (*case.lists, case.handle), (case.row, *case.lists, NUM_KNOTS, case.handle)
    g = case.by_kernel(case.x, case.y, case.w).detach().requires_grad_()
    explicit, table = (case.x, case.y, case.w), (case.x, case.y, case.place, case.table)
    return [
        (conv_forward, (*explicit, *rest)),
        (conv_backward, (g, *explicit, *rest, True, True, True)),
        (conv_backward, (g, *explicit, *rest, False, True, True)),
        (conv_double, (*explicit, g, *explicit, *rest)),
        (table_forward, (*table, *of_table)),
        (table_backward, (g, *table, *of_table, True, True, False)),
        (table_double, (*table[:3], g, *table, *of_table, True)),
    ]


def test_ops_keep_torchs_rules():
    for op, arguments in ops_and_arguments():
        torch.library.opcheck(
            op, arguments, test_utils=("test_schema", "test_faketensor", "test_autograd_registration")
        )


@pytest.mark.slow
def test_ops_can_be_compiled_with_dynamic_sizes():
    for op, arguments in ops_and_arguments():
        torch.library.opcheck(op, arguments, test_utils="test_aot_dispatch_dynamic")


def test_two_threads_give_the_same_bits(monkeypatch):
    case = Case(n_atoms=40, n_edges=300)
    explicit, table = (case.x, case.y, case.w), (case.x, case.y, case.place, case.table)
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append([*derivatives(case.by_kernel, explicit, 2), *derivatives(case.table_by_kernel, table, 1)])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_strided_arguments():
    case = Case()
    x, y, w = (torch.stack([part, part], dim=-1)[..., 0] for part in (case.x, case.y, case.w))
    assert not x.is_contiguous()
    torch.testing.assert_close(case.by_kernel(x, y, w), case.by_kernel(case.x, case.y, case.w), rtol=0, atol=0)


@pytest.mark.parametrize("which", ["x", "y", "w"])
def test_not_a_number_is_passed_on(which):
    case = Case(n_atoms=3, n_edges=12)
    arguments = {"x": case.x.detach().clone(), "y": case.y.detach().clone(), "w": case.w.detach().clone()}
    arguments[which][0] = float("nan")
    expected = case.by_reference(**arguments).isnan()
    assert expected.any()
    assert torch.equal(case.by_kernel(**arguments).isnan(), expected)


def test_length_that_is_no_number_is_passed_on():
    case = Case(n_atoms=1, n_edges=2)
    case.row[:] = 0
    place = torch.tensor([0.5, float("nan")], dtype=torch.float64)
    assert case.table_by_kernel(case.x, case.y, place, case.table).isnan().all()


def test_edges_beyond_the_cutoff_do_nothing():
    case = Case()
    beyond = (case.row + 1) % NUM_KNOTS == 0
    assert beyond.any()
    y = torch.where(beyond.unsqueeze(1), torch.full_like(case.y, float("nan")), case.y).detach().requires_grad_()
    out = case.table_by_kernel(case.x, y, case.place, case.table)
    assert out.isfinite().all()
    gy, gplace = torch.autograd.grad(out.sum(), [y, case.place])
    assert (gy[beyond] == 0).all()
    assert (gplace[beyond] == 0).all()


def test_unsorted_edges_are_refused():
    index = torch.tensor([[1, 0], [0, 1]])
    with pytest.raises(DataError, match="edge_index: must be sorted by centre; sort the edges by edge_index\\[0\\]"):
        edge_lists(Edges(index, None, torch.ones(2, 1)), 2)


@pytest.mark.parametrize("wrong", [-1, 2])
def test_atoms_that_are_not_there_are_refused(wrong):
    with pytest.raises(DataError, match=r"edge_index: must hold atoms from 0 to 1, got \("):
        edge_lists(Edges(torch.tensor([[0, 1], [1, wrong]]), None, torch.ones(2, 1)), 2)


def test_edge_lists():
    index = torch.tensor([[0, 0, 2, 2, 2], [2, 0, 0, 1, 0]])
    ptr, sent_ptr, sent = edge_lists(Edges(index, None, torch.ones(5, 1)), 3)
    assert ptr.tolist() == [0, 2, 2, 5]
    assert sent_ptr.tolist() == [0, 3, 4, 5]
    assert sent.tolist() == [1, 2, 4, 3, 0]


def test_other_dtypes_go_through_the_reference():
    case = Case()
    x, y, w = (part.detach().to(torch.bfloat16) for part in (case.x, case.y, case.w))
    reference = case.reference.to(torch.bfloat16)
    assert torch.equal(case.explicit(case.fused, x, y, w), case.explicit(reference, x, y, w))
