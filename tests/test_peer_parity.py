"""Against numbers of nequip 0.19 and nequip-allegro 0.8, which tests/reference/make_*_reference.py made with them."""

import math

import pytest
import torch

from equipot_test_support.scripts import load_script

parity = load_script("tests/reference/parity.py")
REFERENCES = {name: parity.Reference(name) for name in parity.MODELS}
NEQUIP, ALLEGRO = (REFERENCES[name] for name in ("nequip", "allegro"))
EACH_CASE = pytest.mark.parametrize(
    ("reference", "name"),
    [pytest.param(one, name, id=f"{peer}-{name}") for peer, one in REFERENCES.items() for name in one.cases],
)


@EACH_CASE
def test_float64_energies_forces_and_stress_equal_the_peer(reference, name):
    for frame, found in reference.deviations(name, "float64").items():
        assert max(found.energy, found.forces, found.stress) <= parity.FLOAT64_TOLERANCE, (frame, found)


@pytest.mark.slow
@EACH_CASE
def test_float32_forces_are_the_peers_to_rounding(reference, name):
    rounding = reference.peer_rounding(name)
    for against in ("float32", "float64"):
        for frame, found in reference.deviations(name, "float32", against).items():
            allowed = max(parity.FLOAT32_TOLERANCE, 3.0 * rounding[frame].forces)
            assert found.forces <= allowed, (against, frame, found)


@pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES)
def test_initial_weights_are_drawn_from_the_peers_distribution(reference):
    pairs = reference.initial_weights()
    assert len(pairs) > 50
    for name, (ours, theirs) in pairs.items():
        samples = math.sqrt(ours.numel())
        spread, expected = ours.square().mean().sqrt(), theirs.square().mean().sqrt()
        assert abs(spread / expected - 1.0) < 3.0 / samples, name
        assert abs(ours.mean()) < 4.0 * expected / samples, name
        # Uniform, within √3 of its scale, or normal: the largest of some hundreds is beyond.
        if ours.numel() >= 100:
            assert (ours.abs().max() > 1.85 * expected) == (theirs.abs().max() > 1.85 * expected), name


@pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES)
def test_the_grids_cover_what_may_differ(reference):
    configs = [case["config"] for case in reference.cases.values()]
    assert {config["l_max"] for config in configs} >= {0, 1, 2, 3}
    assert {config["parity"] for config in configs} == {True, False}
    assert {len(config["type_names"]) for config in configs} == {1, 2, 3}
    assert any(config["per_edge_type_cutoff"] and config["pair_potential"] for config in configs)
    assert {case["weights"] for case in reference.cases.values()} == {"fresh", "perturbed", "trained"}
    frames = {frame for case in reference.cases.values() for frame in case["frames"]}
    assert {"ho_lone", "ethanol_test", "water_test"} <= frames
    assert any(reference.index["frames"][frame]["has_stress"] for frame in frames)


# ------------------------------------------------------------------ NequIP


def test_the_grid_of_nequip_covers_its_options():
    configs = [case["config"] for case in NEQUIP.cases.values()]
    assert {type(config["num_features"]) for config in configs} == {int, list}
    assert {config["readout_mlp_hidden_layers_depth"] for config in configs} == {0, 1, 2}


@pytest.mark.parametrize("name", [name for name, case in NEQUIP.cases.items() if case["inner_fields"]])
def test_features_after_each_layer_equal_the_peer(name):
    case, stored, model = NEQUIP.cases[name], NEQUIP.stored(name), NEQUIP.model(name, "float64")
    frame = case["inner_fields"]
    features = []
    for layer in model.energy.layers:
        layer.register_forward_hook(lambda _module, _args, output: features.append(output.detach()))
    model(NEQUIP.batch(name, frame, model))
    assert len(features) == case["config"]["num_layers"]
    for index, (layer, ours) in enumerate(zip(model.energy.layers, features, strict=True)):
        expected = stored[f"inner/{frame}/layer{index}_convnet/node_features"]
        assert str(layer.layout_out) == case["layers"][f"layer{index}_convnet"]["irreps_out"]
        torch.testing.assert_close(layer.layout_out.to_e3nn(ours), expected, rtol=1e-10, atol=1e-10)


# ------------------------------------------------------------------ Allegro


def test_the_grid_of_allegro_covers_its_options():
    configs = [case["config"] for case in ALLEGRO.cases.values()]
    assert {config["num_layers"] for config in configs} >= {1, 2, 3, 4}
    flags = ("tp_path_channel_coupling", "weight_individual_irreps", "forward_normalize")
    trainable = ("per_type_energy_scales_trainable", "per_type_energy_shifts_trainable")
    for name in (*flags, *trainable):
        assert {config[name] for config in configs} == {True, False}, name
    embeddings = {config["radial_chemical_embed"]["_target_"].rsplit(".", 1)[1] for config in configs}
    assert embeddings == {"TwoBodyBesselScalarEmbed", "TwoBodySplineScalarEmbed"}
    asymmetric = [config for config in configs if config["per_edge_type_cutoff"] and config["pair_potential"]]
    assert {config["radial_chemical_embed"]["_target_"].rsplit(".", 1)[1] for config in asymmetric} == embeddings


def test_the_peer_has_forces_and_stress_to_compare_with():
    stored = ALLEGRO.stored("trained_l2_water")
    assert stored["float64/water_test/forces"].abs().max() > 0.5
    assert stored["float64/water_test/stress"].abs().max() > 1e-3
