"""Errors with weights from the file, against numpy, and what weights of zero leave out."""

import csv
import json

import numpy as np
import pytest
from ase.io import write

from equipot.artifacts import load_model
from equipot.errors import ConfigError
from equipot.evaluate import Reading, evaluate, write_csv

WEIGHTS = {"frame": "config_weight", "forces": "trust"}


@pytest.fixture
def weighted(tmp_path, labelled, package_file, keys):
    """Evaluate the frames with weights that a function sets: ``weighted(change)``, evaluation and frames."""

    def make(change=lambda index, atoms: None, weights=WEIGHTS):
        frames, random = labelled[1], np.random.default_rng(4)
        for index, atoms in enumerate(frames):
            atoms.info["config_weight"] = float(random.uniform(0.2, 3.0))
            atoms.arrays["trust"] = random.uniform(0.1, 2.0, size=len(atoms))
            change(index, atoms)
        write(tmp_path / "w.extxyz", frames)
        found = evaluate(
            load_model(package_file), tmp_path / "w.extxyz", labels=keys, reading=Reading(weights=weights), batch_size=3
        )
        return found, frames

    return make


def assert_weighted(errors, values, weights):
    values, weights = np.ravel(values), np.ravel(weights)
    assert errors["weighted_rmse"] == pytest.approx(np.sqrt(np.average(values**2, weights=weights)), rel=1e-6)
    assert errors["weighted_mae"] == pytest.approx(np.average(abs(values), weights=weights), rel=1e-6)
    assert errors["rmse"] == pytest.approx(np.sqrt(np.mean(values**2)), rel=1e-6), "the plain number stays"
    assert errors["max"] == pytest.approx(abs(values).max(), rel=1e-6), "the largest has no weight"


def test_weighted_errors_are_beside_plain_ones(weighted, by_hand):
    found, frames = weighted()
    rows = [(row, atoms) for row, atoms in zip(by_hand, frames, strict=True) if row["group"] != "IsolatedAtom"]
    energy, forces, stress = (one.errors() for one in found.compared)
    of_frames = [atoms.info["config_weight"] for _, atoms in rows]
    assert_weighted(energy, [row["energy"] / len(atoms) for row, atoms in rows], of_frames)
    of_atoms = np.concatenate([atoms.info["config_weight"] * atoms.arrays["trust"] for _, atoms in rows])
    assert_weighted(forces, np.concatenate([row["forces"] for row, _ in rows]), np.repeat(of_atoms, 3))
    solid = [(row, atoms) for row, atoms in rows if "stress" in row]
    assert_weighted(
        stress, [row["stress"] for row, _ in solid], np.repeat([one.info["config_weight"] for _, one in solid], 9)
    )
    hydrogen = np.concatenate([atoms.numbers for _, atoms in rows]) == 1
    by_element = found.by_element()["H"].errors["forces"]
    assert_weighted(
        by_element, np.concatenate([row["forces"] for row, _ in rows])[hydrogen], np.repeat(of_atoms[hydrogen], 3)
    )
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["forces_weighted_rmse_mev_per_angstrom"] == forces["weighted_rmse"]
    assert plain["labels"]["forces"]["weights"] == {"config_weight": 9, "trust": 9}


def equal(_, atoms):
    atoms.info["config_weight"], atoms.arrays["trust"] = 2.0, np.full(len(atoms), 0.5)


def test_equal_weights_are_none(weighted, by_hand):
    found, _ = weighted(equal)
    assert all(one.weights is None and "weighted_rmse" not in one.errors() for one in found.compared)
    assert not any("weighted" in name for name in found.to_dict())


def test_values_of_weight_zero_are_in_no_error(weighted, by_hand):
    def change(index, atoms):
        equal(index, atoms)
        if index == 9:  # the isolated atom, which has no forces
            return
        atoms.arrays["trust"][0] = 0.0
        atoms.arrays["REF_forces"][0] = 1e3
        if index == 2:
            atoms.info["config_weight"] = 0.0

    found, frames = weighted(change)
    kept = [index for index in range(9) if index != 2]
    energy, forces, _ = (one.errors() for one in found.compared)
    assert energy["values"] == len(kept)
    assert forces["values"] == 3 * sum(len(frames[index]) - 1 for index in kept)
    left = np.concatenate([by_hand[index]["forces"][1:] for index in kept])
    assert forces["rmse"] == pytest.approx(np.sqrt(np.mean(left**2)), rel=1e-6)
    assert "weighted_rmse" not in forces, "those that are left have equal weights"
    said = found.labels()
    assert said["forces"]["zero_weights"] == 9 - 1 + len(frames[2]), "of a frame of weight 0 all atoms"
    assert said["total_energy"] | {"sources": None} == {
        "key": "REF_energy",
        "convention": "stress",
        "sources": None,
        "frames": 9,
        "ignored": {"weight 0": 1},
        "weights": {"config_weight": 10},
        "zero_weights": 1,
        "compared": True,
    }


def test_weights_that_no_frame_has_are_a_warning(weighted):
    found, _ = weighted(weights={"frame": "confg_weight"})
    assert "no frame has the weights confg_weight: where they are missing, they are 1" in found.warnings
    with pytest.raises(ConfigError, match="--label-weights.force: unknown label.*did you mean 'forces'"):
        weighted(weights={"force": "trust"})


def test_tables_have_the_mean_weight_of_each_frame(weighted, tmp_path):
    found, frames = weighted()
    write_csv(found, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = frames[1].info["config_weight"] * frames[1].arrays["trust"].mean()
    assert float(rows[1]["forces_weight"]) == pytest.approx(expected, rel=1e-6)
    assert float(rows[1]["per_atom_energy_weight"]) == pytest.approx(frames[1].info["config_weight"], rel=1e-6)
