import dataclasses
import json
import math
from importlib.resources import files

import pytest
import torch

from equipot.artifacts import rebuild_model
from equipot.artifacts._origins import citations_of, plugins_used
from equipot.artifacts._rebuild import options_from_config
from equipot.errors import ArtifactError, ConfigError
from equipot.model import AllegroModel, PresetAllegroModel
from equipot.nn.edges import Edges
from equipot.nn.slots import KernelSlot
from equipot_allegro import TwoBodyBesselScalarEmbed, TwoBodySplineScalarEmbed
from equipot_test_support.options import WRONG_NEIGHBOR_NUMBERS, options_checked

BESSEL, SPLINE = TwoBodyBesselScalarEmbed(), TwoBodySplineScalarEmbed()
BASE = {
    "type_names": ["H", "O"],
    "r_max": 3.0,
    "l_max": 1,
    "radial_chemical_embed": BESSEL,
    "avg_num_neighbors": 8.0,
    "do_derivatives": False,
}
TINY = {
    **BASE,
    "model_dtype": "float64",
    "radial_chemical_embed_dim": 6,
    "scalar_embed_mlp_hidden_layers_width": 5,
    "num_scalar_features": 4,
    "num_tensor_features": 3,
    "allegro_mlp_hidden_layers_width": 7,
    "readout_mlp_hidden_layers_width": 2,
}
NONLINEARITIES = "use one of silu, mish, gelu, ssp, tanh"


error_of = options_checked(AllegroModel, BASE)


def test_defaults_are_those_users_know():
    model = AllegroModel(**BASE)
    expected = {
        "parity": True, "radial_chemical_embed_dim": None, "scalar_embed_mlp_hidden_layers_depth": 1,
        "scalar_embed_mlp_hidden_layers_width": 64, "scalar_embed_mlp_nonlinearity": "silu", "num_layers": 2,
        "num_scalar_features": 64, "num_tensor_features": 16, "allegro_mlp_hidden_layers_depth": 1,
        "allegro_mlp_hidden_layers_width": 64, "allegro_mlp_nonlinearity": "silu", "tp_path_channel_coupling": True,
        "readout_mlp_hidden_layers_depth": 1, "readout_mlp_hidden_layers_width": 32,
        "readout_mlp_nonlinearity": "silu", "weight_individual_irreps": True, "per_edge_type_cutoff": None,
        "forward_normalize": True,
    }  # fmt: skip
    assert {name: getattr(model, name) for name in expected} == expected
    assert dataclasses.asdict(BESSEL) == {"num_bessels": 8, "bessel_trainable": False, "polynomial_cutoff_p": 6}
    assert dataclasses.asdict(SPLINE) == {"num_splines": 16, "spline_span": 12}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *WRONG_NEIGHBOR_NUMBERS,
        (
            {"num_scalar_features": 7},
            (
                "num_scalar_features: must be even for TwoBodyBesselScalarEmbed, got 7; "
                "one half of the embedding belongs to the centre, the other to the neighbour"
            ),
        ),
        (
            {"radial_chemical_embed_dim": 5},
            (
                "radial_chemical_embed_dim: must be even for TwoBodyBesselScalarEmbed, got 5; "
                "one half of the embedding belongs to the centre, the other to the neighbour"
            ),
        ),
        (
            {"allegro_mlp_nonlinearity": "softplus"},
            (
                "allegro_mlp_nonlinearity: softplus is not 0 at 0, so an isolated atom would not get exactly its "
                f"energy shift; {NONLINEARITIES}"
            ),
        ),
        (
            {"scalar_embed_mlp_nonlinearity": "sigmoid"},
            (
                "scalar_embed_mlp_nonlinearity: sigmoid is not 0 at 0, so an isolated atom would not get exactly its "
                f"energy shift; {NONLINEARITIES}"
            ),
        ),
        (
            {"readout_mlp_nonlinearity": "relu"},
            f"readout_mlp_nonlinearity: is not a known nonlinearity, got 'relu'; {NONLINEARITIES}",
        ),
        ({"num_layers": 0}, "num_layers: must be greater than 0, got 0"),
        ({"l_max": -1}, "l_max: must be greater than or equal to 0, got -1"),
        ({"parity": "no"}, "parity: must be true or false, got 'no'"),
        (
            {"per_edge_type_cutoff": {"H": {"O": 3.5}}},
            "per_edge_type_cutoff.H.O: must be greater than 0 and at most r_max = 3.0, got 3.5",
        ),
    ],
)
def test_wrong_options(options, message):
    assert error_of(**options) == [message]


def test_wrong_options_of_the_embeddings():
    with pytest.raises(ConfigError, match="TwoBodyBesselScalarEmbed.polynomial_cutoff_p: must be greater than or"):
        TwoBodyBesselScalarEmbed(polynomial_cutoff_p=1)
    with pytest.raises(ConfigError, match="TwoBodySplineScalarEmbed.num_splines: must be greater than 0, got 0"):
        TwoBodySplineScalarEmbed(num_splines=0)
    (message,) = error_of(radial_chemical_embed={"num_bessels": 8})
    assert message.startswith("radial_chemical_embed: must be an instance of TwoBodyScalarEmbed")


def test_a_spline_may_have_an_odd_width():
    AllegroModel(**{**TINY, "radial_chemical_embed": SPLINE, "radial_chemical_embed_dim": 5}).build()


def test_names_and_shapes_of_the_state_dict_are_stable():
    embed = TwoBodyBesselScalarEmbed(bessel_trainable=True)
    model = AllegroModel(**{**TINY, "radial_chemical_embed": embed}).build()
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == {
        "energy.two_body.embedding.radial.bessel.roots": (8,),
        "energy.two_body.embedding.centre.weight": (2, 3),
        "energy.two_body.embedding.neighbour.weight": (2, 3),
        "energy.two_body.embedding.linear.weights.0": (8, 6),
        "energy.two_body.mlp.weights.0": (6, 5),
        "energy.two_body.mlp.weights.1": (5, 4),
        "energy.two_body.projection.weights.0": (4, 4 + 3 * 2),
        "energy.two_body.tensor_weights.weights.0": (4, 3 * 2),
        "energy.layers.0.contraction.weights": (4, 3),
        "energy.layers.0.latent.weights.0": (4 + 3, 7),
        "energy.layers.0.latent.weights.1": (7, 4 + 3 * 2),
        "energy.layers.1.contraction.weights": (2, 3),
        "energy.layers.1.latent.weights.0": (8 + 3, 7),
        "energy.layers.1.latent.weights.1": (7, 4),
        "energy.readout.weights.0": (12, 2),
        "energy.readout.weights.1": (2, 1),
        "scale_shift.scales": (1,),
        "scale_shift.shifts": (1,),
    }
    spline = AllegroModel(**{**TINY, "radial_chemical_embed": SPLINE}).build().state_dict()
    assert spline["energy.two_body.embedding.weight"].shape == (4, 16, 6)


@pytest.mark.parametrize(
    ("parity", "expected"),
    [
        (True, ["1x0e+1x1o+1x2e", "1x0e+1x1e+1x1o+1x2e+1x2o", "1x0e+1x1o+1x2e", "1x0e"]),
        (False, ["1x0e+1x1o+1x2e"] * 3 + ["1x0e"]),
    ],
)
def test_tensors_keep_only_irreps_that_can_reach_the_energy(parity, expected):
    model = AllegroModel(**{**TINY, "l_max": 2, "num_layers": 3, "parity": parity})
    assert [str(layout) for layout in model.layouts()] == expected


@pytest.mark.parametrize("embed", [BESSEL, SPLINE])
@pytest.mark.parametrize(("forward", "gain"), [(True, 1.0 / 6), (False, 1.0 / 5)])
def test_initial_weights_are_scaled_as_asked(embed, forward, gain):
    options = {**TINY, "radial_chemical_embed": embed, "forward_normalize": forward}
    two_body = AllegroModel(**options).build().energy.two_body
    assert two_body.mlp.alphas[0] ** 2 == pytest.approx(gain if forward else 2.0 * gain)
    assert two_body.projection.alphas[0] ** 2 == pytest.approx(1.0 / 4)  # always forward
    assert two_body.tensor_weights.alphas[0] ** 2 == pytest.approx(1.0 / 4 if forward else 1.0 / 6)
    if embed is SPLINE:
        variance = two_body.embedding.weight.square().mean().item()
        assert variance == pytest.approx(1.0 / (12 if forward else 6), rel=0.15)
    assert two_body.mlp.weights[0].abs().max() < math.sqrt(3.0)


def test_same_seed_same_weights_and_float32_are_those_rounded():
    first, again = (AllegroModel(**TINY, seed=5).build().state_dict() for _ in range(2))
    other = AllegroModel(**TINY, seed=6).build().state_dict()
    small = AllegroModel(**{**TINY, "model_dtype": "float32"}, seed=5).build().state_dict()
    for name, weight in first.items():
        assert torch.equal(weight, again[name])
        assert torch.equal(small[name], weight.to(small[name].dtype))
        if name.startswith("energy."):
            assert small[name].dtype == torch.float32
            assert not torch.equal(weight, other[name])


@pytest.mark.parametrize("embed", [BESSEL, SPLINE])
@pytest.mark.parametrize("model_dtype", ["float32", "float64"])
def test_the_two_body_part_is_a_function_of_length_and_types(embed, model_dtype):
    options = {**TINY, "radial_chemical_embed": embed, "model_dtype": model_dtype, "type_names": ["H", "C", "O"]}
    two_body = AllegroModel(**options).build().energy.two_body
    assert isinstance(two_body, KernelSlot)
    assert (two_body.num_pairs, two_body.dim, two_body.value_dtype()) == (9, 16, getattr(torch, model_dtype))
    x = torch.tensor([0.1, 0.5, 0.5, 0.999999, 1.0, 1.2], dtype=torch.float64)
    pair_types = torch.tensor([3, 5, 7, 0, 8, 2])
    values = two_body(Edges(torch.zeros(2, 6, dtype=torch.int64), x, torch.ones(6, 1), pair_types))
    single = torch.cat([two_body.evaluate(x[k : k + 1], int(pair)) for k, pair in enumerate(pair_types)])
    assert single.dtype == torch.float64
    torch.testing.assert_close(values.double(), single, rtol=1e-5, atol=1e-6 if model_dtype == "float32" else 1e-14)
    assert not torch.equal(values[1], values[2])  # an ordered pair
    assert bool((values[4:] == 0.0).all())
    assert values[3].abs().max() < 1e-9


@pytest.mark.parametrize("embed", [BESSEL, SPLINE])
@pytest.mark.parametrize("nonlinearity", ["silu", "mish", "gelu", "ssp", "tanh", None])
def test_atoms_without_neighbours_get_exactly_nothing(embed, nonlinearity):
    options = {f"{part}_mlp_nonlinearity": nonlinearity for part in ("scalar_embed", "allegro", "readout")}
    model = AllegroModel(**{**TINY, **options, "radial_chemical_embed": embed}).build()
    nothing = torch.zeros(0, dtype=torch.float64)
    beyond = torch.tensor([3.0], dtype=torch.float64)  # an edge at the cutoff adds nothing either
    for vectors, lengths, index in (
        (nothing.reshape(0, 3), nothing, torch.zeros(2, 0, dtype=torch.int64)),
        (torch.tensor([[0.0, 3.0, 0.0]], dtype=torch.float64), beyond, torch.tensor([[0], [1]])),
    ):
        data = {
            "edge_vectors": vectors,
            "edge_lengths": lengths,
            "normalized_edge_lengths": lengths / 3.0,
            "edge_index": index,
            "atom_types": torch.tensor([0, 1, 1]),
        }
        assert model.energy(data)["atomic_energy"].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("embed", [TwoBodyBesselScalarEmbed(num_bessels=5), SPLINE])
def test_a_model_is_made_again_from_its_stored_config(embed):
    model = AllegroModel(**{**TINY, "radial_chemical_embed": embed}).build()
    assert model.config["radial_chemical_embed"] == {
        "_target_": f"equipot_allegro.{type(embed).__name__}",
        **dataclasses.asdict(embed),
    }
    again = rebuild_model(model.config, [])
    assert again.config == model.config
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert list(plugins_used(model.config, [])) == ["equipot-allegro"]
    (citation,) = citations_of(model.config)
    assert "Musaelian" in citation


@pytest.mark.parametrize(
    "target",
    [
        "equipot_allegro._embedding.TwoBodyBesselScalarEmbed",  # not the path that is written
        "equipot_allegro._embedding.BesselPairEmbedding",
        "equipot_allegro._builder.AllegroModel",
        "equipot_allegro._presets.os",
        "os.system",
    ],
)
def test_a_file_can_name_parts_of_options_and_nothing_else(target):
    config = AllegroModel(**TINY).build().config
    with pytest.raises(ArtifactError, match=r"model.radial_chemical_embed: must name a registered component, got '"):
        options_from_config({**config, "radial_chemical_embed": {"_target_": target}})
    with pytest.raises(ArtifactError, match="model: must name a registered component"):
        options_from_config(config["radial_chemical_embed"])


@pytest.mark.parametrize(
    ("preset", "num_layers", "l_max", "scalars", "channels", "num_weights"),
    [
        ("S", 1, 1, 32, 16, 14720),
        ("m", 2, 2, 64, 32, 62560),
        ("L", 2, 3, 128, 64, 179168),
        ("XL", 3, 3, 128, 64, 237984),
    ],
)
def test_presets(preset, num_layers, l_max, scalars, channels, num_weights):
    options = {name: value for name, value in BASE.items() if name not in ("l_max", "radial_chemical_embed")}
    recipe = PresetAllegroModel(**options, preset=preset)
    assert (recipe.num_layers, recipe.l_max, recipe.parity) == (num_layers, l_max, False)
    assert (recipe.num_scalar_features, recipe.num_tensor_features) == (scalars, channels)
    assert recipe.radial_chemical_embed == BESSEL
    fields = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(AllegroModel)}
    preset_model, plain = recipe.build(), AllegroModel(**fields).build()
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in preset_model.state_dict().items())
    assert preset_model.config["_target_"] == "equipot.model.PresetAllegroModel"
    assert preset_model.config["num_scalar_features"] == scalars
    assert sum(weight.numel() for weight in preset_model.parameters()) == num_weights


def test_options_win_over_the_preset():
    recipe = PresetAllegroModel(**{**BASE, "radial_chemical_embed": SPLINE}, preset="L", parity=True)
    assert (recipe.l_max, recipe.parity, recipe.radial_chemical_embed) == (1, True, SPLINE)
    with pytest.raises(ConfigError) as error:
        PresetAllegroModel(**BASE, preset="XXL")
    assert str(error.value) == "PresetAllegroModel.preset: unknown preset, got 'XXL'; did you mean 'XL'?"


def test_costs_of_all_presets_are_measured():
    stored = json.loads(files("equipot_allegro").joinpath("preset_costs.json").read_text(encoding="utf-8"))
    costs = stored["PresetAllegroModel"]["presets"]
    assert list(costs) == ["S", "M", "L", "XL"]
    for name, found in costs.items():
        recipe = PresetAllegroModel(type_names=["C"], r_max=4.0, avg_num_neighbors=8.0, preset=name)
        assert sum(weight.numel() for weight in recipe.build().parameters()) == found["parameters"][0]
