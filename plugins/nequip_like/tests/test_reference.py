"""Against numbers of nequip 0.19, made by tests/reference/make_nequip_reference.py in its own environment."""

import pytest
import torch

from equipot_test_support.parity import parity, parity_tests

REFERENCE = parity.Reference("nequip")
CASES = REFERENCE.cases


TestParity = parity_tests(REFERENCE)


def test_the_grid_covers_what_may_differ():
    configs = [case["config"] for case in CASES.values()]
    assert {config["l_max"] for config in configs} >= {0, 1, 2, 3}
    assert {config["parity"] for config in configs} == {True, False}
    assert {type(config["num_features"]) for config in configs} == {int, list}
    assert {len(config["type_names"]) for config in configs} == {1, 2, 3}
    assert any(config["per_edge_type_cutoff"] and config["pair_potential"] for config in configs)
    assert {config["readout_mlp_hidden_layers_depth"] for config in configs} == {0, 1, 2}
    assert {case["weights"] for case in CASES.values()} == {"fresh", "perturbed", "trained"}
    seen = {name for case in CASES.values() for name in case["frames"]}
    assert any(REFERENCE.index["frames"][name]["has_stress"] for name in seen)
    assert {"ho_lone", "ethanol_test", "water_test"} <= seen


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["inner_fields"]])
def test_features_after_each_layer_equal_the_peer(name):
    case, stored, model = CASES[name], REFERENCE.stored(name), REFERENCE.model(name, "float64")
    frame = case["inner_fields"]
    features = []
    for layer in model.energy.layers:
        layer.register_forward_hook(lambda _module, _args, output: features.append(output.detach()))
    model(REFERENCE.batch(name, frame, model))
    assert len(features) == case["config"]["num_layers"]
    for index, (layer, ours) in enumerate(zip(model.energy.layers, features, strict=True)):
        expected = stored[f"inner/{frame}/layer{index}_convnet/node_features"]
        assert str(layer.layout_out) == case["layers"][f"layer{index}_convnet"]["irreps_out"]
        torch.testing.assert_close(layer.layout_out.to_e3nn(ours), expected, rtol=1e-10, atol=1e-10)
