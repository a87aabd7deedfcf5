"""Derivatives of energies by finite differences, four points each.

All displaced copies of a structure are evaluated in one batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from equipot_testing.frames import Structure, batch_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from equipot.graph import Graph
    from equipot.model import ModelInfo

STEP = 1e-3
"""Displacement in Å, and strain."""

_STENCIL = ((-2.0, 1.0 / 12.0), (-1.0, -2.0 / 3.0), (1.0, 2.0 / 3.0), (2.0, -1.0 / 12.0))
"""Offsets in steps and weights of the central difference of fourth order."""


def derivatives(
    model: Callable[[Graph], Graph], info: ModelInfo, variants: Sequence[Callable[[float], Structure]]
) -> torch.Tensor:
    """dE/dx at x = 0 for several one-parameter families of structures.

    Args:
        model: Gives ``total_energy`` for a batch.
        info: Of the model.
        variants: Each maps x to a structure.

    Returns:
        Shape [n_variants], float64.
    """
    structures = [variant(offset * STEP) for variant in variants for offset, _ in _STENCIL]
    energies = model(batch_of(structures, info))["total_energy"].detach().reshape(len(variants), len(_STENCIL))
    weights = torch.tensor([weight for _, weight in _STENCIL], dtype=torch.float64)
    return energies @ weights / STEP


def fd_forces(model: Callable[[Graph], Graph], info: ModelInfo, structure: Structure) -> torch.Tensor:
    """Forces -dE/dR of a structure by finite differences, eV/Å, shape [n_atoms, 3]."""

    def along(atom: int, axis: int) -> Callable[[float], Structure]:
        unit = torch.zeros(len(structure), 3, dtype=torch.float64)
        unit[atom, axis] = 1.0
        return lambda x: structure.moved(x * unit)

    variants = [along(atom, axis) for atom in range(len(structure)) for axis in range(3)]
    return -derivatives(model, info, variants).reshape(-1, 3)


def fd_strain_gradient(model: Callable[[Graph], Graph], info: ModelInfo, structure: Structure) -> torch.Tensor:
    """dE/d(strain) of a structure by finite differences, eV, symmetric, shape [3, 3].

    A strain ε turns every vector r, cell vectors included, into (1 + ε) r.
    """
    one = torch.eye(3, dtype=torch.float64)

    def along(row: int, column: int) -> Callable[[float], Structure]:
        unit = torch.zeros(3, 3, dtype=torch.float64)
        unit[row, column] += 0.5
        unit[column, row] += 0.5
        return lambda x: structure.mapped(one + x * unit)

    variants = [along(row, column) for row in range(3) for column in range(3)]
    return derivatives(model, info, variants).reshape(3, 3)
