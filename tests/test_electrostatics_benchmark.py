"""The comparison with and without electrostatics: its frames, and that it measures what it says."""

import argparse

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from equipot_test_support.scripts import load_script

make_sets = load_script("benchmarks/electrostatics/make_sets.py")


def test_ions_are_apart_and_charged():
    frames = list(make_sets.ions(np.random.default_rng(0)))
    assert len(frames) == make_sets.N_IONS
    assert {frame.get_chemical_formula() for frame in frames} == {"CH10N4"}
    distances = [frame.get_distance(0, 5) for frame in frames]
    assert 5.8 < min(distances) < 6.5
    assert 11.5 < max(distances) < 12.2
    assert {frame.info["total_charge"] for frame in frames} == {2.0}


def test_forces_of_the_melt_act_along_the_bonds():
    places = np.array([[0.0, 0.0, 0.0], [2.2, 0.0, 0.0]])
    close = make_sets.fumi_tosi(places, np.array([0, 1]), 12.0)
    assert close[0, 0] < 0 < close[1, 0]  # at 2.2 Å, an ion pair is pushed apart, at 3.2 Å it is drawn together
    far = make_sets.fumi_tosi(np.array([[0.0, 0.0, 0.0], [3.2, 0.0, 0.0]]), np.array([0, 1]), 12.0)
    assert far[1, 0] < 0 < far[0, 0]
    np.testing.assert_allclose(close.sum(0), 0.0, atol=1e-12)
    assert not close[:, 1:].any()


@pytest.mark.slow
def test_both_models_are_trained_and_compared(tmp_path, monkeypatch):
    compare = load_script("benchmarks/electrostatics/compare.py")
    for frame in list(make_sets.ions(np.random.default_rng(0)))[:9]:
        frame.calc = SinglePointCalculator(frame, energy=14.4 / frame.get_distance(0, 5), forces=np.ones((15, 3)))
        write(tmp_path / "ions.extxyz", frame, append=True)
    monkeypatch.setitem(compare.SETS["ions"], "train", 7)
    given = argparse.Namespace(folder=tmp_path, builder="nequip", layers=1, sigma=1.0, seconds=0.1, seed=1, model=None)
    found = compare.measured("ions", given)
    assert [row[0] for row in found["rows"]] == ["short-ranged, seed 1", "with LatentElectrostatics, seed 1"]
    assert all(row[1] >= 1 for row in found["rows"])
    assert all(float(one.split(" (")[0]) > 0.0 for row in found["rows"] for one in row[3:5])
    assert [row[5][:2] for row in found["rows"]] == ["", "H "]
    assert "7 frames for training, 2 for the test" in found["description"]


def test_charges_that_made_the_forces_are_found():
    linear = load_script("benchmarks/electrostatics/linear.py")
    frames = []
    for index in range(linear.TRAIN + 2):
        atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
        atoms.rattle(0.2, seed=index)
        energy, forces = linear.coulomb(atoms)
        atoms.calc = SinglePointCalculator(atoms, energy=0.49 * energy, forces=0.49 * forces)
        frames.append(atoms)
    found = linear.fitted(frames, 4.0, charged=True)
    assert found["charge"] == pytest.approx(0.7, abs=1e-3)
    assert found["forces"] < 0.1 < 0.1 * linear.fitted(frames, 4.0, charged=False)["forces"]
