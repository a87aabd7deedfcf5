"""Make the sets of the page "Long-range electrostatics": two ions of the same charge, and molten sodium chloride.

Needs only ``pip install tblite ase numpy``, in an environment of its own::

    OMP_NUM_THREADS=1 python make_sets.py FOLDER

``ions.extxyz``
    Ammonium and guanidinium, 6 to 12 Å apart, in random orientations and slightly distorted; total charge 2. Between
    ions of opposite charge, GFN1-xTB lets an electron jump at these distances, and does not converge.
``salt.extxyz``, ``hot_salt.extxyz``
    64 atoms in a periodic cell at 1200 K and 2000 K, from molecular dynamics with the potential of Fumi and Tosi.

Energies, forces and stress are those of GFN1-xTB.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

N_IONS, N_SALT, N_HOT = 140, 80, 30
DISTANCES = (6.0, 12.0)
DISTORTION = 0.04  # Å, of every coordinate
SPACING = 3.19  # Å, of the lattice that melts: 1.5 g/cm³
TEMPERATURE, HOT = 1200.0, 2000.0
STEP, DECORRELATED = 2.0, 250  # fs, and steps between two frames
BOLTZMANN = 8.617333e-5  # eV/K
FS = 0.09822695  # in Å sqrt(u/eV)


def ammonium() -> Atoms:
    """NH4+, tetrahedral."""
    h = 1.03 / np.sqrt(3.0)
    return Atoms("NH4", [[0, 0, 0], [h, h, h], [-h, -h, h], [-h, h, -h], [h, -h, -h]])


def guanidinium() -> Atoms:
    """C(NH2)3+, planar."""
    symbols, places = "C", [np.zeros(3)]
    for turn in 2.0 * np.pi * np.arange(3) / 3.0:
        u, v = np.array([np.cos(turn), np.sin(turn), 0.0]), np.array([-np.sin(turn), np.cos(turn), 0.0])
        places += [1.34 * u, 1.34 * u + 1.01 * (0.5 * u + 0.866 * v), 1.34 * u + 1.01 * (0.5 * u - 0.866 * v)]
        symbols += "NH2"
    return Atoms(symbols, places)


def ions(generator: np.random.Generator) -> Iterator[Atoms]:
    """Pairs of ions at random distances."""
    for _ in range(N_IONS):
        pair = Atoms()
        for index, ion in enumerate((ammonium(), guanidinium())):
            turn = np.linalg.qr(generator.normal(size=(3, 3)))[0]
            shift = [0.0, 0.0, index * generator.uniform(*DISTANCES)]
            places = (ion.positions - ion.positions[0]) @ turn.T + shift
            ion.positions = places + generator.normal(0.0, DISTORTION, (len(ion), 3))
            pair += ion
        pair.info["total_charge"] = 2.0
        yield pair


def salt(generator: np.random.Generator, kelvin: float = TEMPERATURE, number: int = N_SALT) -> Iterator[Atoms]:
    """Frames of a melt; cells differ in volume by a few percent."""
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)
    kinds = grid.sum(1) % 2
    masses = np.where(kinds == 0, 22.99, 35.45)[:, None]
    length = 4 * SPACING
    places, speeds = SPACING * grid.astype(float), np.zeros((64, 3))
    forces = fumi_tosi(places, kinds, length)
    for step in range(DECORRELATED * (number + 8)):
        hot = 3000.0 if step < 3 * DECORRELATED else kelvin
        speeds += 0.5 * STEP * FS * forces / masses
        places = places + STEP * FS * speeds
        forces = fumi_tosi(places, kinds, length)
        speeds += 0.5 * STEP * FS * forces / masses
        kept = np.exp(-0.01 * STEP)  # Langevin, 10 per ps
        noise = np.sqrt((1.0 - kept**2) * BOLTZMANN * hot / masses) * generator.normal(size=(64, 3))
        speeds = kept * speeds + noise
        if step % DECORRELATED == 0 and step >= 8 * DECORRELATED:
            scale = generator.uniform(0.98, 1.02)
            symbols = np.where(kinds == 0, "Na", "Cl")
            yield Atoms(symbols, scale * (places % length), cell=[scale * length] * 3, pbc=True)


def fumi_tosi(places: np.ndarray, kinds: np.ndarray, length: float) -> np.ndarray:
    """Forces of the potential of Fumi and Tosi, eV/Å, with the Coulomb part shifted to 0 at half the cell."""
    pair = kinds[:, None] + kinds[None, :]
    factor, size = np.array([0.2637, 0.2110, 0.1582])[pair], np.array([2.340, 2.755, 3.170])[pair]
    c, d = np.array([1.0486, 6.9906, 72.4022])[pair], np.array([0.4993, 8.6758, 145.4285])[pair]
    charges = np.where(pair == 1, -14.399645, 14.399645)
    vectors = places[:, None] - places[None, :]
    vectors -= length * np.round(vectors / length)
    r = np.sqrt((vectors**2).sum(2) + 1e6 * np.eye(len(places)))
    slope = -factor / 0.317 * np.exp((size - r) / 0.317) + 6.0 * c / r**7 + 8.0 * d / r**9
    slope = np.where(r < length / 2, slope - charges * (1.0 / r**2 - 4.0 / length**2), 0.0)
    return -((slope / r)[:, :, None] * vectors).sum(1)


def labelled(atoms: Atoms) -> Atoms:
    """The frame with its energy, forces and, in a cell, stress."""
    from tblite.ase import TBLite

    charge = atoms.info.get("total_charge", 0.0)
    atoms.calc = TBLite(method="GFN1-xTB", verbosity=0, charge=charge)
    found = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    if atoms.pbc.all():
        found["stress"] = atoms.get_stress()
    atoms.calc = SinglePointCalculator(atoms, **found)
    return atoms


def main() -> None:
    """Write both files, a frame at a time; a file that exists is left alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    sets = {"ions": ions, "salt": salt, "hot_salt": partial(salt, kelvin=HOT, number=N_HOT)}
    for seed, (name, frames) in enumerate(sets.items()):
        path = folder / f"{name}.extxyz"
        if path.exists():
            continue
        part = path.with_suffix(".part.extxyz")
        part.unlink(missing_ok=True)
        for frame in frames(np.random.default_rng(seed)):
            write(part, labelled(frame), append=True)
        part.rename(path)
        print(f"wrote {path}", flush=True)


if __name__ == "__main__":
    main()
