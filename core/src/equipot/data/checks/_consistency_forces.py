"""Checks of forces by a fit: forces that do not follow from positions, and frames whose forces are of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from equipot.data.checks import _probe_checks as checks
from equipot.data.checks._catalogue import Finding
from equipot.data.checks._consistency_frames import found
from equipot.data.checks._probe import FloatArray, Structure
from equipot.data.checks._probe_fit import fit_forces
from equipot.data.checks._sample import Sample, structure_of

FOLLOWS, FOLLOWS_NOT = 0.7, 0.3
_COSINE = 0.3
_SMALL = 0.3


def force_findings(sample: Sample) -> Iterator[Finding]:
    """All findings of this module on one sample."""
    explained = sample.force_fit.explained
    cause = _cause(sample) if explained < FOLLOWS else ""
    if explained < FOLLOWS_NOT or cause:
        message = f"a fit explains {max(explained, 0.0):.0%} of the forces (sound sets: over 80 %)" + (
            cause and f": {cause}"
        )
        yield found(checks.FORCES_UNRELATED, [one.place for one in sample.with_forces], message)
    elif explained > FOLLOWS:
        yield from _misplaced(sample)


def _misplaced(sample: Sample) -> Iterator[Finding]:
    coefficients = sample.force_fit.coefficients
    sizes = np.array([np.sqrt((one**2).mean()) for one in sample.forces])
    bad, worst = [], 1.0
    for index in np.flatnonzero(sizes >= _SMALL * np.median(sizes)):
        cosine = _cosine(sample.features[index].forces @ coefficients, sample.forces[index].ravel())
        if cosine < _COSINE:
            bad.append(sample.with_forces[index].place)
            worst = min(worst, cosine)
    if bad:
        yield found(
            checks.FORCES_MISPLACED, bad, f"the forces point elsewhere than a fit to the set says (cosine {worst:.2f})"
        )


def _cosine(a: FloatArray, b: FloatArray) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-300))


def _cause(sample: Sample) -> str:
    """What makes the forces follow from the positions, if one of the usual mistakes does."""
    tried = {text: fit_forces(sample.features, forces).explained for text, forces in _repaired(sample)}
    if any(one.pbc.any() for one in sample.with_forces):
        turned = [sample.basis.features(replace(one, cell=one.cell.T.copy())) for one in sample.with_forces]
        tried["the cell vectors are columns"] = fit_forces(turned, sample.forces).explained
    best = max(tried, key=lambda text: tried[text])
    better = tried[best] > max(FOLLOWS, sample.force_fit.explained + 0.2)
    return f"{best} (then {tried[best]:.0%})" if better else ""


def _repaired(sample: Sample) -> Iterator[tuple[str, list[FloatArray]]]:
    for text, key in _ORDERS.items():
        yield f"they are in the order of {text}", [_reordered(one, key(one)) for one in sample.with_forces]
    for step, text in ((1, "previous"), (-1, "next")):
        if forces := _shifted(sample, step):
            yield f"they are those of the {text} frame", forces


def _by_symbol(structure: Structure) -> FloatArray:
    from ase.data import chemical_symbols

    rank = {symbol: index for index, symbol in enumerate(sorted(chemical_symbols))}
    return np.array([rank[chemical_symbols[number]] for number in structure.numbers], np.float64)


_ORDERS: dict[str, Callable[[Structure], npt.NDArray[Any]]] = {
    "the atomic numbers": lambda one: one.numbers,
    "falling atomic numbers": lambda one: -one.numbers,
    "the element symbols": _by_symbol,
    "the atoms backwards": lambda one: -np.arange(len(one.numbers)),
}


def _reordered(structure: Structure, key: npt.NDArray[Any]) -> FloatArray:
    """Forces that were sorted by a key, put back in the order of the atoms."""
    forces = np.empty((len(structure.numbers), 3))
    forces[np.argsort(key, kind="stable")] = structure.forces
    return forces


def _shifted(sample: Sample, step: int) -> list[FloatArray] | None:
    """For each frame the forces that stand in the frame ``step`` later; None if atoms differ."""
    frames, places = sample.collection.frames, sample.collection.places
    indices = [index for index, one in zip(sample.indices, sample.structures, strict=True) if one.forces is not None]
    shifted = []
    for index, one in zip(indices, sample.with_forces, strict=True):
        other = (index + step) % len(frames)
        forces = structure_of(frames[other], places[other], sample.units).forces
        if forces is None or len(forces) != len(one.numbers):
            return None
        shifted.append(forces)
    return shifted
