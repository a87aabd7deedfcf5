"""Make small labelled sets with other engines than the example data, to test the checks of data on.

Needs only ``pip install pyscf tblite ase numpy`` (preferably in an environment of its own)::

    OMP_NUM_THREADS=1 python benchmarks/data_checks/make_sets.py FOLDER [--only NAME ...]

None of these sets took part in choosing the first thresholds of the checks, and those of ``HELD_OUT`` in none at all.
Each is one extended XYZ file in eV, eV/Å and eV/Å³ (positive under tension); the random numbers depend only on the name
of the set. All together take minutes.

Frames of the held-out sets have in ``info`` the ``other_energy`` of another method for the same structure.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.spacegroup import crystal

Generator = np.random.Generator


def tblite(method: str) -> Any:
    """A calculator of extended tight binding."""
    from tblite.ase import TBLite

    return TBLite(method=method, verbosity=0)


def with_labels(atoms: Atoms, calculator: Any, *, stress: bool) -> Atoms:
    """A copy with energy, forces and (asked for) stress."""
    atoms = atoms.copy()
    atoms.calc = calculator
    results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    if stress:
        results["stress"] = atoms.get_stress()
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def strained(atoms: Atoms, rng: Generator, *, rattle: float, strain: float) -> Atoms:
    """Atoms displaced by normal numbers (Å), and the cell strained with shear."""
    atoms = atoms.copy()
    change = rng.normal(scale=strain, size=(3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + (change + change.T) / 2), scale_atoms=True)
    atoms.positions += rng.normal(scale=rattle, size=(len(atoms), 3))
    return atoms


def _crystals(
    ideal: Atoms, calculator: Any, rng: Generator, frames: int, rattle: float, strain: float
) -> Iterator[Atoms]:
    for _ in range(frames):
        yield with_labels(strained(ideal, rng, rattle=rattle, strain=strain), calculator, stress=True)


def rock_salt(rng: Generator) -> Iterator[Atoms]:
    """Sodium chloride, 8 atoms, GFN1-xTB."""
    yield from _crystals(bulk("NaCl", "rocksalt", 5.6, cubic=True), tblite("GFN1-xTB"), rng, 80, 0.12, 0.04)


def quartz(rng: Generator) -> Iterator[Atoms]:
    """Quartz, 9 atoms in a hexagonal cell, GFN1-xTB."""
    places = [(0.4697, 0.0, 2 / 3), (0.4135, 0.2669, 0.7858)]
    ideal = crystal(("Si", "O"), places, spacegroup=154, cellpar=[4.916, 4.916, 5.405, 90, 90, 120])
    yield from _crystals(ideal, tblite("GFN1-xTB"), rng, 80, 0.08, 0.03)


def alloy(rng: Generator) -> Iterator[Atoms]:
    """Copper with a varying share of gold, 32 atoms, effective medium theory."""
    for _ in range(100):
        ideal = bulk("Cu", "fcc", rng.uniform(3.6, 4.0), cubic=True).repeat(2)
        ideal.numbers[rng.permutation(32)[: rng.integers(2, 20)]] = 79
        yield with_labels(strained(ideal, rng, rattle=0.15, strain=0.03), EMT(), stress=True)


def argon(rng: Generator) -> Iterator[Atoms]:
    """Solid argon, 32 atoms, Lennard-Jones."""
    calculator = LennardJones(sigma=3.4, epsilon=0.0104, rc=9.0, smooth=True)
    yield from _crystals(bulk("Ar", "fcc", 5.3, cubic=True).repeat(2), calculator, rng, 60, 0.2, 0.03)


def molecules(rng: Generator) -> Iterator[Atoms]:
    """Eight small molecules of H, C, N and O, GFN2-xTB."""
    names = ("CH4", "NH3", "H2O", "CH3OH", "HCN", "H2CO", "HCOOH", "CH3NO2")
    for index in range(160):
        atoms = molecule(names[index % len(names)])
        atoms.positions += rng.normal(scale=rng.choice([0.03, 0.06, 0.09]), size=(len(atoms), 3))
        yield with_labels(atoms, tblite("GFN2-xTB"), stress=False)


def carbonyls(rng: Generator) -> Iterator[Atoms]:
    """Formaldehyde and formic acid, PBE/def2-SVP with PySCF."""
    for index in range(60):
        atoms = molecule(("H2CO", "HCOOH")[index % 2])
        atoms.positions += rng.normal(scale=0.06, size=(len(atoms), 3))
        yield _pbe(atoms)


def _pbe(atoms: Atoms) -> Atoms:
    from pyscf import dft, gto

    places = [(symbol, tuple(place)) for symbol, place in zip(atoms.symbols, atoms.positions, strict=True)]
    solver = dft.RKS(gto.M(atom=places, basis="def2-svp", verbose=0), xc="pbe").density_fit()
    energy = solver.kernel() * units.Hartree
    if not solver.converged:
        raise RuntimeError("the self-consistent field did not converge")
    forces = -solver.nuc_grad_method().kernel() * units.Hartree / units.Bohr
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    return atoms


def _with_other(frames: Iterator[Atoms], method: str) -> Iterator[Atoms]:
    """The frames, each with the energy of another method as well."""
    for atoms in frames:
        other = atoms.copy()
        other.calc = tblite(method)
        atoms.info["other_energy"] = other.get_potential_energy()
        yield atoms


def sulphur(rng: Generator) -> Iterator[Atoms]:
    """Four molecules with sulphur, GFN2-xTB; the other energies by GFN1-xTB."""
    names = ("CH3SH", "CH3SCH3", "CH3CH2SH", "C2H6SO")

    def frames() -> Iterator[Atoms]:
        for index in range(160):
            atoms = molecule(names[index % 4])
            atoms.positions += rng.normal(scale=rng.choice([0.03, 0.06]), size=(len(atoms), 3))
            yield with_labels(atoms, tblite("GFN2-xTB"), stress=False)

    yield from _with_other(frames(), "GFN1-xTB")


def zinc_blende(rng: Generator) -> Iterator[Atoms]:
    """Zinc sulphide, 8 atoms, GFN1-xTB; the other energies by IPEA1-xTB."""
    ideal = bulk("ZnS", "zincblende", 5.41, cubic=True)
    yield from _with_other(_crystals(ideal, tblite("GFN1-xTB"), rng, 80, 0.1, 0.04), "IPEA1-xTB")


def rutile(rng: Generator) -> Iterator[Atoms]:
    """Titanium dioxide, 12 atoms in a tetragonal cell, GFN1-xTB; the other energies by IPEA1-xTB."""
    places = [(0, 0, 0), (0.305, 0.305, 0)]
    ideal = crystal(("Ti", "O"), places, spacegroup=136, cellpar=[4.594, 4.594, 2.959, 90, 90, 90]).repeat((1, 1, 2))
    yield from _with_other(_crystals(ideal, tblite("GFN1-xTB"), rng, 80, 0.08, 0.03), "IPEA1-xTB")


def diamond(rng: Generator) -> Iterator[Atoms]:
    """Diamond, 8 atoms, GFN1-xTB; the other energies by IPEA1-xTB."""
    ideal = bulk("C", "diamond", 3.57, cubic=True)
    yield from _with_other(_crystals(ideal, tblite("GFN1-xTB"), rng, 80, 0.1, 0.03), "IPEA1-xTB")


HELD_OUT: dict[str, Callable[[Generator], Iterator[Atoms]]] = {
    "sulphur_gfn2": sulphur,
    "zinc_blende_gfn1": zinc_blende,
    "rutile_gfn1": rutile,
    "diamond_gfn1": diamond,
}
"""Sets that were made to verify the thresholds, after which these did not change."""

SETS: dict[str, Callable[[Generator], Iterator[Atoms]]] = {
    "argon_lj": argon,
    "alloy_emt": alloy,
    "rock_salt_gfn1": rock_salt,
    "quartz_gfn1": quartz,
    "molecules_gfn2": molecules,
    "carbonyls_pbe": carbonyls,
    **HELD_OUT,
}


def main() -> None:
    """Write the sets that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        start = time.perf_counter()
        frames = list(SETS[name](np.random.default_rng(zlib.crc32(name.encode()))))
        write(given.folder / f"{name}.xyz", frames, format="extxyz")
        print(f"{name}: {len(frames)} frames, {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
