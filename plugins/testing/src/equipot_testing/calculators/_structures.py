"""Frames of given elements at realistic distances: crystal, slab, molecule, lone atom, dimer."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SHAPE = np.array([[1.0, 0.0, 0.0], [0.22, 0.94, 0.0], [-0.14, 0.18, 1.06]])
"""Rows of a triclinic cell of unit size."""

CLOSEST = 1.1
"""Smallest distance between atoms, in sums of covalent radii."""


def radius_of(element: str) -> float:
    """Covalent radius, Å."""
    return float(covalent_radii[atomic_numbers[element]])


def crystal(elements: Sequence[str], *, n_atoms: int = 8, seed: int = 1, pbc: tuple[bool, bool, bool]) -> Atoms:
    """Atoms at random places of a triclinic cell, none too close to another.

    Args:
        elements: Symbols; each occurs if there are enough atoms.
        n_atoms: Number of atoms.
        seed: Seed for places and order.
        pbc: Periodic directions; without any, the frame has no cell.

    Returns:
        The same frame for the same arguments.
    """
    generator = np.random.default_rng(seed)
    symbols = [elements[index % len(elements)] for index in range(n_atoms)]
    size = 2.2 * float(np.mean([radius_of(symbol) for symbol in symbols]))
    for scale in itertools.count(2.4, 0.2):
        cell = scale * size * (n_atoms / 8) ** (1 / 3) * SHAPE
        places = _placed(symbols, cell, np.array(pbc), generator)
        if places is not None:
            return Atoms(symbols, positions=places, cell=cell if any(pbc) else None, pbc=pbc)
    raise AssertionError  # the loop has no end


def _placed(
    symbols: Sequence[str], cell: NDArray[np.float64], pbc: NDArray[np.bool_], generator: np.random.Generator
) -> NDArray[np.float64] | None:
    """Positions in Å, shape [n_atoms, 3]; None if the atoms do not fit."""
    shifts = np.array(list(itertools.product(*[(-1, 0, 1) if periodic else (0,) for periodic in pbc]))) @ cell
    radii = [CLOSEST * radius_of(symbol) for symbol in symbols]
    places: list[NDArray[np.float64]] = []
    for _ in range(400):
        index = len(places)
        if index == len(symbols):
            return np.array(places)
        trial = generator.random(3) @ cell
        far = all(
            np.linalg.norm(other + shifts - trial, axis=1).min() > radii[index] + radii[number]
            for number, other in enumerate(places)
        )
        if far:
            places.append(trial)
    return None


def bulk(elements: Sequence[str], **options: int) -> Atoms:
    """Periodic in all directions, triclinic."""
    return crystal(elements, pbc=(True, True, True), **options)


def slab(elements: Sequence[str]) -> Atoms:
    """Periodic in two directions."""
    frame = crystal(elements, pbc=(True, True, False), seed=2)
    frame.cell[2] *= 4.0
    return frame


def molecule(elements: Sequence[str]) -> Atoms:
    """No cell and no periodic direction."""
    return crystal(elements, n_atoms=6, pbc=(False, False, False), seed=3)


def lone_atom(element: str) -> Atoms:
    """One atom, away from the origin."""
    return Atoms([element], positions=[[0.3, -0.2, 0.7]])


def dimer(first: str, second: str, distance: float) -> Atoms:
    """Two atoms at a distance in Å, in a general direction."""
    direction = np.array([0.36, 0.48, 0.8])
    return Atoms([first, second], positions=[[0.1, 0.2, 0.3], np.array([0.1, 0.2, 0.3]) + distance * direction])


def symmetric(elements: Sequence[str]) -> dict[str, tuple[Atoms, NDArray[np.bool_]]]:
    """Frames with exact cancellations, and whether the force on each atom may have an x, y and z component.

    Args:
        elements: Symbols, of which the first two are used.

    Returns:
        By name; the flags have the shape [n_atoms, 3].
    """
    first, second = elements[0], elements[min(1, len(elements) - 1)]
    near, mixed = 2.4 * radius_of(first), 1.2 * (radius_of(first) + radius_of(second))
    corners = np.array([[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    edge = 2.0 * max(mixed, near / np.sqrt(2.0))
    salt = np.concatenate([corners, corners + 0.5])
    line = np.array([[0.0, 0.0, 0.0], [mixed, 0.0, 0.0], [-mixed, 0.0, 0.0]])
    nowhere = np.zeros(3, dtype=bool)
    along = np.array([True, False, False])
    return {
        "fcc crystal": (
            Atoms([first] * 4, positions=np.sqrt(2.0) * near * corners, cell=np.sqrt(2.0) * near * np.eye(3), pbc=True),
            np.tile(nowhere, (4, 1)),
        ),
        "rock salt": (
            Atoms([first] * 4 + [second] * 4, positions=edge * salt, cell=edge * np.eye(3), pbc=True),
            np.tile(nowhere, (8, 1)),
        ),
        "linear molecule": (Atoms([first, second, second], positions=line), np.array([nowhere, along, along])),
    }


def rotated(frame: Atoms, matrix: NDArray[np.float64]) -> Atoms:
    """The frame after a linear map: r becomes ``matrix @ r``."""
    new = frame.copy()
    new.set_cell(np.asarray(frame.cell) @ matrix.T)
    new.set_positions(frame.positions @ matrix.T)
    return new


def orthogonal_matrices() -> dict[str, NDArray[np.float64]]:
    """A random rotation, the inversion, a reflection."""
    q, r = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    rotation = q * np.sign(np.linalg.det(q))
    return {"rotation": rotation, "inversion": -np.eye(3), "reflection": np.diag([1.0, -1.0, 1.0])}
