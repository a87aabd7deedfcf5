"""What the tests of whole roads share: from a model trained on energies to one with forces."""

from pathlib import Path

import numpy as np
import torch

from equipot_test_support.commands import equipot
from equipot_testing.frames import batch_of, standard_structures

FINE_TUNING = {
    "_target_": "equipot.model.modify",
    "modifiers": [{"modifier": "enable_ForceStressOutput"}],
    "model": {"_target_": "equipot.model.ModelFromPackage", "package_path": "energy_only.equipot.zip"},
}
"""A model section that starts from ``energy_only.equipot.zip`` and adds forces."""


def packaged(checkpoint, name):
    """Build a package from a checkpoint in the current folder; gives its path."""
    equipot("package", "build", checkpoint, f"{name}.equipot.zip")
    return Path(f"{name}.equipot.zip").absolute()


def with_forces(package):
    """The model of a package after ``enable_ForceStressOutput``, made by a recipe as configs write it."""
    from equipot.model import ModelFromPackage, modify

    modifiers = [{"modifier": "enable_ForceStressOutput"}]
    return modify(model=ModelFromPackage(package_path=str(package)), modifiers=modifiers).build().eval()


def check_outputs_kept(made, original):
    """Every output of the original model is bit for bit the other one's too."""
    batch = batch_of(standard_structures(len(original.info.type_names)).values(), original.info)
    found = made(batch)
    for key, value in original(batch).items():
        assert torch.equal(found[key], value), key


def force_loss(model, frames):
    """Mean squared error of the forces of labelled frames, (eV/Å)²."""
    from equipot.ase import EquipotCalculator

    calculator, errors = EquipotCalculator(model.eval()), []
    for labelled in frames:
        atoms = labelled.copy()
        atoms.calc = calculator
        errors.append(((atoms.get_forces() - labelled.get_forces()) ** 2).mean())
    return float(np.mean(errors))
