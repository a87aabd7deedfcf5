"""Frames with labels at known distances from a model's predictions, and the errors counted by hand."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from ase.stress import voigt_6_to_full_3x3_stress

from equipot.ase import EquipotCalculator


@pytest.fixture
def labelled(tmp_path, package_file):
    """Two files under REF_ keys, with the errors that were put in: ``(files, frames)``."""
    rng, calculator = np.random.default_rng(5), EquipotCalculator(package_file)
    frames = []
    for seed in range(9):
        atoms = (
            bulk("CO", "zincblende", a=4.4).repeat((2, 1, 1)) if seed % 2 else molecule("CH3OH" if seed % 4 else "H2O")
        )
        atoms.rattle(0.05, seed=seed)
        atoms.info["config_type"] = "solid" if seed % 2 else "gas"
        energy, forces = calculator.get_potential_energy(atoms), calculator.get_forces(atoms)
        stress = voigt_6_to_full_3x3_stress(calculator.get_stress(atoms)) if seed % 2 else None
        atoms.calc = None
        atoms.info["REF_energy"] = energy - 0.01 * rng.normal() - 0.3 * np.count_nonzero(atoms.numbers == 1)
        atoms.arrays["REF_forces"] = forces - 0.02 * rng.normal(size=forces.shape)
        if stress is not None:
            tilt = rng.normal(size=(3, 3))
            atoms.info["REF_virial"] = -(stress - 0.001 * (tilt + tilt.T)) * atoms.get_volume()
        frames.append(atoms)
    frames.append(Atoms("H", info={"config_type": "IsolatedAtom", "REF_energy": -12.6}))
    files = [tmp_path / "one.extxyz", tmp_path / "two.extxyz"]
    write(files[0], frames[:4])
    write(files[1], frames[4:])
    return files, frames


KEYS = {
    "total_energy": "REF_energy",
    "forces": "REF_forces",
    "stress": {"key": "REF_virial", "convention": "virial"},
}


@pytest.fixture
def keys():
    """Where these labels are."""
    return KEYS


@pytest.fixture
def by_hand(labelled, package_file):
    """Prediction minus label of each frame in meV and Å, by ASE's calculator: a list of dicts."""
    from ase.io import read

    calculator, rows = EquipotCalculator(package_file), []
    for file in labelled[0]:
        for index, atoms in enumerate(read(file, ":")):
            row = {
                "place": f"{file}, frame {index}",
                "file": str(file),
                "group": atoms.info["config_type"],
                "numbers": atoms.numbers,
                "energy": 1000 * (calculator.get_potential_energy(atoms) - atoms.info["REF_energy"]),
            }
            if "REF_forces" in atoms.arrays:
                row["forces"] = 1000 * (calculator.get_forces(atoms) - atoms.arrays["REF_forces"])
            if "REF_virial" in atoms.info:
                label = -np.reshape(atoms.info["REF_virial"], (3, 3)) / atoms.get_volume()
                row["stress"] = 1000 * (voigt_6_to_full_3x3_stress(calculator.get_stress(atoms)) - label)
            rows.append(row)
    return rows
