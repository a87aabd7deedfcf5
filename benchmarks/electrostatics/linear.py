"""What the Coulomb energy is worth in molten sodium chloride, whatever the training: models that are fitted exactly.

    OMP_NUM_THREADS=1 python benchmarks/electrostatics/linear.py FOLDER --write

FOLDER is the one that ``make_sets.py`` wrote. Each model is a sum of pair potentials up to a cutoff radius, a linear
combination of Bessel functions for each pair of elements, and a constant, fitted to energies and forces by least
squares; the other has the Ewald sum of fixed charges of both signs in addition, whose square is one more coefficient.
``--write`` stores the table in ``docs/results/electrostatics``.
"""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.io import read
from ase.neighborlist import neighbor_list

from equipot.files import write_json
from equipot.units import COULOMB_CONSTANT
from equipot_electrostatics import smeared_potentials

RESULTS = Path(__file__).parents[2] / "docs/results/electrostatics"
RADII, SIGMA, FUNCTIONS, TRAIN = (4.0, 5.0, 6.0), 2.0, 12, 60  # Å, Å, of each pair of elements, frames


def pairs(atoms: Atoms, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives by the coefficients: of the energy [3 n], and of the forces [n_atoms, 3, 3 n]."""
    first, second, r, vectors = neighbor_list("ijdD", atoms, radius)
    waves = np.arange(1, FUNCTIONS + 1) * np.pi / radius
    inside = 1.0 - (r / radius) ** 2
    bessel = np.sin(np.outer(r, waves)) / r[:, None]
    slope = (waves * np.cos(np.outer(r, waves)) - bessel) / r[:, None]
    values = bessel * inside[:, None] ** 3
    slopes = slope * inside[:, None] ** 3 - bessel * (6.0 * r / radius**2 * inside**2)[:, None]
    kinds = (atoms.numbers[first] == 17).astype(int) + (atoms.numbers[second] == 17)
    energy, forces = np.zeros((3, FUNCTIONS)), np.zeros((len(atoms), 3, 3, FUNCTIONS))
    for kind in range(3):
        of = kinds == kind
        energy[kind] = 0.5 * values[of].sum(0)
        np.add.at(forces[:, :, kind], first[of], (vectors[of] / r[of, None])[:, :, None] * slopes[of][:, None, :])
    return energy.ravel(), forces.reshape(len(atoms), 3, -1)


def coulomb(atoms: Atoms) -> tuple[float, np.ndarray]:
    """Energy and forces of charges of 1 e and -1 e."""
    n_atoms, kind = len(atoms), torch.float64
    positions = torch.tensor(atoms.positions, dtype=kind, requires_grad=True)
    charges = torch.tensor(np.where(atoms.numbers == 11, 1.0, -1.0))[:, None]
    cell, periodic = torch.tensor(atoms.cell.array, dtype=kind)[None], torch.ones(1, 3, dtype=torch.bool)
    batch, number = torch.zeros(n_atoms, dtype=torch.int64), torch.tensor([n_atoms])
    geometry = (positions, cell, periodic, batch, number)
    potentials = smeared_potentials(charges, *geometry, sigma=SIGMA, accuracy=1e-4)
    energy = 0.5 * COULOMB_CONSTANT["metal"] * (charges * potentials).sum()
    return float(energy.detach()), -torch.autograd.grad(energy, positions)[0].numpy()


def fitted(frames: list[Atoms], radius: float, *, charged: bool) -> dict[str, float]:
    """Errors of the test frames in meV/atom and meV/Å, and the charge in e."""
    of_energies, of_forces = [], []
    for atoms in frames:
        energy, forces = pairs(atoms, radius)
        energy, forces = np.append(energy, len(atoms)), np.concatenate([forces, np.zeros((len(atoms), 3, 1))], axis=2)
        if charged:
            more, pull = coulomb(atoms)
            energy, forces = np.append(energy, more), np.concatenate([forces, pull[:, :, None]], axis=2)
        of_energies.append(energy / len(atoms))
        of_forces.append(forces.reshape(3 * len(atoms), -1))
    energies = np.array([one.get_potential_energy() / len(one) for one in frames])
    forces = [one.get_forces().ravel() for one in frames]
    weight = np.sqrt(len(forces[0]) * len(frames[0]))  # of energies per atom, as (ΔE)²/N next to the mean of forces
    left = np.concatenate([*of_forces[:TRAIN], weight * np.array(of_energies[:TRAIN])])
    right = np.concatenate([*forces[:TRAIN], weight * energies[:TRAIN]])
    found = np.linalg.lstsq(left, right, rcond=1e-12)[0]
    wrong = {
        "energy": np.array(of_energies[TRAIN:]) @ found - energies[TRAIN:],
        "forces": np.concatenate(of_forces[TRAIN:]) @ found - np.concatenate(forces[TRAIN:]),
    }
    errors = {key: 1000.0 * float(np.sqrt(np.mean(value**2))) for key, value in wrong.items()}
    return {**errors, "charge": float(np.sqrt(max(found[-1], 0.0)))}


def main() -> None:
    """Fit, print, and store if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    frames = read(given.folder / "salt.extxyz", ":")
    rows = []
    for radius in RADII:
        for charged, title in ((False, "short-ranged"), (True, "with charges")):
            found = fitted(frames, radius, charged=charged)
            charge = f"{found['charge']:.2f}" if charged else ""
            rows.append([f"{title}, {radius:g} Å", round(found["energy"], 2), round(found["forces"], 1), charge])
            print(rows[-1], flush=True)
    table = {
        "title": "Molten sodium chloride: pair potentials, fitted exactly",
        "description": f"GFN1-xTB; {TRAIN} frames for training, {len(frames) - TRAIN} for the test; "
        f"{3 * FUNCTIONS + 1} coefficients by least squares, with charges one more. Width of the charges {SIGMA:g} Å.",
        "columns": ["model", "energy RMSE, meV/atom", "force RMSE, meV/Å", "charge, e"],
        "rows": rows,
        "command": "OMP_NUM_THREADS=1 python benchmarks/electrostatics/linear.py FOLDER --write",
        "machine": f"1 core, {platform.machine()}, no GPU",
        "versions": {one: version(one) for one in ("equipot", "torch", "numpy")},
    }
    if given.write:
        write_json(RESULTS / "salt_linear.json", table)


if __name__ == "__main__":
    main()
