"""The probe: a linear model of energies, forces and stresses that shows whether labels belong to their structures.

Energies are sums of radial functions of pairs and of squares of the atoms' neighbour densities, with distances in units
of the sum of two covalent radii, so that one basis serves all elements. Forces and stresses are its exact derivatives.
The model is far too simple to be of use, but labels that follow from the positions are explained in good part by it,
and labels that do not are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from equipot.neighbors import image_vectors, neighbor_list

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

REACH = 2.6
"""Pairs are seen up to this distance, in sums of covalent radii."""

_PAIR_CENTRES = 0.45 + 2.0 * (np.arange(14) / 13) ** 1.3
_PAIR_WIDTHS = np.gradient(_PAIR_CENTRES) * 1.1
_DENSITY_CENTRES = np.linspace(0.8, 2.3, 5)
_DENSITY_WIDTHS = np.full(5, 0.4)
_PRODUCTS = np.array(list(combinations_with_replacement(range(5), 2))).T
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True)
class Structure:
    """One frame as arrays, with the labels it has; in eV and Å."""

    numbers: IntArray
    """Atomic numbers, shape [n_atoms]."""
    positions: FloatArray
    """Å, shape [n_atoms, 3]."""
    cell: FloatArray
    """Rows, Å, shape [3, 3]."""
    pbc: npt.NDArray[np.bool_]
    """Shape [3]."""
    energy: float | None = None
    """eV."""
    forces: FloatArray | None = None
    """eV/Å, shape [n_atoms, 3]."""
    stress: FloatArray | None = None
    """eV/Å³, positive under tension, in the order xx yy zz yz xz xy, shape [6]."""
    place: str = ""
    """File and frame."""

    @property
    def volume(self) -> float:
        """Of the cell, Å³."""
        return float(abs(np.linalg.det(self.cell)))


@dataclass(frozen=True)
class Features:
    """What the model's coefficients multiply for one frame."""

    energy: FloatArray
    """Shape [n_features]."""
    forces: FloatArray
    """Minus the gradient of the energy, per Å, shape [3 * n_atoms, n_features]."""
    stress: FloatArray | None
    """Derivative by strain over the volume, per Å³, shape [6, n_features]; None without periodicity."""
    nearest: FloatArray
    """Distance of each atom to its nearest neighbour in sums of covalent radii, at most ``REACH``; shape [n_atoms]."""


class Basis:
    """The radial functions for a set of elements.

    Args:
        elements: Atomic numbers.
    """

    def __init__(self, elements: Sequence[int]) -> None:
        from ase.data import covalent_radii

        self.elements = np.array(sorted(set(elements)), np.int64)
        self._radii = covalent_radii[self.elements]
        n = len(self.elements)
        self._pair_type = np.zeros((n, n), np.int64)
        upper = np.triu_indices(n)
        self._pair_type[upper] = self._pair_type.T[upper] = np.arange(len(upper[0]))
        self._n_pairs = len(upper[0]) * len(_PAIR_CENTRES)
        self.size = self._n_pairs + n * _PRODUCTS.shape[1]

    def features(self, structure: Structure) -> Features:
        """Energy, forces and stress of each basis function."""
        edges = self._edges(structure)
        n = len(structure.numbers)
        types = np.searchsorted(self.elements, structure.numbers)
        energy, forces = np.zeros(self.size), np.zeros((n, 3, self.size))
        periodic = bool(structure.pbc.any()) and structure.volume > 1e-9
        stress = np.zeros((6, self.size)) if periodic else None
        for block in (*self._pair_blocks(edges, types), *self._density_blocks(edges, types, n)):
            energy[block.columns] += block.energy
            _add_derivatives(block, edges, forces, stress)
        if stress is not None:
            stress /= structure.volume
        nearest = np.full(n, REACH)
        np.minimum.at(nearest, edges.centre, edges.ratio)
        return Features(energy, forces.reshape(3 * n, self.size), stress, nearest)

    def _edges(self, structure: Structure) -> _Edges:
        r_max = REACH * 2.0 * float(self._radii.max())
        (centre, neighbour), shift = neighbor_list(structure.positions, structure.cell, structure.pbc, r_max)
        vector = structure.positions[neighbour] - structure.positions[centre] + image_vectors(shift, structure.cell).T
        types = np.searchsorted(self.elements, structure.numbers)
        radii = self._radii[types]
        length = np.linalg.norm(vector, axis=1)
        total = radii[centre] + radii[neighbour]
        keep = np.flatnonzero(length < REACH * total)
        centre, neighbour, vector, length, total = (x[keep] for x in (centre, neighbour, vector, length, total))
        return _Edges(centre, neighbour, vector, vector / length[:, None], length / total, total)

    def _pair_blocks(self, edges: _Edges, types: IntArray) -> list[_Block]:
        values, slopes = _radial(edges, _PAIR_CENTRES, _PAIR_WIDTHS)
        kind = self._pair_type[types[edges.centre], types[edges.neighbour]]
        blocks = []
        for one in np.unique(kind):
            chosen = np.flatnonzero(kind == one)
            columns = slice(one * len(_PAIR_CENTRES), (one + 1) * len(_PAIR_CENTRES))
            blocks.append(_Block(columns, 0.5 * values[chosen].sum(axis=0), chosen, slopes[chosen]))
        return blocks

    def _density_blocks(self, edges: _Edges, types: IntArray, n_atoms: int) -> list[_Block]:
        values, slopes = _radial(edges, _DENSITY_CENTRES, _DENSITY_WIDTHS)
        density = _sum_by_centre(edges.centre, values, n_atoms)
        first, second = _PRODUCTS
        squares = density[:, first] * density[:, second]
        of_centre, of_neighbour = types[edges.centre], types[edges.neighbour]
        blocks = []
        for one in np.unique(types):
            start = self._n_pairs + one * len(first)
            slope = np.zeros((len(edges.centre), len(first)))
            for atom, kind in ((edges.centre, of_centre), (edges.neighbour, of_neighbour)):
                mine = np.flatnonzero(kind == one)
                around = density[atom[mine]]
                slope[mine] += slopes[mine][:, first] * around[:, second] + around[:, first] * slopes[mine][:, second]
            energy = squares[types == one].sum(axis=0)
            blocks.append(_Block(slice(start, start + len(first)), energy, np.arange(len(edges.centre)), slope))
        return blocks


@dataclass(frozen=True)
class _Edges:
    centre: IntArray
    neighbour: IntArray
    vector: FloatArray
    direction: FloatArray
    ratio: FloatArray
    total: FloatArray


@dataclass(frozen=True)
class _Block:
    """Some basis functions: their energies, and how they change with the length of the chosen edges."""

    columns: slice
    energy: FloatArray
    chosen: IntArray
    slopes: FloatArray


def _radial(edges: _Edges, centres: FloatArray, widths: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gaussians that a cosine takes to zero at ``REACH``, and their derivatives per Å; shape [n_edges, n]."""
    x = edges.ratio[:, None]
    cut, cut_slope = 0.5 * (1.0 + np.cos(np.pi * x / REACH)), -0.5 * np.pi / REACH * np.sin(np.pi * x / REACH)
    bell = np.exp(-0.5 * ((x - centres) / widths) ** 2)
    return bell * cut, bell * (cut_slope - (x - centres) / widths**2 * cut) / edges.total[:, None]


def _sum_by_centre(centre: IntArray, values: FloatArray, n_atoms: int) -> FloatArray:
    """Sums of rows by centre, which is sorted."""
    result = np.zeros((n_atoms, values.shape[1]))
    if len(centre):
        starts = np.flatnonzero(np.diff(centre, prepend=-1))
        result[centre[starts]] = np.add.reduceat(values, starts, axis=0)
    return result


def _add_derivatives(block: _Block, edges: _Edges, forces: FloatArray, stress: FloatArray | None) -> None:
    centre, direction = edges.centre[block.chosen], edges.direction[block.chosen]
    for axis in range(3):
        change = _sum_by_centre(centre, block.slopes * direction[:, axis, None], len(forces))
        forces[:, axis, block.columns] += change
    if stress is not None:
        vector = edges.vector[block.chosen]
        for row, (a, b) in enumerate(_VOIGT):
            stress[row, block.columns] += 0.5 * (direction[:, a] * vector[:, b]) @ block.slopes
