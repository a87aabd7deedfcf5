"""Labels besides energies, forces and stress: learnt by the head of a plugin, or left out with a reason."""

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.errors import DataError
from equipot_fit._other_labels import charge_key, wanted
from equipot_fit._plan import make_plan
from equipot_test_support.water import random_labels

pytest.importorskip("equipot_dipoles", reason="equipot-dipoles is not installed")

MU = {"total_energy": "energy", "forces": "forces", "dipole": "dipole"}


def water(number=20, *, cell=None, keep=("energy", "forces"), some=1, **info):
    """Water molecules with made-up dipole moments, each ``some``-th with one."""
    frames = random_labels(number, spread=0.1, **({} if cell is None else {"cell": cell}))
    for index, atoms in enumerate(frames):
        if cell is None:
            atoms.pbc = False
        results = {key: value for key, value in atoms.calc.results.items() if key in keep}
        if index % some == 0:
            results["dipole"] = np.array([0.1, 0.2, 0.01 * index])
        atoms.info.update(info)
        atoms.calc = SinglePointCalculator(atoms, **results)
    return frames


def test_dipoles_of_molecules_are_learnt_by_the_head_that_is_installed(facts_of):
    facts = facts_of(water())
    [found] = facts.others
    assert (found.label, found.frames, found.modifier) == ("dipole", 20, "add_Dipoles")
    assert found.rms == pytest.approx(0.144, abs=0.01)
    assert facts.options["labels"] == MU
    plan = make_plan(facts, 5.0)
    model = plan.config["training_module"]["model"]
    assert model["modifiers"] == [{"modifier": "add_Dipoles"}]
    assert model["model"]["_target_"] == "equipot.model.NequIPGNNModel"
    weight = plan.config["training_module"]["loss"]["coeffs"]["dipole"]
    assert weight == pytest.approx((facts.forces_rms / found.rms) ** 2, rel=0.5)
    metrics = plan.config["training_module"]["val_metrics"]
    assert metrics["labels"] == ["dipole"]
    assert metrics["coeffs"]["dipole_mae"] == pytest.approx(weight**0.5, rel=0.5)
    assert "training_module.model.model.r_max" in plan.reasons
    assert "training_module.model.r_max" not in plan.reasons
    assert "dipole (dipole, 20 frames) is learnt, too, by the head of add_Dipoles" in plan.notes(facts)


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (water(cell=[5.0, 5.5, 6.0]), "add_Dipoles is for molecules, and frames are periodic"),
        (water(charge=1), "frames are charged, and add_Dipoles without options takes them for neutral"),
        (water(40, some=40), "fewer than 5 % of the frames have it"),
    ],
)
def test_what_is_not_learnt_is_said_with_the_reason(facts_of, frames, reason):
    facts = facts_of(frames)
    assert [(one.modifier, one.reason) for one in facts.others] == [("", reason)]
    plan = make_plan(facts, 5.0)
    assert "modifiers" not in plan.config["training_module"]["model"]
    assert "dipole" not in plan.config["training_module"]["loss"]["coeffs"]
    assert any("is left out" in text and reason in text for text in plan.notes(facts))


def test_frames_with_a_charge_of_zero_are_neutral(facts_of):
    [found] = facts_of(water(charge=0)).others
    assert found.modifier == "add_Dipoles"


def test_without_a_head_a_label_is_named(facts_of, monkeypatch):
    monkeypatch.setattr("equipot_fit._other_labels._head_for", lambda *_, **__: ("", "no installed plugin has a head"))
    [found] = facts_of(water()).others
    assert found.line == "dipole (dipole, 20 frames) is left out: no installed plugin has a head"


def test_energies_alone_with_dipoles(facts_of):
    facts = facts_of(water(keep=("energy",)))
    plan = make_plan(facts, 5.0)
    loss = plan.config["training_module"]["loss"]
    assert loss["_target_"] == "equipot.train.EnergyForceLoss"
    assert loss["coeffs"].keys() == {"total_energy", "dipole"}
    assert any("energies alone" in text for text in plan.notes(facts))


def test_dipoles_alone_are_refused_in_one_sentence(facts_of):
    with pytest.raises(DataError, match=r"no frame has an energy or forces .*dipole can only be learnt together"):
        facts_of(water(keep=()))


def test_labels_that_were_asked_for_are_not_looked_for():
    keys = {"info:mu", "results:dipole", "results:energy"}
    assert wanted(keys, {}, {"total_energy": "energy"}) == {}
    assert wanted(keys, {}, {"total_energy": "energy", "dipole": "mu"}) == {"dipole": "mu"}
    assert wanted(keys, {}, None) == {"dipole": "dipole"}
    assert charge_key({"info:charge", "results:energy"}) == "charge"
    assert charge_key({"arrays:charge"}) is None
