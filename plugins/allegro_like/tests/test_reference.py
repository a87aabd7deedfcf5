"""Against numbers of nequip-allegro 0.8, made by tests/reference/make_allegro_reference.py in its own environment."""

import importlib.util
import math
from pathlib import Path

import pytest

FILE = Path(__file__).parents[3] / "tests" / "reference" / "parity.py"
SPEC = importlib.util.spec_from_file_location("parity", FILE)
parity = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(parity)
REFERENCE = parity.Reference("allegro")
CASES = REFERENCE.cases


@pytest.mark.parametrize("name", CASES)
def test_float64_energies_forces_and_stress_equal_the_peer(name):
    for frame, found in REFERENCE.deviations(name, "float64").items():
        assert max(found.energy, found.forces, found.stress) <= parity.FLOAT64_TOLERANCE, (frame, found)


@pytest.mark.parametrize("name", CASES)
def test_float32_forces_are_the_peers_to_rounding(name):
    rounding = REFERENCE.peer_rounding(name)
    for against in ("float32", "float64"):
        for frame, found in REFERENCE.deviations(name, "float32", against).items():
            allowed = max(parity.FLOAT32_TOLERANCE, 3.0 * rounding[frame].forces)
            assert found.forces <= allowed, (against, frame, found)


def test_initial_weights_are_drawn_from_the_peers_distribution():
    pairs = REFERENCE.initial_weights()
    assert len(pairs) > 50
    for name, (ours, theirs) in pairs.items():
        samples = math.sqrt(ours.numel())
        spread, expected = ours.square().mean().sqrt(), theirs.square().mean().sqrt()
        assert abs(spread / expected - 1.0) < 3.0 / samples, name
        assert abs(ours.mean()) < 4.0 * expected / samples, name
        # Uniform, within √3 of its scale, or normal: the largest of some hundreds is beyond.
        if ours.numel() >= 100:
            assert (ours.abs().max() > 1.85 * expected) == (theirs.abs().max() > 1.85 * expected), name


def test_the_grid_covers_what_may_differ():
    configs = [case["config"] for case in CASES.values()]
    assert {config["l_max"] for config in configs} >= {0, 1, 2, 3}
    assert {config["num_layers"] for config in configs} >= {1, 2, 3, 4}
    assert {len(config["type_names"]) for config in configs} == {1, 2, 3}
    flags = ("parity", "tp_path_channel_coupling", "weight_individual_irreps", "forward_normalize")
    trainable = ("per_type_energy_scales_trainable", "per_type_energy_shifts_trainable")
    for name in (*flags, *trainable):
        assert {config[name] for config in configs} == {True, False}, name
    embeddings = {config["radial_chemical_embed"]["_target_"].rsplit(".", 1)[1] for config in configs}
    assert embeddings == {"TwoBodyBesselScalarEmbed", "TwoBodySplineScalarEmbed"}
    asymmetric = [config for config in configs if config["per_edge_type_cutoff"] and config["pair_potential"]]
    assert {config["radial_chemical_embed"]["_target_"].rsplit(".", 1)[1] for config in asymmetric} == embeddings
    assert {case["weights"] for case in CASES.values()} == {"fresh", "perturbed", "trained"}
    frames = {frame for case in CASES.values() for frame in case["frames"]}
    assert {"ho_lone", "ethanol_test", "water_test"} <= frames


def test_the_peer_has_forces_and_stress_to_compare_with():
    stored = REFERENCE.stored("trained_l2_water")
    assert stored["float64/water_test/forces"].abs().max() > 0.5
    assert stored["float64/water_test/stress"].abs().max() > 1e-3
