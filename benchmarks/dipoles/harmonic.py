"""Harmonic infrared spectrum of ethanol with GFN2-xTB or with a model, by ASE.

Needs ``pip install tblite ase`` for GFN2-xTB, in an environment of its own, and equipot for a model::

    OMP_NUM_THREADS=1 python harmonic.py gfn2.json
    python harmonic.py model.json --model model.equipot.zip

The file gets wavenumbers in 1/cm and intensities in km/mol of the 21 vibrations, lowest first, and the relaxed
positions. Second derivatives of the energy and first derivatives of the dipole moment are finite differences.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from ase.build import molecule
from ase.optimize import BFGS
from ase.vibrations import Infrared

FMAX, DISPLACEMENT = 1e-3, 0.01  # eV/Å and Å
KM_PER_MOL = 42.2561  # for 1 (D/Å)²/u


def calculator(model: str | None) -> Any:
    """The calculator of a model, or GFN2-xTB."""
    if model is not None:
        from equipot.ase import EquipotCalculator

        return EquipotCalculator(model)
    from tblite.ase import TBLite

    return TBLite(method="GFN2-xTB", verbosity=0, accuracy=0.1)


def harmonic(calc: Any) -> dict[str, Any]:
    """Relax ethanol and compute its vibrations."""
    atoms = molecule("CH3CH2OH")
    atoms.calc = calc
    if not BFGS(atoms, logfile=None).run(fmax=FMAX, steps=300):
        raise RuntimeError("the relaxation did not converge")
    with tempfile.TemporaryDirectory() as folder:
        vibrations = Infrared(atoms, name=f"{folder}/ir", delta=DISPLACEMENT)
        vibrations.run()
        energies, intensities = vibrations.get_frequencies(), vibrations.intensities
    first = len(energies) - (3 * len(atoms) - 6)
    return {
        "wavenumbers": [round(float(one.real - one.imag), 2) for one in energies[first:]],
        "intensities": [round(KM_PER_MOL * float(one), 3) for one in intensities[first:]],
        "symbols": atoms.get_chemical_symbols(),
        "positions": atoms.positions.tolist(),
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", help="a package or checkpoint with dipole moments; default: GFN2-xTB")
    given = parser.parse_args()
    found = harmonic(calculator(given.model))
    given.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for wavenumber, intensity in zip(found["wavenumbers"], found["intensities"], strict=True):
        print(f"{wavenumber:7.1f} 1/cm {intensity:7.1f} km/mol")


if __name__ == "__main__":
    main()
