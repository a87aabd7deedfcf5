"""Structures in which symmetry says which forces are zero: fcc, diamond, layers, chains, and small molecules."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import torch

from equipot_testing.frames import Structure, cluster

if TYPE_CHECKING:
    from collections.abc import Sequence

NOWHERE, ALONG_X, IN_PLANE = (False, False, False), (True, False, False), (True, True, False)
"""Components of a force that symmetry allows."""


@dataclasses.dataclass(frozen=True)
class Symmetric:
    """A structure and the components of forces that its symmetry allows."""

    structure: Structure
    allowed: torch.Tensor
    """Whether the force on each atom may have an x, y and z component, shape [n_atoms, 3]."""


def symmetric_structures(n_types: int) -> dict[str, Symmetric]:
    """Structures with exact cancellations, by name; distances suit radii of about 4 Å.

    Cells have at least two atoms: a single one has no force in any case, since all its neighbours are itself.

    Args:
        n_types: Number of types; the second one, where there is one, is that of half of the atoms.
    """
    other = min(1, n_types - 1)
    half, long = 1.8, 30.0
    fcc = ((0.0, half, half), (half, 0.0, half), (half, half, 0.0))
    cubic = ((2 * half, 0.0, 0.0), (0.0, 2 * half, 0.0), (0.0, 0.0, 2 * half))
    layer = ((2.46, 0.0, 0.0), (1.23, 2.46 * math.sqrt(0.75), 0.0), (0.0, 0.0, long))
    chain = ((4.6, 0.0, 0.0), (0.0, long, 0.0), (0.0, 0.0, long))
    dimers = ((3.6, 0.0, 0.0), (0.0, long, 0.0), (0.0, 0.0, long))
    corners = [(1.3 * math.cos(angle), 1.3 * math.sin(angle), 0.0) for angle in (0.0, 2 * math.pi / 3, 4 * math.pi / 3)]
    origin = (0.0, 0.0, 0.0)
    bulk, slab, wire = (True, True, True), (True, True, False), (True, False, False)
    return {
        "fcc crystal": _periodic(
            [origin, (0.0, half, half), (half, 0.0, half), (half, half, 0.0)], [0] * 4, cubic, bulk, [NOWHERE] * 4
        ),
        "rock salt": _periodic([origin, (half, half, half)], [0, other], fcc, bulk, [NOWHERE] * 2),
        "diamond": _periodic([origin, (half / 2,) * 3], [other, other], fcc, bulk, [NOWHERE] * 2),
        "honeycomb layer": _periodic(
            [origin, (1.23, 2.46 * math.sqrt(1 / 12), 0.0)], [0, other], layer, slab, [NOWHERE] * 2
        ),
        "chain": _periodic([origin, (2.3, 0.0, 0.0)], [n_types - 1] * 2, chain, wire, [NOWHERE] * 2),
        "chain of dimers": _periodic([origin, (1.3, 0.0, 0.0)], [0, 0], dimers, wire, [ALONG_X] * 2),
        "dimer": _molecule([origin, (1.4, 0.0, 0.0)], [0, other], [ALONG_X] * 2),
        "linear molecule": _molecule(
            [origin, (1.2, 0.0, 0.0), (-1.2, 0.0, 0.0)], [other, 0, 0], [NOWHERE, ALONG_X, ALONG_X]
        ),
        "planar molecule": _molecule([origin, *corners], [other, 0, 0, 0], [NOWHERE, *[IN_PLANE] * 3]),
    }


def _periodic(
    positions: Sequence[Sequence[float]],
    types: Sequence[int],
    cell: Sequence[Sequence[float]],
    pbc: tuple[bool, bool, bool],
    allowed: Sequence[tuple[bool, bool, bool]],
) -> Symmetric:
    vectors = torch.tensor(cell, dtype=torch.float64)
    atoms = torch.tensor(positions, dtype=torch.float64)
    return Symmetric(Structure(atoms, torch.tensor(types), vectors, pbc), torch.tensor(allowed))


def _molecule(
    positions: Sequence[Sequence[float]], types: Sequence[int], allowed: Sequence[tuple[bool, bool, bool]]
) -> Symmetric:
    return Symmetric(cluster(positions, types), torch.tensor(allowed))
