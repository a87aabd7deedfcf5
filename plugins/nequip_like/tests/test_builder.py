import dataclasses
import json
from importlib.resources import files

import pytest
import torch

from equipot.errors import ConfigError
from equipot.model import NequIPGNNModel, PresetNequIPGNNModel
from equipot_test_support.options import WRONG_NEIGHBOR_NUMBERS, options_checked

BASE = {"type_names": ["H", "O"], "r_max": 3.0, "avg_num_neighbors": 8.0, "do_derivatives": False}
TINY = {**BASE, "model_dtype": "float64", "num_layers": 2, "num_features": [4, 2], "radial_mlp_width": 6}


error_of = options_checked(NequIPGNNModel, BASE)


def test_defaults_are_those_users_know():
    model = NequIPGNNModel(**BASE)
    expected = {
        "num_layers": 4, "l_max": 1, "parity": True, "num_features": 32, "type_embed_num_features": None,
        "type_embed_periodic_table": False,
        "radial_mlp_depth": 1, "radial_mlp_width": 128, "readout_mlp_hidden_layers_depth": 0,
        "readout_mlp_hidden_layers_width": None, "readout_mlp_nonlinearity": "silu", "num_bessels": 8,
        "bessel_trainable": False, "polynomial_cutoff_p": 6, "per_edge_type_cutoff": None,
    }  # fmt: skip
    assert {name: getattr(model, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *WRONG_NEIGHBOR_NUMBERS,
        (
            {"num_features": [8, 4, 2]},
            (
                "num_features: must have one number for each l = 0 ... l_max, got [8, 4, 2]; "
                "list l_max + 1 = 2 numbers, or give one for all l"
            ),
        ),
        (
            {"readout_mlp_nonlinearity": "softplus"},
            (
                "readout_mlp_nonlinearity: softplus is not 0 at 0, so an isolated atom would not get exactly its "
                "energy shift; use one of silu, mish, gelu, ssp, tanh"
            ),
        ),
        (
            {"readout_mlp_nonlinearity": "sigmoid"},
            (
                "readout_mlp_nonlinearity: sigmoid is not 0 at 0, so an isolated atom would not get exactly its "
                "energy shift; use one of silu, mish, gelu, ssp, tanh"
            ),
        ),
        (
            {"readout_mlp_nonlinearity": "relu"},
            "readout_mlp_nonlinearity: is not a known nonlinearity, got 'relu'; use one of silu, mish, gelu, ssp, tanh",
        ),
        ({"num_layers": 0}, "num_layers: must be greater than 0, got 0"),
        ({"l_max": -1}, "l_max: must be greater than or equal to 0, got -1"),
        ({"l_max": 1.5}, "l_max: must be an integer, got 1.5"),
        ({"parity": "no"}, "parity: must be true or false, got 'no'"),
        ({"polynomial_cutoff_p": 1}, "polynomial_cutoff_p: must be greater than or equal to 2, got 1"),
        ({"num_bessels": True}, "num_bessels: must be an integer, got True"),
        (
            {"per_edge_type_cutoff": {"H": {"O": 3.5}}},
            "per_edge_type_cutoff.H.O: must be greater than 0 and at most r_max = 3.0, got 3.5",
        ),
        ({"per_edge_type_cutoff": {"N": 2.0}}, "per_edge_type_cutoff.N: unknown type name; type names: H, O"),
    ],
)
def test_wrong_options(options, message):
    assert error_of(**options) == [message]


def test_all_problems_come_at_once():
    found = error_of(avg_num_neighbors=-1.0, num_features=[3], readout_mlp_nonlinearity="sigmoid")
    assert [text.split(":")[0] for text in found] == ["num_features", "readout_mlp_nonlinearity", "avg_num_neighbors"]


def test_same_seed_same_weights_and_torchs_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    first, again = (NequIPGNNModel(**TINY, seed=5).build().state_dict() for _ in range(2))
    other = NequIPGNNModel(**TINY, seed=6).build().state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    names = [name for name in first if name.startswith("energy.")]
    assert not any(torch.equal(first[name], other[name]) for name in names)


def test_float32_weights_are_the_float64_weights_rounded():
    small = NequIPGNNModel(**{**TINY, "model_dtype": "float32"}).build().state_dict()
    large = NequIPGNNModel(**TINY).build().state_dict()
    for name, weight in small.items():
        assert weight.dtype == (torch.float32 if name.startswith("energy.") else torch.float64)
        assert torch.equal(weight, large[name].to(weight.dtype))


def test_names_and_shapes_of_the_state_dict_are_stable():
    model = NequIPGNNModel(**TINY, type_embed_num_features=3, bessel_trainable=True, readout_mlp_hidden_layers_depth=1)
    assert {name: tuple(value.shape) for name, value in model.build().state_dict().items()} == {
        "energy.radial.bessel.roots": (8,),
        "energy.type_embedding.weight": (2, 3),
        "energy.layers.0.linear_1.weights.0e": (3, 3),
        "energy.layers.0.radial_mlp.weights.0": (8, 6),
        "energy.layers.0.radial_mlp.weights.1": (6, 6),
        "energy.layers.0.linear_2.weights.0e": (3, 6),
        "energy.layers.0.linear_2.weights.1o": (3, 2),
        "energy.layers.1.linear_1.weights.0e": (4, 4),
        "energy.layers.1.linear_1.weights.1o": (2, 2),
        "energy.layers.1.radial_mlp.weights.0": (8, 6),
        "energy.layers.1.radial_mlp.weights.1": (6, 6),
        "energy.layers.1.linear_2.weights.0e": (6, 4),
        "energy.layers.1.self_connection.weights.0e": (4, 3, 4),
        "energy.readout.weights.0": (4, 4),
        "energy.readout.weights.1": (4, 1),
        "scale_shift.scales": (1,),
        "scale_shift.shifts": (1,),
    }


def test_one_width_for_all_l_is_short_for_a_list():
    one = NequIPGNNModel(**{**TINY, "l_max": 2, "num_features": 3}).build().state_dict()
    listed = NequIPGNNModel(**{**TINY, "l_max": 2, "num_features": [3, 3, 3]}).build().state_dict()
    assert one.keys() == listed.keys()
    assert all(torch.equal(one[name], listed[name]) for name in one)


def test_similar_elements_can_begin_with_similar_embeddings():
    options = {**TINY, "type_names": ["Na", "K", "Cl"], "type_embed_num_features": 2000}
    independent, similar = (
        NequIPGNNModel(**options, type_embed_periodic_table=asked).build().energy.type_embedding.weight.detach()
        / 2000**0.5
        for asked in (False, True)
    )
    assert abs((independent @ independent.T)[0, 1].item()) < 0.1
    assert (similar @ similar.T)[0, 1].item() == pytest.approx(0.83, abs=0.05)
    assert (similar @ similar.T)[0, 2].item() == pytest.approx(0.30, abs=0.05)


def test_types_that_are_no_elements_need_their_symbols():
    options = {**TINY, "type_names": ["H", "Ow"], "type_embed_periodic_table": True}
    with pytest.raises(ConfigError) as caught:
        NequIPGNNModel(**options)
    expected = "type_embed_periodic_table: needs types that are elements, got ['H', 'Ow']; give chemical_species"
    assert expected in str(caught.value)
    weights = NequIPGNNModel(**options, chemical_species=["H", "O"]).build().energy.type_embedding.weight
    assert weights.isfinite().all()


def test_locality_counts_the_layers():
    assert NequIPGNNModel(**{**TINY, "num_layers": 3}).build().info.locality == "hops(3)"


@pytest.mark.parametrize("nonlinearity", ["silu", "mish", "gelu", "ssp", "tanh", None])
@pytest.mark.parametrize("model_dtype", ["float32", "float64"])
def test_atoms_without_neighbours_get_exactly_nothing(nonlinearity, model_dtype):
    options = {"readout_mlp_hidden_layers_depth": 2, "readout_mlp_nonlinearity": nonlinearity}
    model = NequIPGNNModel(**{**TINY, **options, "model_dtype": model_dtype}).build()
    nothing = torch.zeros(0, dtype=torch.float64)
    data = {
        "edge_vectors": nothing.reshape(0, 3),
        "edge_lengths": nothing,
        "normalized_edge_lengths": nothing,
        "edge_index": torch.zeros(2, 0, dtype=torch.int64),
        "atom_types": torch.tensor([0, 1, 1]),
    }
    assert model.energy(data)["atomic_energy"].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("preset", "num_layers", "l_max", "num_features", "millions"),
    [("S", 2, 1, [128, 64], 0.61), ("m", 4, 2, [128, 64, 32], 3.19), ("L", 6, 3, [128, 64, 32, 32], 6.83)],
)
def test_presets(preset, num_layers, l_max, num_features, millions):
    options = {**BASE, "type_names": ["C", "H", "N", "O"]}
    recipe = PresetNequIPGNNModel(**options, preset=preset)
    assert (recipe.num_layers, recipe.l_max, recipe.num_features) == (num_layers, l_max, num_features)
    assert (recipe.parity, recipe.type_embed_num_features, recipe.radial_mlp_width) == (False, 32, 128)
    # The counts are those of nequip 0.19 with four types.
    assert sum(weight.numel() for weight in recipe.build().parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_options_win_over_the_preset():
    recipe = PresetNequIPGNNModel(**BASE, preset="XL", parity=True, num_layers=1, num_features=[8, 4, 2, 2, 2])
    assert (recipe.parity, recipe.num_layers, recipe.num_features, recipe.l_max) == (True, 1, [8, 4, 2, 2, 2], 4)


def test_preset_is_the_plain_model_with_its_options():
    recipe = PresetNequIPGNNModel(**TINY, preset="S")
    options = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(NequIPGNNModel)}
    preset, plain = recipe.build().state_dict(), NequIPGNNModel(**options).build().state_dict()
    assert preset.keys() == plain.keys()
    assert all(torch.equal(preset[name], plain[name]) for name in plain)


def test_stored_config_of_a_preset_holds_its_numbers():
    config = PresetNequIPGNNModel(**BASE, preset="S").build().config
    assert config["_target_"] == "equipot.model.PresetNequIPGNNModel"
    assert (config["preset"], config["num_features"], config["l_max"]) == ("S", [128, 64], 1)


def test_unknown_preset():
    with pytest.raises(ConfigError) as error:
        PresetNequIPGNNModel(**BASE, preset="XXL")
    assert str(error.value) == "PresetNequIPGNNModel.preset: unknown preset, got 'XXL'; did you mean 'XL'?"


@pytest.mark.slow
def test_costs_of_all_presets_are_measured():
    stored = json.loads(files("equipot_nequip").joinpath("preset_costs.json").read_text(encoding="utf-8"))
    costs = stored["PresetNequIPGNNModel"]["presets"]
    assert list(costs) == ["S", "M", "L", "XL"]
    for name, found in costs.items():
        recipe = PresetNequIPGNNModel(type_names=["C"], r_max=4.0, avg_num_neighbors=8.0, preset=name)
        assert sum(weight.numel() for weight in recipe.build().parameters()) == found["parameters"][0]
