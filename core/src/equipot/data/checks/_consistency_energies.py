"""Checks of what a joint fit leaves of the energies: outliers, raised groups, two levels, another zero."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from equipot.data.checks import _probe_checks as checks
from equipot.data.checks._catalogue import Finding
from equipot.data.checks._consistency_frames import found
from equipot.data.checks._numbers import deviation
from equipot.data.checks._probe import FloatArray
from equipot.data.checks._sample import Sample, structure_of

_FAR, _UNUSUAL, _RAISED = 30.0, 8.0, 12.0
_FEWEST_RAISED, _RAISED_SHARE, _ONE_SIDED = 3, 0.01, 0.9
_ORDINARY = 2.0
_GROUP = 8
_TWO_GROUPS, _SMALLEST_GROUP, _GAP = 0.9, 0.1, 4.0
_WEIGHTS = (0.3, 3.0, 30.0)
_BINDING = (-15.0, 30.0)


def energy_findings(sample: Sample) -> Iterator[Finding]:
    """All findings of this module that need the joint fit."""
    places = np.array([one.place for one in sample.with_energy], object)
    for weight in _WEIGHTS:  # the less energies weigh, the less they bend the fit; the more, the smaller what is left
        other = sample.joint.fit(energy_weight=weight).residuals
        if (upper := two_groups(other)) is not None:
            yield _levels(sample, other, upper)
            return
    score = _scores(sample)
    order = np.argsort(-np.abs(score), kind="stable")
    raised = (np.abs(score) > _RAISED) & _ordinary(sample)
    if raised.sum() >= max(_FEWEST_RAISED, _RAISED_SHARE * len(score)) and _one_sided(score[raised]):
        first = order[raised[order]]
        which = "high" if np.median(score[raised]) > 0 else "low"
        message = f"{raised.sum()} of {len(score)} energies are too {which}, by up to {_off(sample, first[0]):.3g} eV"
        yield found(checks.ENERGY_RAISED, places[first].tolist(), message)
        return
    for check, chosen in (
        (checks.ENERGY_OUTLIER, order[np.abs(score[order]) > _FAR]),
        (checks.ENERGY_RESIDUAL, order[(np.abs(score[order]) > _UNUSUAL) & (np.abs(score[order]) <= _FAR)]),
    ):
        if len(chosen):
            off = f"off by up to {_off(sample, chosen[0]):.3g} eV ({abs(score[chosen[0]]):.0f} standard deviations)"
            yield found(check, places[chosen].tolist(), f"energies do not fit the other frames: {off}")


def _levels(sample: Sample, residuals: FloatArray, upper: npt.NDArray[np.bool_]) -> Finding:
    each = residuals / np.sqrt([len(one.numbers) for one in sample.with_energy])
    shift = float(np.median(each[upper]) - np.median(each[~upper]))
    smaller = upper if upper.sum() <= len(upper) / 2 else ~upper
    places = [one.place for one, mine in zip(sample.with_energy, smaller, strict=True) if mine]
    message = f"{upper.sum()} of {len(upper)} energies lie about {shift:.3g} eV per atom above the others"
    return found(checks.ENERGY_LEVELS, places, f"{message}: two levels of theory?")


def _scores(sample: Sample) -> FloatArray:
    """Residuals in robust standard deviations, measured in each composition of many frames from its own median."""
    residuals = sample.joint_fit.residuals
    centre, spread = np.full(len(residuals), np.median(residuals)), np.full(len(residuals), deviation(residuals))
    formulas = np.array([hash(tuple(np.bincount(one.numbers).tolist())) for one in sample.with_energy])
    for formula in np.unique(formulas):
        mine = formulas == formula
        if mine.sum() >= _GROUP:
            centre[mine] = np.median(residuals[mine])
            spread[mine] = np.maximum(spread[mine], deviation(residuals[mine]))
    scores: FloatArray = (residuals - centre) / spread
    scores[~_ordinary(sample)] /= 2.0
    return scores


def _ordinary(sample: Sample) -> npt.NDArray[np.bool_]:
    """Frames without strong forces, whose energies a fit should know."""
    sizes = np.array([float(np.sqrt((one.forces**2).mean())) for one in sample.with_energy if one.forces is not None])
    chosen: npt.NDArray[np.bool_] = sizes <= _ORDINARY * np.median(sizes)
    return chosen


def _off(sample: Sample, index: int) -> float:
    return abs(float(sample.joint_fit.residuals[index])) * float(np.sqrt(len(sample.with_energy[index].numbers)))


def _one_sided(scores: FloatArray) -> bool:
    share = float((scores > 0).mean())
    return max(share, 1.0 - share) >= _ONE_SIDED


def two_groups(values: FloatArray) -> npt.NDArray[np.bool_] | None:
    """Which values are in the upper of two groups, if two groups explain nearly all; shape [n], boolean."""
    order = np.sort(values)
    n = len(order)
    lower = np.arange(1, n)
    sums = np.cumsum(order)[:-1]
    between = lower * (n - lower) / n * (sums / lower - (order.sum() - sums) / (n - lower)) ** 2
    allowed = (lower >= _SMALLEST_GROUP * n) & (lower <= (1.0 - _SMALLEST_GROUP) * n)
    if not allowed.any():
        return None
    split = int(np.argmax(np.where(allowed, between, -1.0)))
    total = float(((order - order.mean()) ** 2).sum())
    gap = order[split + 1] - order[split]
    within = max(deviation(order[: split + 1]), deviation(order[split + 1 :]))
    if total == 0.0 or between[split] < _TWO_GROUPS * total or gap < _GAP * within:
        return None
    return values > order[split]


def cohesive(sample: Sample) -> Iterator[Finding]:
    """Energies that have another zero than the isolated atoms in the same set."""
    collection = sample.collection
    isolated: dict[int, float] = {}
    for index, marked in enumerate(collection.isolated):
        if marked:
            atom = structure_of(collection.frames[index], "", sample.units)
            if atom.energy is not None:
                isolated.setdefault(int(atom.numbers[0]), atom.energy)
    frames = [one for one in sample.structures if one.energy is not None]
    if not frames or not set(sample.elements.tolist()) <= set(isolated):
        return
    binding = [
        ((one.energy or 0.0) - sum(isolated[number] for number in one.numbers.tolist())) / len(one.numbers)
        for one in frames
    ]
    median = float(np.median(binding))
    if not _BINDING[0] < median < _BINDING[1]:
        message = f"energies lie {median:.3g} eV per atom from those of the isolated atoms: another zero or unit"
        yield found(checks.ENERGY_COHESIVE, [one.place for one in frames], message)
