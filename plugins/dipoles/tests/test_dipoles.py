import pytest
import torch

from equipot.errors import ConfigError, DataError
from equipot.model import apply_modifier
from equipot_dipoles import Dipoles
from equipot_testing.frames import batch_of, bulk, lone_atom, molecule
from equipot_testing.toy import ToyFeatures, ToyModel

BASE = {"type_names": ["H", "C"], "r_max": 4.0, "model_dtype": "float64"}


def model_for(**options):
    return apply_modifier(ToyFeatures(**BASE).build(), "add_Dipoles", options).eval()


def batch_for(model, charges, structures=None):
    structures = structures or [molecule(2), molecule(2, seed=3), lone_atom()]
    return {**batch_of(structures, model.info), "total_charge": torch.tensor(charges, dtype=torch.float64)}


def test_charges_add_up_to_those_of_the_frames():
    for charged, expected in ((False, [0.0, 0.0, 0.0]), (True, [1.0, -2.0, 0.0])):
        model = model_for(charged=charged)
        batch = batch_for(model, [1.0, -2.0, 0.0])
        charges = model(batch)["charges"]
        total = torch.zeros(3, dtype=torch.float64).index_add(0, batch["batch"], charges)
        torch.testing.assert_close(total, torch.tensor(expected, dtype=torch.float64), atol=1e-12, rtol=0)
        assert ("total_charge" in model.info.inputs) == charged


def test_the_dipole_of_an_ion_is_relative_to_its_centre_of_mass():
    model = model_for(charged=True)
    here, there = (molecule(2), molecule(2).moved(torch.tensor([7.0, -3.0, 20.0])))
    found = [model(batch_for(model, [1.0], [one]))["dipole"] for one in (here, there)]
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-10)
    alone = model(batch_for(model, [1.0], [lone_atom()]))
    assert alone["charges"].tolist() == [1.0]
    assert alone["dipole"].abs().max() < 1e-12


def test_a_dipole_is_made_of_charges_and_vectors():
    model = model_for()
    head = model.outputs["dipoles"]
    assert isinstance(head, Dipoles)
    with torch.no_grad():
        head.vector_weights.zero_()
        head.type_charges.copy_(torch.tensor([0.4, -0.8]))
    graph = molecule(2).graph(model.info)
    outputs = model(graph)
    torch.testing.assert_close(outputs["dipole"][0], outputs["charges"] @ graph["positions"])


def test_crystals_are_refused():
    model = model_for()
    with pytest.raises(DataError, match="'dipoles' is for molecule only, but frame 0 has the pbc of a bulk"):
        model(bulk(2).graph(model.info))


def test_what_it_cannot_be_added_to():
    with pytest.raises(ConfigError, match="add_Dipoles: requires node_features, which the builder's ToyEnergy"):
        apply_modifier(ToyModel(**BASE).build(), "add_Dipoles")
    with pytest.raises(ConfigError, match="the model has another head 'dipoles'"):
        apply_modifier(model_for(), "add_Dipoles", {"charged": True})
    beads = ToyFeatures(**{**BASE, "type_names": ["A1", "B1"]}).build()
    with pytest.raises(ConfigError, match="add_Dipoles.charged: needs types that are elements"):
        apply_modifier(beads, "add_Dipoles", {"charged": True})
    assert "dipole" in apply_modifier(beads, "add_Dipoles").info.outputs
