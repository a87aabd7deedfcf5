"""Frames labelled by EMT, and the files and data modules made of them."""

import h5py
import numpy as np
import torch
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from equipot_testing.toy import ToyModel
from equipot_toolbox import FrameDataModule

RECIPE = ToyModel(type_names=["C", "H", "O", "Cu"], r_max=3.0)


def labelled(atoms, random):
    """A copy, shaken, with EMT's labels."""
    atoms = atoms.copy()
    atoms.rattle(0.05, rng=random)
    atoms.calc = EMT()
    names = ["energy", "forces", *(["stress"] if atoms.pbc.any() else [])]
    results = {name: atoms.calc.get_property(name, atoms) for name in names}
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def module(dataset, **options):
    """A data module with this train set, bound to the toy model."""
    made = FrameDataModule(1, train_dataset=dataset, cache_dir=None, **options)
    made.bind(RECIPE.info())
    return made


def arrays_of(molecules):
    """Frames of one composition as the arrays of sGDML."""
    return {
        "R": np.stack([atoms.positions for atoms in molecules]),
        "z": molecules[0].numbers,
        "E": np.array([[atoms.get_potential_energy()] for atoms in molecules]),
        "F": np.stack([atoms.get_forces() for atoms in molecules]),
    }


def write_hdf5(path, frames):
    """A group for each composition."""
    groups = {}
    for atoms in frames:
        groups.setdefault(str(atoms.symbols), []).append(atoms)
    with h5py.File(path, "w") as file:
        for name, members in groups.items():
            group = file.create_group(name)
            group["atomic_numbers"] = members[0].numbers
            group["pos"] = np.stack([atoms.positions for atoms in members])
            group["cell"] = np.stack([atoms.cell.array for atoms in members])
            group["pbc"] = members[0].pbc
            group["energy"] = [atoms.get_potential_energy() for atoms in members]
            group["forces"] = np.stack([atoms.get_forces() for atoms in members])
            if members[0].pbc.any():
                group["stress"] = np.stack([atoms.get_stress(voigt=False) for atoms in members])
    return [atoms for _, members in sorted(groups.items()) for atoms in members]


def assert_same(one, other, number):
    """The same fields with the same values, to the bit."""
    for index in range(number):
        ours, theirs = one[index], other[index]
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            assert torch.equal(value, theirs[key]), key
