import copy
import dataclasses
import logging
from typing import ClassVar

import pytest
import torch

from equipot.artifacts import random_frames
from equipot.artifacts._golden import approximations_of
from equipot.compile import export_model
from equipot.errors import ConfigError
from equipot.model import EnergyModule, ModelBuilder, apply_modifier
from equipot.nn.edges import Edges
from equipot.nn.embedding import TypeEmbedding
from equipot.nn.irreps import FeatureLayout
from equipot.nn.radial import RadialEmbedding
from equipot.nn.radial_function import RadialFunction, RadialNetwork
from equipot.nn.spherical import SphericalHarmonics
from equipot.nn.tensor_product import Convolution
from equipot_kernels import _force_error as force_error
from equipot_kernels._radial_splines import enable_RadialSplines, train_with_RadialSplines, with_splines
from equipot_kernels._spline.radial import SplineRadial
from equipot_testing.conformance import ModifierConformance
from equipot_testing.toy import ToyModel

ENABLE, TRAIN = "enable_RadialSplines", "train_with_RadialSplines"


class Messages(EnergyModule):
    """Two convolutions, the second back to scalars."""

    requires = ("edge_vectors", "edge_lengths", "normalized_edge_lengths", "edge_index", "atom_types")
    locality = "hops(2)"

    def __init__(self, context):
        super().__init__()
        dtype, generator, width = context.model_dtype, context.generator, 4
        self.spherical, self.dtype = SphericalHarmonics(1), dtype
        self.type_embedding = TypeEmbedding(context.num_types, width, dtype=dtype, generator=generator)
        self.radial_embedding = RadialEmbedding(6, trainable=True, polynomial_cutoff_p=6.0, dtype=dtype)
        scalars = FeatureLayout.parse(f"{width}x0e")
        self.convolutions, layout = torch.nn.ModuleList(), scalars
        for wanted in (FeatureLayout.parse("1x0e+1x1o"), FeatureLayout.parse("1x0e")):
            layer = Convolution(layout, self.spherical.layout, [b.irrep for b in wanted.blocks], dtype=dtype)
            self.convolutions.append(layer)
            layout = layer.layout_out
        self.networks = torch.nn.ModuleList(
            RadialNetwork(self.radial_embedding, (6, 8, layer.num_weights), dtype=dtype, generator=generator)
            for layer in self.convolutions
        )

    def forward(self, data):
        directions = data["edge_vectors"] / data["edge_lengths"].unsqueeze(1)
        attributes = self.spherical(directions).to(self.dtype)
        edges = Edges(data["edge_index"], data["normalized_edge_lengths"], attributes)
        features = self.type_embedding(data["atom_types"])
        for layer, network in zip(self.convolutions, self.networks, strict=True):
            features = layer(features, network, edges)
        return {"atomic_energy": 0.003 * features.sum(1)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MessageModel(ModelBuilder):
    """Two convolutions."""

    def build_energy(self, context):
        return Messages(context)


def build(dtype="float64", steep=1.0):
    options = {"type_names": ["H", "C", "O"], "r_max": 4.0, "model_dtype": dtype, "do_derivatives": False}
    model = MessageModel(**options).build()
    with torch.no_grad():
        for network in model.energy.networks:
            network.weights[0].mul_(steep)
    return model


def forces(model, frame):
    return force_error.probe(model)(frame)["forces"]


def knots(model):
    return {part.num_knots for part in model.energy.modules() if isinstance(part, SplineRadial)}


class TestEnable(ModifierConformance):
    name = ENABLE
    options: ClassVar = {"tolerance": 0.01}
    keeps_energies = False

    def model(self):
        model = build()
        next(model.parameters()).requires_grad_(False)
        return model


class TestTrainWith(TestEnable):
    name = TRAIN
    options: ClassVar = {"num_knots": 33}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("steep", [1.0, 3.0])
def test_forces_are_within_the_tolerance(dtype, steep, caplog):
    model = build(dtype, steep).eval()
    with caplog.at_level(logging.INFO):
        splines = enable_RadialSplines(model, tolerance=1e-5)
    assert "radial splines:" in caplog.text
    assert len(knots(splines)) == 1
    for seed in (3, 4):  # other frames than those it was chosen with
        for frame in random_frames(model.info, seed).values():
            exact = force_error.reference(force_error.probe(model))(frame)["forces"]
            rounding = float((forces(model, frame) - exact).abs().max())
            assert float((forces(splines, frame) - exact).abs().max()) < max(1e-5, 3 * rounding)
            assert frame["edge_index"].shape[1] == 0 or float(exact.abs().max()) > 1e-2


@pytest.mark.slow
def test_tables_are_constants_of_exported_models():
    """A compiled file must not make them again in each call, for whatever engine it is."""
    splines = enable_RadialSplines(build(), tolerance=1e-4)
    exported = export_model(splines, outputs=("total_energy",))
    held = [tuple(one.shape) for one in (*exported.program.constants.values(), *exported.program.state_dict.values())]
    for part in splines.energy.modules():
        if isinstance(part, SplineRadial):
            assert tuple(part.kept_table().shape) in held
    assert not any("linspace" in str(node.target) for node in exported.program.graph.nodes)


def test_steeper_functions_and_smaller_tolerances_get_more_knots():
    flat, steep = build(), build(steep=4.0)
    assert max(knots(enable_RadialSplines(flat, tolerance=1e-4))) < max(knots(enable_RadialSplines(flat)))
    assert max(knots(enable_RadialSplines(flat))) < max(knots(enable_RadialSplines(steep)))


def test_a_tolerance_out_of_reach_is_an_error_that_says_what_was_reached():
    with pytest.raises(ConfigError, match=r"enable_RadialSplines: 65 knots give forces that are \d\.\de-\d\d eV/Å off"):
        apply_modifier(build(steep=4.0), ENABLE, {"max_knots": 65})


def test_a_tolerance_below_the_rounding_of_float32_is_a_warning(caplog):
    with caplog.at_level(logging.INFO):
        splines = enable_RadialSplines(build("float32"), tolerance=1e-12)
    (record,) = [record for record in caplog.records if "radial splines:" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert "; the model's own rounding in float32 is " in record.getMessage()
    deviation = approximations_of(splines.replace(derivatives=force_error._Forces()))["deviations"]["forces"]
    assert 0.0 < deviation < 1e-5


def test_options_are_checked():
    with pytest.raises(ConfigError, match="tolerance"):
        apply_modifier(build(), ENABLE, {"tolerance": 0.0})
    with pytest.raises(ConfigError, match="num_knots"):
        apply_modifier(build(), TRAIN, {"num_knots": 1})


@pytest.mark.parametrize("modifier", [enable_RadialSplines, train_with_RadialSplines])
def test_a_model_without_radial_functions_is_refused(modifier):
    model = ToyModel(type_names=["H"], r_max=3.0, do_derivatives=False).build()
    with pytest.raises(ConfigError, match="ToyEnergy has no radial functions"):
        modifier(model)


def test_pairs_lie_between_the_knots_and_see_no_others():
    info = dataclasses.replace(build().info, cutoffs=((4.0, 3.0, 2.0), (3.0, 4.0, 3.5), (1.0, 3.5, 4.0)))
    frame = force_error.pairs_between_knots(info, 129)
    centre, neighbour = frame["edge_index"]
    types = frame["atom_types"]
    assert bool((centre // 2 == neighbour // 2).all())
    assert {(int(a), int(b)) for a, b in types.view(-1, 2)} == {(a, b) for a in range(3) for b in range(3)}
    lengths = (frame["positions"][1::2] - frame["positions"][::2]).norm(dim=1)
    x = lengths / torch.tensor(info.cutoffs, dtype=torch.float64)[types[::2], types[1::2]]
    place = x * 128 - (x * 128).floor()
    torch.testing.assert_close(place, torch.full_like(place, 0.21132487), rtol=0, atol=1e-6)
    assert 0.1 <= float(x.min()) < 0.11
    assert 0.98 < float(x.max()) < 1.0


def test_the_slope_is_least_exact_where_pairs_are_put():
    exact = force_error.probe(build())
    splines = exact.replace(energy=with_splines(exact.energy, 33))
    network, spline = exact.energy.networks[0], splines.energy.networks[0]
    place = torch.arange(8, 24, dtype=torch.float64)

    def slope_error(fraction):
        x = ((place + fraction) / 32).requires_grad_()
        return float(torch.autograd.grad((network.evaluate(x) - spline.evaluate(x))[:, 0].sum(), x)[0].abs().sum())

    worst = slope_error(force_error._WORST_PLACE)
    assert worst > max(slope_error(fraction) for fraction in (0.05, 0.4, 0.5))


def test_training_gradients_equal_those_of_the_exact_model():
    model = build().replace(derivatives=force_error._Forces()).train()
    splines = train_with_RadialSplines(model, num_knots=1025)
    frame = random_frames(model.info)["triclinic"]

    def gradients(of):
        outputs = of(frame)
        loss = outputs["forces"].square().sum() + outputs["total_energy"].square().sum()
        return torch.autograd.grad(loss, list(of.parameters()), allow_unused=True, materialize_grads=True)

    for found, expected in zip(gradients(splines), gradients(model), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * max(1e-3, float(expected.abs().max())))


def test_the_average_of_a_trained_model_has_tables_of_its_own_weights():
    model = train_with_RadialSplines(build(), num_knots=65)
    average, frame = copy.deepcopy(model), random_frames(model.info)["molecule"]
    average.eval()(frame)
    average.train()
    with torch.no_grad():
        for mean, current in zip(average.parameters(), model.parameters(), strict=True):
            current.add_(0.1)
            mean.lerp_(current, 0.5)
    fresh = train_with_RadialSplines(build(), num_knots=65)
    fresh.load_state_dict(average.state_dict())
    assert torch.equal(average.eval()(frame)["total_energy"], fresh.eval()(frame)["total_energy"])
    assert not torch.equal(average(frame)["total_energy"], model.eval()(frame)["total_energy"])


def test_without_the_splines_the_weights_give_the_exact_model():
    model = build()
    splines = train_with_RadialSplines(model, num_knots=33)
    assert list(splines.state_dict()) == list(model.state_dict())
    frame = random_frames(model.info)["molecule"]
    exact = splines.exact()
    assert knots(exact) == set()
    assert torch.equal(exact.eval()(frame)["atomic_energy"], model.eval()(frame)["atomic_energy"])
    found = approximations_of(splines)
    assert found["modules"] == ["2 SplineRadial(num_knots=33)"]
    assert found["deviations"]["atomic_energy"] > 0.0


def test_the_reference_is_the_exact_model_without_rounding():
    exact64, exact32 = force_error.probe(build()), force_error.probe(build("float32"))
    frames = force_error.frames_of(exact64.info, 65)
    assert force_error.largest(exact64, force_error.reference(exact64), frames) < 1e-12
    assert 0.0 < force_error.largest(exact32, force_error.reference(exact32), frames) < 1e-4


def test_the_reference_tells_pairs_of_types_apart():
    x, pairs = torch.linspace(0.1, 1.1, 30, dtype=torch.float64), torch.arange(30) % 2
    edges = Edges(torch.zeros(2, 30, dtype=torch.int64), x, torch.ones(30, 1), pairs)

    class Linear(RadialFunction):
        dim, num_pairs = 1, 2

        def __init__(self):
            super().__init__()
            self.slope = torch.nn.Parameter(torch.tensor([1.0, -2.0]))

        def forward(self, edges):
            return self.slope[edges.pair_types].unsqueeze(1) * edges.x.unsqueeze(1).to(torch.float32)

        def evaluate(self, x, pair_type=0):
            return (self.slope[pair_type].to(x.dtype) * x).unsqueeze(1)

    function = Linear()
    torch.testing.assert_close(force_error._Float64(function)(edges), function(edges))
