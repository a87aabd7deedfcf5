"""Checks of consistency that need no fit: distances, cells, torques, zeroed forces, elements against energies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from equipot.data.checks import _probe_checks as checks
from equipot.data.checks._catalogue import Check, Finding
from equipot.data.checks._geometry_checks import CLUSTER, GAP, LATTICE_LOST, open_gap
from equipot.data.checks._probe import REACH, FloatArray, Structure
from equipot.data.checks._sample import FEWEST_FRAMES, Sample
from equipot.errors import DataError
from equipot.neighbors import neighbor_list

_NOBLE = (2, 10, 18, 36, 54, 86)
_SOUND_DISTANCES = (0.5, 1.5)
_TOUCHING, _APART = 0.55, 0.7
_LOPSIDED = 0.02
_ROOM = 2.0
"""Å³ per atom: no solid is as dense."""
_FILLED, _HYDROGEN = 0.12, 0.2
"""Part of the box around the atoms that spheres of their covalent diameters fill, of which free molecules without much
hydrogen have less."""
_TORQUE, _NET, _UNBALANCED = 0.02, 0.05, 0.01
_ZEROED = 0.02
_RARE, _COMMON = 0.02, 20


def found(check: Check, places: Sequence[str], message: str) -> Finding:
    """A finding about frames."""
    return Finding(check=check, count=len(places), example=places[0], message=message, places=tuple(places))


def frame_findings(sample: Sample) -> list[Finding]:
    """All findings of this module on one sample: those on the structures, and only if there are none, the others."""
    if unit := positions_unit(sample):
        return [unit, *element_label(sample)]
    found_in_cells = [*cell_transposed(sample), *cell_lost(sample)]
    if found_in_cells or cells_open(sample):
        return [*found_in_cells, *element_label(sample)]
    return [*forces_torque(sample), *forces_zeroed(sample), *element_label(sample)]


def cells_open(sample: Sample) -> bool:
    """Whether most frames have a cell that is full of atoms and not periodic, which ``pbc-missing`` says."""
    having = [one for one in sample.structures if not one.pbc.all() and one.volume > 1e-9]
    full = sum(open_gap(one) < GAP for one in having)
    return full > 0.5 * len(sample.structures)


def cell_lost(sample: Sample) -> Iterator[Finding]:
    """Pieces of crystals and liquids whose forces are those of a periodic calculation."""
    free = [one for one in sample.with_forces if not one.pbc.any() and one.volume < 1e-9]
    solid = [one for one in free if len(one.numbers) >= CLUSTER and (one.numbers == 1).mean() < _HYDROGEN]
    if len(solid) < FEWEST_FRAMES or len(solid) <= 0.5 * len(sample.structures):
        return
    turned = [one.place for one in solid if _turns(one)]
    if len(turned) > 0.5 * len(solid) and float(np.median([_filled(one) for one in solid])) > _FILLED:
        message = (
            f"{len(solid)} frames have no cell, but are packed like a crystal, and forces turn {len(turned)} of "
            "them, as only those of a periodic calculation can"
        )
        yield found(LATTICE_LOST, turned, message)


def _filled(structure: Structure) -> float:
    """Part of the box around the atoms that spheres of their covalent diameters fill."""
    from ase.data import covalent_radii

    radii = covalent_radii[structure.numbers]
    box = np.prod(np.ptp(structure.positions, axis=0) + 2.0 * radii.mean())
    return float(4.0 / 3.0 * np.pi * (radii**3).sum() / box)


def nearest_ratios(structure: Structure) -> FloatArray:
    """Distance of each atom to its nearest neighbour in sums of covalent radii; infinity where none is near.

    The radius of the search follows the density, so that cells in a wrong unit cost no more than others.
    """
    from ase.data import covalent_radii

    radii = covalent_radii[structure.numbers]
    r_max = REACH * 2.0 * float(radii.max())
    if structure.pbc.all():
        r_max = min(r_max, 1.5 * float(np.cbrt(structure.volume / len(radii))))
    (centre, neighbour), shift = neighbor_list(structure.positions, structure.cell, structure.pbc, r_max)
    vector = structure.positions[neighbour] - structure.positions[centre] + shift @ structure.cell
    nearest = np.full(len(radii), np.inf)
    np.minimum.at(nearest, centre, np.linalg.norm(vector, axis=1) / (radii[centre] + radii[neighbour]))
    return nearest


def positions_unit(sample: Sample) -> Finding | None:
    """Whether the nearest distances are those of Bohr or of fractions; dimers are pulled apart on purpose."""
    frames = [one for one in sample.structures if len(one.numbers) > 2 and not np.isin(one.numbers, _NOBLE).all()]
    if not frames:
        return None
    each = [nearest_ratios(one)[~np.isin(one.numbers, _NOBLE)] for one in frames[:: max(1, len(frames) // 60)]]
    every = np.concatenate(each)
    median = float(np.median(every))
    if _SOUND_DISTANCES[0] <= median <= _SOUND_DISTANCES[1] or np.isinf(median):
        return None
    if median > 1.0:
        guess = "positions look like Bohr"
    else:
        roomy = np.mean([one.pbc.all() and one.volume > _ROOM * len(one.numbers) for one in frames]) > 0.5
        guess = "positions look like fractions of the cell" if roomy else "positions look like nm"
    message = f"nearest neighbours are at {median:.2g} times the sum of their covalent radii: {guess}"
    return found(checks.POSITIONS_UNIT, [one.place for one in sample.structures], message)


def cell_transposed(sample: Sample) -> Iterator[Finding]:
    """Frames whose atoms overlap across boundaries unless the cell is transposed."""
    lopsided = [one for one in sample.structures if one.pbc.all() and _skew(one.cell) > _LOPSIDED]
    bad = [one.place for one in lopsided if _overlaps(one) and _fits(replace(one, cell=one.cell.T.copy()))]
    if len(bad) >= max(3, 0.1 * len(lopsided)):
        message = f"{len(bad)} of {len(lopsided)} frames have overlapping atoms, and none with the cell transposed"
        yield found(checks.CELL_TRANSPOSED, bad, message)


def _skew(cell: FloatArray) -> float:
    return float(np.abs(cell - cell.T).max() / np.abs(cell).max())


def _overlaps(structure: Structure) -> bool:
    return float(nearest_ratios(structure).min()) < _TOUCHING


def _fits(structure: Structure) -> bool:
    try:
        return float(nearest_ratios(structure).min()) > _APART
    except DataError:  # atoms that coincide
        return False


def forces_torque(sample: Sample) -> Iterator[Finding]:
    """Free molecules that their forces turn."""
    free = [one for one in sample.with_forces if not one.pbc.any()]
    bad = [one.place for one in free if _turns(one)]
    if len(bad) >= max(1, 0.002 * len(free)):
        message = f"{len(bad)} of {len(free)} free molecules have a torque, as forces of other atoms or axes give"
        yield found(checks.FORCES_TORQUE, bad, message)


def _turns(structure: Structure) -> bool:
    forces, levers = structure.forces, structure.positions - structure.positions.mean(axis=0)
    if forces is None or np.abs(forces).sum() == 0.0:
        return False
    sizes = np.linalg.norm(forces, axis=1)
    if np.linalg.norm(forces.sum(axis=0)) > _NET * sizes.sum():
        return False
    torque = np.linalg.norm(np.cross(levers, forces).sum(axis=0))
    return bool(torque > _TORQUE * (np.linalg.norm(levers, axis=1) * sizes).sum())


def forces_zeroed(sample: Sample) -> Iterator[Finding]:
    """Frames with atoms that feel exactly nothing while the others' forces do not add up to zero."""
    zeros, atoms, bad = 0, 0, []
    for one in sample.with_forces:
        forces = one.forces
        if forces is None or float(np.abs(forces).max()) < 0.01:
            continue
        none = int((forces == 0.0).all(axis=1).sum())
        unbalanced = np.linalg.norm(forces.sum(axis=0)) > _UNBALANCED * np.linalg.norm(forces, axis=1).sum()
        atoms += len(forces)
        if none and unbalanced:
            zeros += none
            bad.append(one.place)
    if bad and zeros > _ZEROED * atoms:
        message = f"{zeros} of {atoms} atoms have forces of exactly zero, and the others' do not add up to zero"
        yield found(checks.FORCES_ZEROED, bad, message)


def element_label(sample: Sample) -> Iterator[Finding]:
    """Frames of a rare composition with the energies of a common one."""
    groups: dict[tuple[int, ...], list[Structure]] = defaultdict(list)
    for one in sample.structures:
        if one.energy is not None:
            groups[tuple(sorted(one.numbers.tolist()))].append(one)
    total = sum(len(group) for group in groups.values())
    for numbers, group in groups.items():
        if len(group) > _RARE * total:
            continue
        for other, common in groups.items():
            if len(other) == len(numbers) and len(common) >= _COMMON and _inside(group, common):
                yield found(checks.ELEMENT_LABEL, [one.place for one in group], _difference(numbers, other))


def _inside(group: Sequence[Structure], common: Sequence[Structure]) -> bool:
    energies = np.array([one.energy for one in common], np.float64)
    low, high = energies.min(), energies.max()
    margin = 0.1 * (high - low)
    return all(one.energy is not None and low - margin <= one.energy <= high + margin for one in group)


def _difference(numbers: Sequence[int], other: Sequence[int]) -> str:
    from ase import Atoms

    given, usual = (Atoms(one).get_chemical_formula() for one in (numbers, other))
    return f"{given} has the energy of {usual}: an element looks wrong"
