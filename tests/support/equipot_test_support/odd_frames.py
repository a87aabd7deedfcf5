"""Frames at the edges of what a model can be given: tiny and huge, cells of all kinds, odd memory."""

import numpy as np
from ase import Atoms

R_MAX = 4.0
"""The cutoff radius that two of the frames are about, Å."""

CELL = np.array([[4.9, 0.0, 0.0], [1.1, 4.6, 0.0], [-0.7, 0.9, 5.2]])


def two_waters(cell=None, pbc=False):
    """Two molecules of water."""
    positions = [
        [0.1, 0.2, 0.3],
        [1.06, 0.2, 0.3],
        [-0.14, 1.13, 0.4],
        [2.6, 2.2, 2.9],
        [3.4, 2.7, 2.8],
        [2.3, 2.5, 3.8],
    ]
    return Atoms("OHHOHH", positions, cell=cell, pbc=pbc)


def pair(distance):
    """Two atoms this far apart."""
    return Atoms("OH", [[0.0, 0.0, 0.0], np.array([2.0, 3.0, 6.0]) / 7.0 * distance])


def _coincident():
    atoms = two_waters()
    atoms.positions[4] = atoms.positions[3]
    return atoms


def _outside():
    atoms = two_waters(CELL, pbc=True)
    atoms.positions += np.array([[3, -2, 0], [0, 0, 5], [-4, 1, 1], [0, 7, 0], [-1, -1, -1], [2, 2, -9]]) @ CELL
    return atoms


def _odd_memory():
    atoms = two_waters(CELL, pbc=True)
    numbers = np.repeat(atoms.numbers, 2).astype(np.int32)[::2]
    atoms.arrays["positions"] = np.asfortranarray(atoms.positions[::-1])[::-1]
    atoms.arrays["numbers"] = numbers
    return atoms


def _single_precision():
    atoms = two_waters(CELL, pbc=True)
    atoms.arrays["positions"] = atoms.positions.astype(np.float32)
    return atoms


def _many():
    """20 000 atoms without a cell: distorted molecules of water on a wide grid."""
    random = np.random.default_rng(3)
    n_molecules = 6667
    corners = np.stack(np.unravel_index(np.arange(n_molecules), (20, 20, 17)), axis=1) * 5.0
    molecule = two_waters().positions[:3]
    positions = (corners[:, None] + molecule + random.normal(0, 0.05, (n_molecules, 3, 3))).reshape(-1, 3)
    return Atoms("OHH" * n_molecules, positions)[:20000]


FRAMES = {
    "isolated atom": lambda: Atoms("O", [[1.0, 2.0, 3.0]]),
    "no edges": lambda: Atoms("OHH", [[0.0, 0.0, 0.0], [50.0, 0.0, 0.0], [0.0, 70.0, 0.0]]),
    "just inside r_max": lambda: pair(R_MAX - 1e-6),
    "just outside r_max": lambda: pair(R_MAX + 1e-6),
    "one periodic atom": lambda: Atoms("O", [[0.3, 0.2, 0.1]], cell=[3.0, 3.1, 3.3], pbc=True),
    "cell smaller than r_max": lambda: Atoms("OH", [[0, 0, 0], [0.6, 0.7, 0.8]], cell=[1.9, 2.1, 2.3], pbc=True),
    "triclinic": lambda: two_waters(CELL, pbc=True),
    "left-handed": lambda: two_waters(CELL[[1, 0, 2]], pbc=True),
    "slab": lambda: two_waters(CELL, pbc=[True, True, False]),
    "wire": lambda: two_waters(CELL, pbc=[False, False, True]),
    "molecule": two_waters,
    "outside the cell": _outside,
    "vacuum": lambda: two_waters([200.0, 300.0, 400.0], pbc=True),
    "permuted": lambda: two_waters(CELL, pbc=True)[[4, 0, 5, 2, 1, 3]],
    "odd strides and integers": _odd_memory,
    "positions in float32": _single_precision,
    "duplicated position": _coincident,
    "20 000 atoms": _many,
}


REFUSED = {"duplicated position"}
"""Frames for which there are no right numbers: every path must say so."""


def frame(name):
    """One of the frames; its name travels with it."""
    atoms = FRAMES[name]()
    atoms.info["frame"] = name
    return atoms
