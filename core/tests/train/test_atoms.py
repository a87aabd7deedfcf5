"""What a run says of energies of atoms, in its output and in its files."""

import json

import pytest
import torch
from ase import Atoms
from ase.io import write

from equipot_test_support.water import labelled, water_frames

SHIFTS = "training_module.model.per_type_energy_shifts"
AUTO = f"{SHIFTS}='${{training_data_stats:per_type_energy_shifts_auto}}'"
SHORT = ["trainer.max_epochs=1", "--output", "out"]


@pytest.fixture
def with_atoms(folder):
    """Add isolated atoms to the data."""

    def add(**energies):
        frames = water_frames()
        for symbol, energy in energies.items():
            frames.append(labelled(Atoms(symbol), energy=energy, forces=[[0, 0, 0]]))
        write(folder.path / "water.extxyz", frames)

    return add


def results(folder):
    return json.loads((folder.path / "out" / "results.json").read_text())


def test_isolated_atoms_if_there_are_some(folder, with_atoms):
    with_atoms(H=-3.0, O=-2.5)
    code, output, errors = folder.call(AUTO, *SHORT)
    assert code == 0, errors
    assert "isolated atoms in the training set (eV; part of no mean): H -3, O -2.5" in output
    assert "per_type_energy_shifts_auto: from isolated atoms: each type has one in the training set" in output
    assert "isolated atoms by the model (minus the data), eV: H -3 (+0), O -2.5 (+0)" in output
    found = results(folder)["energies_of_atoms"]
    assert (found["shifts"]["rule"], found["shifts"]["values"]) == ("isolated atoms", {"H": -3.0, "O": -2.5})
    assert found["isolated_atoms"] == {"H": {"data": -3.0, "model": -3.0}, "O": {"data": -2.5, "model": -2.5}}
    record = torch.load(folder.path / "out" / "best.ckpt", weights_only=True)["equipot"]
    assert record["data"]["energies_of_atoms"]["shifts"] == found["shifts"]
    assert record["model"]["config"]["per_type_energy_shifts"] == {"H": -3.0, "O": -2.5}


def test_the_mean_with_a_warning_for_one_composition(folder):
    code, output, errors = folder.call(AUTO, *SHORT)
    assert code == 0, errors
    assert (
        "warning: per_type_energy_shifts_auto: from the mean energy per atom: the train set has no isolated" in output
    )
    assert "compositions determine 1 of 2 per-type energies, not those of ['H', 'O']" in output
    found = results(folder)["energies_of_atoms"]
    assert found["shifts"]["rule"] == "mean"
    assert found["shifts"]["values"]["H"] == found["shifts"]["values"]["O"] == pytest.approx(-3.32, abs=0.02)
    assert "isolated_atoms" not in found


def test_a_mean_that_contradicts_isolated_atoms(folder, with_atoms):
    with_atoms(H=-3.0, O=-2.5)
    code, output, errors = folder.call(*SHORT)
    assert code == 0, errors
    assert "per_atom_energy_mean: -3.3" in output, "isolated atoms are no part of it"
    assert "[shifts-contradict-isolated-atoms]" in errors, "before training"
    assert output.count("warning: shifts differ from the isolated atoms in train: H -3.3") == 1, "at its end"
    found = results(folder)["energies_of_atoms"]["isolated_atoms"]
    assert found["H"]["model"] - found["H"]["data"] == pytest.approx(-0.32, abs=0.02)
    assert "shifts differ" in (folder.path / "out" / "train.log").read_text()


def test_numbers_that_contradict_isolated_atoms(folder, with_atoms):
    with_atoms(H=-3.0, O=-2.5)
    code, output, errors = folder.call(f"{SHIFTS}={{H: -3.0, O: -3.0}}", *SHORT)
    assert code == 0, errors
    said = "warning shifts-contradict-isolated-atoms: shifts differ from the isolated atoms in train: O -3"
    assert " ".join(output.split()).count(said) == 2, "before training and at its end"


def test_shifts_of_another_code(folder):
    code, output, errors = folder.call(f"{SHIFTS}={{H: -13.6, O: -432.0}}", *SHORT)
    assert code == 0, errors
    said = "warning energy-offset: less the shifts, energies are 149.7 eV per atom (before -3.3"
    assert " ".join(output.split()).count(said) == 2, "before training and at its end"
    assert "energies_of_atoms" not in results(folder)


def test_a_part_of_the_isolated_atoms(folder, with_atoms):
    with_atoms(H=-3.0)
    code, output, errors = folder.call(AUTO, *SHORT)
    assert code == 0, errors
    assert "of the types ['O']" in output
    assert set(results(folder)["energies_of_atoms"]["isolated_atoms"]) == {"H"}
