"""Rewritten sums have the same values at any size."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from equipot.compile._passes import without_atomic_sums

aten = torch.ops.aten
PATHS = torch.tensor([0, 0, 0, 1, 2, 2])
GAPS = torch.tensor([0, 0, 3, 3, 3, 3])


def traced(function, *arguments):
    return make_fx(function, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*arguments)


def targets(graph_module):
    return [node.target for node in graph_module.graph.nodes]


@pytest.mark.parametrize("tail", [(), (3,), (4, 2)])
def test_sums_over_edges(tail):
    def sums(index, values):
        zeros = torch.zeros(6, *tail, dtype=values.dtype)
        return zeros.index_add(0, index, values)

    module = traced(sums, torch.tensor([0, 0, 2, 5, 5]), torch.randn(5, *tail, dtype=torch.float64))
    assert without_atomic_sums(module) == 1
    assert aten.index_add.default not in targets(module)
    generator = torch.Generator().manual_seed(1)
    for n_edges in (0, 1, 40):
        index = torch.randint(6, (n_edges,), generator=generator)
        values = torch.randn(n_edges, *tail, dtype=torch.float64, generator=generator)
        torch.testing.assert_close(module(index, values), sums(index, values), rtol=1e-14, atol=1e-14)


def test_gradients_of_rows_selected_by_a_constant_index():
    def gradient(weights, values):
        with torch.enable_grad():
            weights = weights.detach().requires_grad_()
            total = (weights.index_select(1, PATHS) * values).sum()
            return torch.autograd.grad(total, weights)[0]

    module = traced(gradient, torch.randn(5, 3, 4), torch.randn(5, 6, 4))
    assert without_atomic_sums(module) == 1
    assert aten.index_add.default not in targets(module)
    weights, values = torch.randn(9, 3, 4), torch.randn(9, 6, 4)
    torch.testing.assert_close(module(weights, values), gradient(weights, values))


def test_other_sums_stay_as_they_are():
    def sums(values, index):
        with_gaps = torch.zeros(2, 5).index_add(1, GAPS, values)
        by_argument = torch.zeros(2, 5).index_add(1, index, values)
        return with_gaps + by_argument + torch.zeros(2, 5).index_add(1, GAPS, values, alpha=2.0)

    values = torch.randn(2, 6)
    module = traced(sums, values, GAPS)
    assert without_atomic_sums(module) == 0
    torch.testing.assert_close(module(values, PATHS), sums(values, PATHS))
