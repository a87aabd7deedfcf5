import pytest
import torch

from equipot.energy_terms import LatentElectrostatics
from equipot.errors import ConfigError
from equipot.model import apply_modifier
from equipot_testing.frames import batch_of, bulk, molecule
from equipot_testing.toy import ToyFeatures

BASE = {"type_names": ["H", "C"], "r_max": 4.0, "model_dtype": "float64"}


def model(*names):
    return ToyFeatures(**BASE, energy_terms={name: LatentElectrostatics() for name in names}).build().eval()


def test_charges_are_an_output_and_energies_stay():
    bare = model("electrostatics")
    shown = apply_modifier(bare, "enable_LatentCharges")
    batch = batch_of([bulk(2), molecule(2)], bare.info)
    outputs, expected = shown(batch), bare(batch)
    assert set(outputs) == {*expected, "latent_charges"}
    assert all(torch.equal(outputs[key], value) for key, value in expected.items())
    assert outputs["latent_charges"].shape == (12, 1)
    assert outputs["latent_charges"].any()


def test_the_head_has_the_weights_of_the_term():
    shown = apply_modifier(model("electrostatics"), "enable_LatentCharges")
    assert len(list(shown.parameters())) == len(list(model("electrostatics").parameters()))
    batch = batch_of([bulk(2)], shown.info)
    before = shown(batch)["latent_charges"]
    with torch.no_grad():
        shown.energy_terms["electrostatics"].charges.of_types.add_(torch.tensor([[0.3], [0.0]]))
    assert (shown(batch)["latent_charges"] - before).abs().min() > 1e-3


@pytest.mark.parametrize("names", [(), ("one", "two")])
def test_models_without_one_such_term(names):
    with pytest.raises(ConfigError, match="enable_LatentCharges: needs a model with one term LatentElectrostatics"):
        apply_modifier(model(*names), "enable_LatentCharges")
