"""A crystal without symmetry."""

import numpy as np
from ase.build import bulk


def crystal():
    """A triclinic cell of carbon and oxygen, smaller than twice the usual cutoff, with displaced atoms."""
    atoms = bulk("CO", "zincblende", a=4.4).repeat((2, 1, 1))
    atoms.set_cell(atoms.cell.array + np.array([[0.1, 0.2, 0.0], [0.0, -0.1, 0.3], [0.2, 0.0, 0.1]]), scale_atoms=True)
    atoms.rattle(0.1, seed=3)
    return atoms
