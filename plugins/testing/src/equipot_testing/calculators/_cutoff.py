"""Find the distance at which two atoms stop interacting, and check that they do so smoothly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from equipot_testing.calculators._structures import CLOSEST, dimer, radius_of

if TYPE_CHECKING:
    from equipot_testing.calculators._derivatives import Precision
    from equipot_testing.calculators.potentials import Potential

FARTHEST = 12.0
"""Distance in Å; pairs that still interact there count as long-range."""

NARROW = 1e-6
"""Accuracy in Å with which the end of an interaction is found."""


def check_smooth_dimer(potential: Potential, precision: Precision, first: str, second: str) -> tuple[str, float | None]:
    """Check energy and force of a dimer on both sides of the distance where the atoms stop interacting.

    Args:
        potential: The potential.
        precision: Of the potential.
        first: Element of the first atom.
        second: Element of the second atom.

    Returns:
        The pair's name, and the distance in Å where the interaction is lost in rounding; None if
        there is none up to 12 Å, or none at all.

    Raises:
        AssertionError: If energy or force jumps there.
    """
    name = f"{first}-{second}"

    def at(distance: float) -> tuple[float, float]:
        frame = dimer(first, second, distance)
        (result,) = potential.evaluate([frame])
        return result.energy, float(np.linalg.norm(result.forces[1]))

    floor = 1e-12 if precision.dtype == "float64" else max(1e-5, 20.0 * precision.noise)
    start = CLOSEST * (radius_of(first) + radius_of(second))
    grid = np.arange(FARTHEST, start, -0.25)
    if at(float(grid[0]))[1] > floor:
        return name, None
    near = next((float(distance) for distance in grid if at(float(distance))[1] > floor), None)
    if near is None:
        return name, None
    far = near + 0.25
    while far - near > NARROW:
        middle = 0.5 * (near + far)
        near, far = (middle, far) if at(middle)[1] > floor else (near, middle)
    (energy_in, force_in), (energy_out, force_out) = at(near), at(far)
    energy_half, force_half = at(max(start, 0.5 * near))
    law = f"smoothness of {name} at {near:.3f} Å"
    allowed = 1e-4 * abs(energy_half - energy_out) + precision.energy_floor
    _check_jump(law, "energy", energy_in - energy_out, allowed)
    _check_jump(law, "force", force_in - force_out, 1e-3 * force_half + floor)
    return name, near


def _check_jump(law: str, what: str, jump: float, allowed: float) -> None:
    if not abs(jump) <= allowed:
        raise AssertionError(f"{law}: {what} must be continuous, jumps by {jump:.3g}, allowed {allowed:.3g}")
