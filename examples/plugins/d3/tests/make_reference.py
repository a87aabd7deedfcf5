"""Write reference.json with energies, gradients and virials of simple-dftd3 (`pip install dftd3 ase`, an environment of
its own), two-body D3(BJ) with a hard cutoff that no pair is near to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list

BOHR = 0.529177210544
HARTREE = 27.211386245981
FUNCTIONAL = "pbe"


def frames() -> dict[str, Atoms]:
    """A molecule, a salt, and a crystal of molecules in a skewed cell, all slightly disordered."""
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    acid = molecule("HCOOH")
    acid.set_cell([[4.9, 0.3, -0.2], [1.1, 5.2, 0.4], [-0.7, 0.9, 5.6]])
    acid.pbc = True
    built = {"ethanol": molecule("CH3CH2OH"), "salt": salt, "acid": acid}
    for seed, atoms in enumerate(built.values()):
        atoms.rattle(0.05, seed=seed)
    return built


def clear_radius(atoms: Atoms) -> float:
    """A radius near 14 Å that is at least 2 mÅ away from every distance."""
    lengths = neighbor_list("d", atoms, 14.2)
    for radius in np.arange(14.0, 14.1, 0.0005):
        if lengths.size == 0 or np.abs(lengths - radius).min() > 0.002:
            return float(round(radius, 4))
    raise RuntimeError("no radius between the distances")


def main() -> None:
    """Compute and write."""
    import dftd3
    from dftd3.interface import DispersionModel, RationalDampingParam

    records = {}
    for name, atoms in frames().items():
        radius = clear_radius(atoms)
        periodic = {"lattice": atoms.cell.array / BOHR, "periodic": atoms.pbc} if atoms.pbc.any() else {}
        model = DispersionModel(atoms.numbers, atoms.positions / BOHR, **periodic)
        model.set_realspace_cutoff(radius / BOHR, 1.0, radius / BOHR)
        found = model.get_dispersion(RationalDampingParam(method=FUNCTIONAL, atm=False), grad=True)
        records[name] = {
            "numbers": atoms.numbers.tolist(),
            "positions": atoms.positions.tolist(),
            "cell": atoms.cell.array.tolist(),
            "pbc": atoms.pbc.tolist(),
            "r_max": radius,
            "energy": float(found["energy"]) * HARTREE,
            "forces": (-np.asarray(found["gradient"]) * HARTREE / BOHR).tolist(),
            "virial": (-np.asarray(found["virial"]) * HARTREE).tolist(),
        }
    text = json.dumps({"program": f"dftd3 {dftd3.__version__}", "functional": FUNCTIONAL, "frames": records}, indent=1)
    Path(__file__).with_name("reference.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
