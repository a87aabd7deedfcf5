import copy

import pytest
import torch

from equipot.errors import ConfigError, PluginError
from equipot.graph import collate
from equipot.model import (
    AllegroModel,
    GraphModel,
    NequIPGNNModel,
    OutputHead,
    PaiNNModel,
    apply_modifier,
    features_of,
)
from equipot.nn.irreps import FeatureLayout
from equipot_allegro import TwoBodyBesselScalarEmbed
from equipot_test_support.heads import Charges
from equipot_testing.frames import batch_of, bulk, lone_atom, molecule, standard_structures
from equipot_testing.toy import ToyFeatures, ToyFeaturesEnergy, ToyModel

pytestmark = pytest.mark.usefixtures("heads_plugin")

BASE = {"type_names": ["H", "C"], "r_max": 4.0, "model_dtype": "float64"}


def toy(**options):
    return ToyFeatures(**{**BASE, **options}).build().eval()


def charged(**options):
    return apply_modifier(toy(**options), "add_Charges")


def frames(model):
    return batch_of(standard_structures(2).values(), model.info)


class Head(OutputHead):
    requires = ("atom_types",)
    provides = ("charges",)

    def __init__(self, **attributes):
        super().__init__()
        for key, value in attributes.items():
            setattr(self, key, value)
        self.returned = None

    def forward(self, data):
        assert set(data) == set(self.requires)
        return {"charges": data["atom_types"].double()} if self.returned is None else self.returned


# ------------------------------------------------------------------------------ what a model with heads gives


def test_heads_add_outputs_and_change_no_others():
    bare, model = toy(), charged()
    assert model.info.outputs == (*bare.info.outputs, "charges", "dipole")
    assert model.info.locality == bare.info.locality
    batch = frames(model)
    outputs, expected = model(batch), bare(batch)
    assert set(outputs) == {*expected, "charges", "dipole"}
    assert all(torch.equal(outputs[key], value) for key, value in expected.items())
    assert not any(value.requires_grad for value in outputs.values())
    assert outputs["dipole"].shape == (5, 3)
    assert outputs["dipole"].dtype == torch.float64


def test_sums_are_taken_by_frame():
    model = charged()
    parts = [one.graph(model.info) for one in (bulk(2), molecule(2), lone_atom())]
    together = model(collate(parts))
    single = [model(one)["dipole"] for one in parts]
    torch.testing.assert_close(together["dipole"], torch.cat(single))
    assert single[2].abs().max() == 0.0


def test_numbers_come_in_the_dtype_of_the_field():
    assert charged(model_dtype="float32")(frames(toy()))["charges"].dtype == torch.float64


def test_ghost_atoms_take_no_part():
    model = charged()
    graph = molecule(2).graph(model.info)
    owned = torch.arange(len(graph["atom_types"])) % 2 == 0
    whole = model(graph)
    rest = model({**graph, "owned": ~owned})
    outputs = model({**graph, "owned": owned})
    torch.testing.assert_close(outputs["charges"], whole["charges"] * owned)
    torch.testing.assert_close(outputs["dipole"] + rest["dipole"], whole["dipole"])


def test_a_head_sees_energies_as_the_model_gives_them():
    model = apply_modifier(toy(per_type_energy_shifts={"H": -3.0, "C": 2.0}), "add_Uncertainty")
    outputs = model(frames(model))
    split = outputs["atomic_energy"].split(frames(model)["num_atoms"].tolist())
    torch.testing.assert_close(outputs["energy_std"], torch.stack([one.norm() for one in split]))


def test_heads_are_trained_with_what_they_read():
    model = charged().train()
    outputs = model(frames(model))
    found = torch.autograd.grad(outputs["dipole"].square().sum(), list(model.parameters()), allow_unused=True)
    named = dict(zip(dict(model.named_parameters()), found, strict=True))
    for name in ("energy.weights", "outputs.charges.scalars", "outputs.charges.vectors"):
        assert named[name].abs().max() > 0, name
    without_forces = model.replace(derivatives=None)
    torch.testing.assert_close(without_forces(frames(model))["dipole"], outputs["dipole"])


def test_heads_are_a_slot_like_others():
    model = charged()
    assert [name for name in model.state_dict() if name.startswith("outputs")] == [
        "outputs.charges.scalars",
        "outputs.charges.vectors",
    ]
    assert model.replace(derivatives=None).outputs is not model.outputs
    assert [name for name, _ in model.replace(derivatives=None).heads()] == ["charges"]
    assert model.replace(outputs={}).info == toy().info
    trained = model.train().replace(outputs=copy.deepcopy(dict(model.heads())))
    assert {part.training for part in trained.modules()} == {True}


def test_a_builder_may_have_heads_of_its_own():
    class Own(ToyFeatures):
        def build_outputs(self, context, energy):
            return {"charges": Charges(FeatureLayout.parse(energy.features), context.model_dtype, 3)}

    assert "dipole" in Own(**BASE).build().info.outputs


# ------------------------------------------------------------------------------ features


def test_features_are_computed_only_where_something_requires_them():
    asked = []

    class Watched(ToyFeaturesEnergy):
        def forward(self, data, *, features=False):
            asked.append(features)
            return super().forward(data, features=features)

    class Model(ToyFeatures):
        def build_energy(self, context):
            return Watched(context)

    model = Model(**BASE).build().eval()
    model(frames(model))
    apply_modifier(model, "add_Uncertainty")(frames(model))
    apply_modifier(model, "add_Charges")(frames(model))
    assert asked == [False, False, True]


def test_a_head_that_requires_features_of_a_builder_without_gets_one_error():
    model = ToyModel(**BASE).build()
    expected = r"model.outputs.charges: requires node_features, which the builder's ToyEnergy does not have"
    with pytest.raises(ConfigError, match=expected) as found:
        model.replace(outputs={"charges": Head(requires=("node_features",))})
    assert len(found.value.problems) == 1
    with pytest.raises(ConfigError, match="add_Charges: requires node_features, which the builder's ToyEnergy"):
        apply_modifier(model, "add_Charges")
    assert str(features_of(toy())) == "1x0e+1x1o"


def test_an_energy_module_states_the_irreps_of_its_features():
    model = toy()
    model.energy.provides = ("node_features",)
    with pytest.raises(
        ConfigError, match="names node_features in 'provides'; state their irreps in 'features' instead"
    ):
        GraphModel(info=model.info, energy=model.energy, scale_shift=model.scale_shift)


# ------------------------------------------------------------------------------ what heads may provide


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"provides": ()}, "provides no field"),
        ({"provides": ("unheard_of",)}, "provides 'unheard_of', which is not a declared field"),
        ({"provides": ("edge_lengths",)}, "provides 'edge_lengths', which is per edge"),
        ({"provides": ("forces",)}, "provides 'forces', which only energies and their derivatives may"),
        ({"provides": ("positions",)}, "provides 'positions', which the model has already"),
        ({"provides": ("dipole",)}, "provides 'dipole', which the head 'charges' has already"),
        ({"provides": ("energy_std",), "sums": ("dipole",)}, r"'sums' must name fields per frame .* got \['dipole'\]"),
        ({"provides": ("energy_std",), "requires": ("charges",)}, r"requires the fields \['charges'\] that nothing"),
    ],
)
def test_a_head_that_may_not_provide_a_field_is_refused(attributes, expected):
    model = charged()
    with pytest.raises(ConfigError, match=rf"model.outputs.more: {expected}"):
        model.replace(outputs={**dict(model.heads()), "more": Head(**attributes)})


@pytest.mark.parametrize(
    ("attributes", "returned", "expected"),
    [
        ({}, {}, r"must return the fields \['charges'\], got \[\]"),
        ({}, {"charges": torch.zeros(1, 1)}, r"'charges' must have the shape \[n_atoms\], got \(1, 1\)"),
        ({}, {"charges": torch.zeros(2)}, r"'charges' must have the shape \[n_atoms\], got \(2,\)"),
        (
            {"provides": ("dipole",)},
            {"dipole": torch.zeros(1, 1)},
            r"'dipole' must have the shape \[n_frames, 3\], got \(1, 1\)",
        ),
        (
            {"provides": ("dipole",), "sums": ("dipole",)},
            {"dipole": torch.zeros(3, 3)},
            r"'dipole' must have the shape \[n_atoms, 3\], got \(3, 3\)",
        ),
    ],
)
def test_a_head_that_returns_something_else_is_named(attributes, returned, expected):
    head = Head(**attributes)
    head.returned = returned
    model = toy().replace(outputs={"mine": head})
    with pytest.raises(PluginError, match=rf"model.outputs.mine \(.*Head\): {expected}"):
        model(lone_atom().graph(model.info))


def test_an_input_that_only_a_head_reads_is_an_input_of_the_model():
    model = toy().replace(outputs={"mine": Head(requires=("total_charge", "atom_types"))})
    assert "total_charge" in model.info.inputs


# ------------------------------------------------------------------------------ features of the last layer


class LastLayer(OutputHead):
    """Energies of atoms once more, from what multiplies the weights of the last layer."""

    requires = ("last_layer_features",)
    provides = ("charges",)

    def __init__(self, model):
        super().__init__()
        self.weights = model.energy.last_layer().detach().flatten()

    def forward(self, data):
        return {"charges": (data["last_layer_features"] @ self.weights).double()}


@pytest.mark.parametrize("name", ["nequip", "deep", "allegro", "painn"])
def test_energies_are_linear_in_the_last_layer(name):
    common = {**BASE, "avg_num_neighbors": 8.0}
    made = {
        "nequip": lambda: NequIPGNNModel(**common, l_max=1, num_features=4),
        "deep": lambda: NequIPGNNModel(**common, l_max=1, num_features=4, readout_mlp_hidden_layers_depth=2),
        "allegro": lambda: AllegroModel(**common, l_max=1, radial_chemical_embed=TwoBodyBesselScalarEmbed()),
        "painn": lambda: PaiNNModel(**common, num_features=6),
    }[name]
    model = made().build().eval()
    batch = frames(model)
    outputs = model.replace(outputs={"again": LastLayer(model)})(batch)
    torch.testing.assert_close(outputs["charges"], model(batch)["atomic_energy"], rtol=1e-10, atol=1e-12)


def test_features_of_the_last_layer_are_missing():
    model = toy()
    expected = "requires last_layer_features, which the builder's ToyFeaturesEnergy does not have"
    with pytest.raises(ConfigError, match=expected):
        model.replace(outputs={"charges": Head(requires=("last_layer_features",))})
    model.energy.provides = ("last_layer_features",)
    with pytest.raises(ConfigError, match="names last_layer_features in 'provides'; state 'has_last_layer_features'"):
        model.replace(outputs={})
