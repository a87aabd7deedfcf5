"""Against numbers of nequip-allegro 0.8, made by tests/reference/make_allegro_reference.py in its own environment."""

from equipot_test_support.parity import parity, parity_tests

REFERENCE = parity.Reference("allegro")
CASES = REFERENCE.cases


TestParity = parity_tests(REFERENCE)


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
