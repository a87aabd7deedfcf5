import math
from functools import partial

import pytest
import torch
from e3nn import o3
from torch.fx.experimental.proxy_tensor import make_fx

from equipot.nn.clebsch_gordan import clebsch_gordan
from equipot.nn.edges import Edges
from equipot.nn.irreps import FeatureLayout
from equipot.nn.spherical import SphericalHarmonics
from equipot.nn.tensor_product import Convolution
from equipot_test_support.ops import check_to_the_second

IN = FeatureLayout.parse("4x0e+2x0o+3x1e+2x1o+1x2e")
SPHERICAL = SphericalHarmonics(2)
ALLOWED = FeatureLayout.parse("1x0e+1x0o+1x1e+1x1o+1x2e+1x2o")


def make(layout=IN, allowed=ALLOWED) -> Convolution:
    return Convolution(layout, SPHERICAL.layout, allowed, dtype=torch.float64)


def convolve(convolution, features, attributes, weights, edge_index):
    edges = Edges(edge_index, torch.zeros(0), attributes)
    return convolution(features, lambda _: weights, edges)


def random_input(convolution: Convolution, n_atoms: int = 4, n_edges: int = 11, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    vectors = normal(n_edges, 3)
    edge_index = torch.randint(n_atoms, (2, n_edges), generator=generator)
    attributes = SPHERICAL(vectors / vectors.norm(dim=1, keepdim=True))
    return normal(n_atoms, convolution.layout_in.dim), attributes, normal(n_edges, convolution.num_weights), edge_index


def test_clebsch_gordan_signs_are_those_trained_weights_rely_on():
    # Levi-Civita, identity and quadrupole couplings, written down once; a change of e3nn's
    # convention would change the predictions of every stored model.
    epsilon = torch.zeros(3, 3, 3, dtype=torch.float64)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        epsilon[i, j, k], epsilon[j, i, k] = 1.0, -1.0
    torch.testing.assert_close(clebsch_gordan(1, 1, 1), epsilon / math.sqrt(6), rtol=0, atol=1e-14)
    torch.testing.assert_close(
        clebsch_gordan(1, 1, 0)[:, :, 0], torch.eye(3, dtype=torch.float64) / math.sqrt(3), rtol=0, atol=1e-14
    )
    torch.testing.assert_close(
        clebsch_gordan(0, 2, 2)[0], torch.eye(5, dtype=torch.float64) / math.sqrt(5), rtol=0, atol=1e-14
    )
    quadrupole = clebsch_gordan(1, 1, 2)
    signed_squares = {
        (0, 2, 0): 3,
        (0, 1, 1): 3,
        (1, 1, 2): 4,
        (0, 0, 2): -1,
        (1, 2, 3): 3,
        (2, 2, 4): 3,
        (0, 0, 4): -3,
    }
    for index, square in signed_squares.items():
        expected = math.copysign(math.sqrt(abs(square) / 30), square)
        assert quadrupole[index].item() == pytest.approx(expected, abs=1e-14), index


STORED_COUPLINGS = {
    (2, 1, 3): {
        (0, 0, 6): -0.2672612419124244,
        (1, 1, 2): 0.2760262237369417,
        (2, 1, 3): 0.29277002188456,
        (0, 2, 2): -0.06900655593423542,
    },
    (2, 2, 3): {
        (0, 1, 0): 0.18898223650461357,
        (0, 2, 5): 0.26726124191242434,
        (0, 3, 4): -0.14638501094227996,
        (1, 3, 3): -0.23904572186687867,
    },
    (3, 2, 2): {
        (0, 0, 1): 0.1889822365046136,
        (1, 4, 2): -0.2672612419124244,
        (2, 2, 3): 0.16903085094570333,
        (2, 3, 4): -0.14638501094227996,
    },
}


@pytest.mark.parametrize("degrees", STORED_COUPLINGS)
def test_clebsch_gordan_of_higher_degree_has_the_stored_numbers(degrees):
    tensor = clebsch_gordan(*degrees)
    assert tensor.square().sum().item() == pytest.approx(1.0, abs=1e-13)
    for index, value in STORED_COUPLINGS[degrees].items():
        assert tensor[index].item() == pytest.approx(value, abs=1e-13), index


def relative_sign(path):
    """Of our coupling and that of the installed e3nn, whose signs changed after 0.4."""
    degrees = IN.blocks[path.source].irrep.l, SPHERICAL.layout.blocks[path.edge].irrep.l, path.irrep.l
    product = (clebsch_gordan(*degrees) * o3.wigner_3j(*degrees)).sum().item()
    assert abs(product) == pytest.approx(1.0, abs=1e-6)
    return math.copysign(1.0, product)


@pytest.mark.usefixtures("float64_by_default")
def test_equals_e3nn_with_unequal_multiplicities():
    convolution = make()
    features, attributes, weights, edge_index = random_input(convolution)
    slots = o3.Irreps([(IN.blocks[path.source].mul, str(path.irrep)) for path in convolution.paths])
    instructions = [(path.source, path.edge, slot, "uvu", True) for slot, path in enumerate(convolution.paths)]
    theirs = o3.TensorProduct(
        str(IN), str(SPHERICAL.layout), slots, instructions, shared_weights=False, internal_weights=False
    )
    messages = theirs(IN.to_e3nn(features)[edge_index[1]], attributes, weights)
    sums = torch.zeros(4, slots.dim, dtype=torch.float64).index_add(0, edge_index[0], messages)
    found = convolve(convolution, features, attributes, weights, edge_index)
    assert found.shape == (4, convolution.layout_out.dim)
    for block in convolution.layout_out.blocks:
        parts = [
            sums[:, part].reshape(4, mul_ir.mul, mul_ir.ir.dim) * relative_sign(path)
            for part, mul_ir, path in zip(slots.slices(), slots, convolution.paths, strict=True)
            if str(mul_ir.ir) == str(block.irrep)
        ]
        expected = torch.cat(parts, dim=1).transpose(1, 2)
        torch.testing.assert_close(convolution.layout_out.view(found, block), expected, rtol=1e-12, atol=1e-12)


def test_paths_are_listed_by_feature_then_edge_then_result():
    convolution = make(FeatureLayout.parse("2x0e+3x1o"), FeatureLayout.parse("1x0e+1x1o+1x2e"))
    listed = [(path.source, path.edge, str(path.irrep)) for path in convolution.paths]
    assert listed == [(0, 0, "0e"), (0, 1, "1o"), (0, 2, "2e"), (1, 0, "1o"), (1, 1, "0e"), (1, 1, "2e"), (1, 2, "1o")]
    assert convolution.num_weights == 3 * 2 + 4 * 3
    assert str(convolution.layout_out) == "5x0e+8x1o+5x2e"


@pytest.mark.usefixtures("float64_by_default")
@pytest.mark.parametrize("inverted", [0, 1])
def test_equivariance(inverted):
    convolution = make()
    features, attributes, weights, edge_index = random_input(convolution)
    angles = torch.tensor([0.7, 1.1, -2.3, inverted])
    layouts = (convolution.layout_in, convolution.layout_edge, convolution.layout_out)
    d_in, d_edge, d_out = (o3.Irreps(str(layout)).D_from_angles(*angles) for layout in layouts)

    def rotated(layout, rotation, x):
        return layout.from_e3nn(layout.to_e3nn(x) @ rotation.T)

    moved = convolve(
        convolution, rotated(layouts[0], d_in, features), rotated(layouts[1], d_edge, attributes), weights, edge_index
    )
    expected = rotated(layouts[2], d_out, convolve(convolution, features, attributes, weights, edge_index))
    torch.testing.assert_close(moved, expected, rtol=1e-10, atol=1e-10)
    assert expected.abs().max() > 0.1


def test_derivatives_of_first_and_second_order():
    convolution = make(FeatureLayout.parse("2x0e+1x1o"), FeatureLayout.parse("1x0e+1x1o+1x2e"))
    *inputs, edge_index = random_input(convolution, n_atoms=2, n_edges=2)
    check_to_the_second(lambda *x: convolve(convolution, *x, edge_index), inputs)


@pytest.mark.parametrize(("n_atoms", "n_edges"), [(1, 0), (3, 0), (1, 2)])
def test_no_edges_and_one_atom(n_atoms, n_edges):
    convolution = make()
    result = convolve(convolution, *random_input(convolution, n_atoms, n_edges))
    assert result.shape == (n_atoms, convolution.layout_out.dim)
    assert bool((result == 0).all()) == (n_edges == 0)


def test_order_of_edges_does_not_matter():
    convolution = make()
    features, attributes, weights, edge_index = random_input(convolution)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(3))
    shuffled = convolve(convolution, features, attributes[order], weights[order], edge_index[:, order])
    torch.testing.assert_close(
        shuffled, convolve(convolution, features, attributes, weights, edge_index), rtol=1e-12, atol=1e-12
    )


def test_traces_with_symbolic_sizes():
    convolution = make(FeatureLayout.parse("2x0e+3x1o"), FeatureLayout.parse("1x0e+1x1e"))
    trace = make_fx(partial(convolve, convolution), tracing_mode="symbolic", _allow_non_fake_inputs=True)
    traced = trace(*random_input(convolution))
    for n_atoms, n_edges in ((1, 0), (1, 3), (7, 20)):
        inputs = random_input(convolution, n_atoms, n_edges, seed=1)
        torch.testing.assert_close(traced(*inputs), convolve(convolution, *inputs), rtol=0, atol=0)


def test_nothing_in_the_state_dict():
    assert not make().state_dict()
