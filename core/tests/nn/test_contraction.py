import math
from functools import partial

import pytest
import torch
from e3nn import o3
from torch.fx.experimental.proxy_tensor import make_fx

from equipot.nn.clebsch_gordan import clebsch_gordan
from equipot.nn.contraction import Contraction
from equipot.nn.edges import Edges
from equipot.nn.irreps import FeatureLayout
from equipot.nn.spherical import SphericalHarmonics
from equipot_test_support.ops import check_to_the_second

SPHERICAL = SphericalHarmonics(2)
IN = FeatureLayout.parse("0e+0o+1e+1o+2e+2o")
NATURAL = SPHERICAL.layout
SCALAR = FeatureLayout.parse("0e")
U = 3


def make(layout_in=IN, layout_out=IN, *, channel_weights=True, dtype=torch.float64) -> Contraction:
    return Contraction(
        layout_in,
        SPHERICAL.layout,
        layout_out,
        num_channels=U,
        channel_weights=channel_weights,
        dtype=dtype,
        generator=torch.Generator().manual_seed(4),
    )


def contract(contraction, tensors, attributes, env_weights, normalization, edge_index):
    edges = Edges(edge_index, torch.zeros(0), attributes)
    return contraction(tensors, env_weights, edges, normalization)


def random_input(contraction, n_atoms=4, n_edges=11, *, n_weights=3, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    vectors = normal(n_edges, 3)
    centre = torch.randint(n_atoms, (n_edges,), generator=generator).sort().values
    edge_index = torch.stack([centre, torch.randint(n_atoms, (n_edges,), generator=generator)])
    attributes = SPHERICAL(vectors / vectors.norm(dim=1, keepdim=True))
    tensors = normal(n_edges, contraction.layout_in.dim, U)
    return tensors, attributes, normal(n_edges, n_weights * U), normal(n_atoms, 1), edge_index


def path_by_path(contraction, tensors, attributes, env_weights, normalization, edge_index):
    """The definition: sum the environments, then one product of two tensors an edge and path."""
    n_atoms, edge_blocks = normalization.shape[0], contraction.layout_edge.blocks
    weights = env_weights.unflatten(1, (-1, U)).expand(-1, len(edge_blocks), -1)
    environment = []
    for index, block in enumerate(edge_blocks):
        y = attributes[:, block.start : block.start + block.size]
        total = torch.zeros(n_atoms, block.size, U, dtype=tensors.dtype)
        environment.append(
            normalization[:, None] * total.index_add(0, edge_index[0], torch.einsum("eb,eu->ebu", y, weights[:, index]))
        )
    result = torch.zeros(len(tensors), contraction.layout_out.dim, U, dtype=tensors.dtype)
    for path, q in zip(contraction.paths, contraction.weights, strict=True):
        source, out = contraction.layout_in.blocks[path.source], contraction.layout_out.blocks[path.out]
        coupling = clebsch_gordan(source.irrep.l, edge_blocks[path.edge].irrep.l, out.irrep.l)
        x = tensors[:, source.start : source.start + source.size]
        a = environment[path.edge][edge_index[0]]
        part = math.sqrt(out.irrep.dim) * torch.einsum("eau,ebu,abk->eku", x, a, coupling) * q
        result[:, out.start : out.start + out.size] += part
    return result


@pytest.mark.parametrize("channel_weights", [True, False])
@pytest.mark.parametrize("n_weights", [3, 1])
@pytest.mark.parametrize(
    ("layout_in", "layout_out"), [(IN, IN), (NATURAL, IN), (IN, SCALAR), (NATURAL, NATURAL), (SCALAR, NATURAL)]
)
def test_equals_the_definition(layout_in, layout_out, n_weights, channel_weights):
    contraction = make(layout_in, layout_out, channel_weights=channel_weights)
    inputs = random_input(contraction, n_weights=n_weights)
    found, expected = contract(contraction, *inputs), path_by_path(contraction, *inputs)
    assert found.shape == (11, layout_out.dim, U)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_paths_are_listed_by_result_then_tensor_then_edge():
    layout = FeatureLayout.parse("0e+1o")
    listed = [(path.out, path.source, path.edge) for path in make(layout, layout).paths]
    assert listed == [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 2)]
    assert make(layout, layout).weights.shape == (5, U)
    assert make(layout, layout, channel_weights=False).weights.shape == (5, 1)


def test_only_the_path_weights_are_in_the_state_dict():
    assert list(make().state_dict()) == ["weights"]
    weights = make().weights.detach()
    assert weights.abs().max() < math.sqrt(3.0)
    assert weights.square().mean().item() == pytest.approx(1.0, abs=0.2)
    assert torch.equal(make(dtype=torch.float32).weights, weights.float())


@pytest.mark.usefixtures("float64_by_default")
@pytest.mark.parametrize("inverted", [0, 1])
def test_equivariance(inverted):
    contraction = make()
    tensors, attributes, *rest = random_input(contraction)
    angles = torch.tensor([0.7, 1.1, -2.3, inverted])
    layouts = (contraction.layout_in, contraction.layout_edge, contraction.layout_out)
    d_in, d_edge, d_out = (o3.Irreps(str(layout)).D_from_angles(*angles) for layout in layouts)
    moved = contract(contraction, torch.einsum("ab,ebu->eau", d_in, tensors), attributes @ d_edge.T, *rest)
    expected = torch.einsum("ab,ebu->eau", d_out, contract(contraction, tensors, attributes, *rest))
    torch.testing.assert_close(moved, expected, rtol=1e-10, atol=1e-10)
    assert expected.abs().max() > 0.1


def test_derivatives_of_first_and_second_order():
    contraction = make(FeatureLayout.parse("0e+1o"), FeatureLayout.parse("0e+1o"))
    *inputs, edge_index = random_input(contraction, n_atoms=2, n_edges=2)
    check_to_the_second(lambda *x: contract(contraction, *x, edge_index), inputs)


def test_an_edge_does_not_feel_other_centres():
    contraction = make()
    tensors, attributes, env_weights, normalization, edge_index = random_input(contraction)
    first = edge_index[0] == edge_index[0, 0]
    changed = torch.where(first[:, None], env_weights, 2.0 * env_weights + 1.0)
    before = contract(contraction, tensors, attributes, env_weights, normalization, edge_index)
    after = contract(contraction, tensors, attributes, changed, normalization, edge_index)
    assert torch.equal(before[first], after[first])
    assert not torch.equal(before[~first], after[~first])


@pytest.mark.parametrize(("n_atoms", "n_edges"), [(1, 0), (3, 0), (1, 2)])
def test_no_edges_and_one_atom(n_atoms, n_edges):
    contraction = make()
    inputs = random_input(contraction, n_atoms, n_edges)
    torch.testing.assert_close(contract(contraction, *inputs), path_by_path(contraction, *inputs))


def test_traces_with_symbolic_sizes():
    contraction = make()
    trace = make_fx(partial(contract, contraction), tracing_mode="symbolic", _allow_non_fake_inputs=True)
    traced = trace(*random_input(contraction))
    for n_atoms, n_edges in ((1, 0), (1, 3), (7, 20)):
        inputs = random_input(contraction, n_atoms, n_edges, seed=1)
        torch.testing.assert_close(traced(*inputs), contract(contraction, *inputs), rtol=1e-12, atol=1e-12)


def test_tensors_that_are_attributes_times_weights():
    whole = make(NATURAL, IN)
    short = Contraction(
        NATURAL,
        NATURAL,
        IN,
        num_channels=U,
        channel_weights=True,
        from_weights=True,
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(4),
    )
    _, attributes, env_weights, normalization, edge_index = random_input(whole)
    weights = torch.randn(11, 3, U, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    tensors = attributes.unsqueeze(2) * weights[:, [0, 1, 1, 1, 2, 2, 2, 2, 2]]
    rest = (attributes, env_weights, normalization, edge_index)
    found, expected = contract(short, weights.flatten(1), *rest), contract(whole, tensors, *rest)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
