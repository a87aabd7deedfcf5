"""Phonons against second derivatives of the energy, the sum rule, and the classical limit."""

import csv

import numpy as np
import pytest
from ase import units
from ase.io import write

from equipot.ase import EquipotCalculator
from equipot_simulate._phonons import default_supercell
from equipot_test_support.engines import record_capability


def dynamical_frequencies(atoms, calculator, step=1e-3):
    """Frequencies at Γ of a cell in THz, by central differences of forces."""
    n = len(atoms)
    hessian = np.zeros((3 * n, 3 * n))
    for index in range(3 * n):
        forces = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[index // 3, index % 3] += sign * step
            forces.append(calculator.get_forces(moved).ravel())
        hessian[index] = (forces[1] - forces[0]) / (2 * step)
    masses = np.repeat(atoms.get_masses(), 3)
    values = np.linalg.eigvalsh((hessian + hessian.T) / 2 / np.sqrt(np.outer(masses, masses)))
    return np.sign(values) * np.sqrt(np.abs(values)) / (2 * np.pi) * units.s * 1e-12


@pytest.mark.slow
def test_bands_sum_rule_and_heat(place, make_crystal):
    """Modes at X of the primitive cell are modes at Γ of the cubic one."""
    pytest.importorskip("phonopy", reason="needs phonopy")
    write("cu.extxyz", make_crystal(rattle=0.0))
    found = place.ok("phonons", "--relax", "cell", "--supercell", 3, 3, 3, "--mesh", 40, folder="out")
    relaxed = make_crystal(a=found["relaxed"]["volume_a3"] ** (1 / 3), rattle=0.0)
    expected = dynamical_frequencies(relaxed, EquipotCalculator(place.model))
    with (place.path / "out/bands.csv").open(encoding="utf-8", newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    at_x = [row for row in rows if np.allclose([row["qx"], row["qy"], row["qz"]], [0.5, 0.0, 0.5])]
    bands = [at_x[0][f"band_{index}_thz"] for index in range(3)]
    assert bands == pytest.approx([expected[3], expected[3], expected[-1]], rel=2e-3)
    rule = found["acoustic_sum_rule_ev_per_a2"]
    assert rule["after"] < 1e-9
    assert rule["before"] < 1e-3
    assert np.abs(found["gamma_frequencies_thz"]).max() < 1e-3
    assert found["stable"]
    assert found["primitive_atoms"] == 1
    assert found["highest_frequency_thz"] == pytest.approx(max(bands), rel=0.02)
    with (place.path / "out/thermal.csv").open(encoding="utf-8", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert float(last["heat_capacity_j_per_k_mol"]) == pytest.approx(3 * 8.314, rel=0.01)
    assert 0.8 < found["thermal"]["heat_capacity_over_3r"] < 1.0
    import phonopy

    loaded = phonopy.load(place.path / "out/phonopy.yaml", log_level=0)
    loaded.run_qpoints([[0.5, 0.0, 0.5]])
    assert loaded.qpoints.frequencies[0] == pytest.approx(bands, abs=1e-3)
    largest = np.abs(np.array(bands) - [expected[3], expected[3], expected[-1]]).max()
    record_capability(
        "phonopy",
        "bands, density of states, thermal properties",
        version=phonopy.__version__,
        command="equipot phonons MODEL STRUCTURE",
        deviation=f"{largest:.1g} THz (differences of forces)",
    )


@pytest.mark.slow
def test_what_is_not_stable_is_said(place, make_crystal):
    """A crystal far from its volume has imaginary frequencies."""
    pytest.importorskip("phonopy", reason="needs phonopy")
    write("cu.extxyz", make_crystal(a=4.4, rattle=0.0))
    code, _, errors = place.call("phonons", "--supercell", 2, 2, 2, "--mesh", 20, "--output", "out")
    assert code == 0
    assert "warning: there are imaginary frequencies" in errors
    assert not place.results("out")["stable"]


def test_refusals_and_the_supercell(place, make_crystal):
    assert default_supercell(make_crystal()) == (3, 3, 3)
    assert place.error("phonons", "--supercell", 0, 1, 1).startswith("--supercell: must be three numbers of at least 1")
    text = place.error("phonons", "--temperatures", 100, 50, 10)
    assert text.startswith("--temperatures: must be FIRST LAST STEP, not negative")
