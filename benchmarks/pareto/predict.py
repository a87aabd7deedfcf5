"""Predict frames with the calculator of one program and time its calls; runs in the program's environment.

``PYTHON predict.py PROGRAM MODEL FRAMES.extxyz OUT.npz``: energies, forces, and the CPU time of a call in µs for each
atom, on one thread: the median over steps of some 0.02 Å between which a neighbour list may be kept.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # MACE's e3nn keeps constants of its own in a pickle

import numpy as np
from ase.io import read


def calculator(program: str, model: str) -> Any:  # noqa: PLR0911 - one for each program
    """The calculator of a program as it documents it."""
    if program == "equipot":
        from equipot.ase import EquipotCalculator

        return EquipotCalculator(model)
    if program in ("nequip", "allegro"):
        from nequip.integrations.ase import NequIPCalculator

        if model.endswith(".pt2"):
            return NequIPCalculator.from_compiled_model(model, device="cpu", chemical_species_to_atom_type_map=True)
        return NequIPCalculator._from_saved_model(model, device="cpu", chemical_species_to_atom_type_map=True)  # noqa: SLF001
    if program == "mace":
        from mace.calculators import MACECalculator

        return MACECalculator(model_paths=model, device="cpu", default_dtype="float32")
    if program == "symmetrix":
        from symmetrix import Symmetrix

        return Symmetrix(model)
    if program == "sevenn":
        from sevenn.calculator import SevenNetCalculator

        return SevenNetCalculator(model=model, device="cpu")
    if program == "ace":
        import jax

        jax.config.update("jax_enable_x64", True)
        from ace_jax import ACECalculator

        return ACECalculator(model)
    raise ValueError(f"no calculator for {program}")


def main() -> None:
    """Predict, time and store."""
    program, model, frames, out = sys.argv[1:5]
    if program != "ace":
        import torch

        torch.set_num_threads(1)
    used = calculator(program, model)
    energies, forces, test = [], [], read(frames, ":")
    for atoms in test:
        if program in ("ace", "symmetrix") and not atoms.cell.rank:
            atoms.cell = [50.0] * 3  # they need a volume for the stress, even of a molecule
        atoms.calc = used
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    largest = max(test, key=len)
    atoms = largest.copy()
    atoms.calc = used
    random, times = np.random.default_rng(1), []
    for _ in range(22):
        atoms.positions += random.normal(scale=0.01, size=atoms.positions.shape)
        start = time.process_time()
        atoms.get_forces()
        times.append(time.process_time() - start)
    us = 1e6 * float(np.median(times[2:])) / len(atoms)
    np.savez(out, energies=energies, forces=np.concatenate(forces), us_per_atom=us, timed_atoms=len(atoms))


if __name__ == "__main__":
    main()
