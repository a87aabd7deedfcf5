"""Checks of stress against the model that the forces give: sign, unit, virials, order of components."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from equipot.data._label_units import unit_values
from equipot.data.checks import _probe_checks as checks
from equipot.data.checks._catalogue import Finding
from equipot.data.checks._consistency_frames import found
from equipot.data.checks._probe import FloatArray
from equipot.data.checks._sample import Sample

_SURE = 0.7
_FACTOR = 4.0
_HIGH, _HIGH_MEDIAN = 3.0, 1.0
_BETTER_ORDER = 0.25
_FEWEST = 6
_SHEAR = ("yz", "xz", "xy")
_UNITS = ("kbar", "GPa", "bar", "MPa", "Hartree/Bohr³", "kcal/mol/Å³")
_FORCES = ("kcal/mol/Å", "kJ/mol/Å", "kJ/mol/nm", "eV/nm", "Hartree/Bohr")
"""Units of forces that explain the same slope, where the stress is right."""


@dataclass(frozen=True)
class _Pairs:
    """Modelled and given stress of the same frames."""

    modelled: FloatArray
    given: FloatArray
    volumes: FloatArray
    places: list[str]


def stress_findings(sample: Sample) -> Iterator[Finding]:
    """All findings of this module on one sample."""
    pairs = _pairs(sample)
    if pairs is None:
        return
    order = _order(pairs)
    if order is not None:
        yield found(
            checks.STRESS_ORDER, pairs.places, f"the components look like xx yy zz {' '.join(_SHEAR[k] for k in order)}"
        )
        pairs = _Pairs(
            pairs.modelled,
            pairs.given[:, [0, 1, 2, *(3 + order.index(k) for k in range(3))]],
            pairs.volumes,
            pairs.places,
        )
    slope, correlation = _slope(pairs, pairs.given)
    if abs(correlation) > _SURE and (_virial(pairs, correlation) or not 1 / _FACTOR < abs(slope) < _FACTOR):
        yield found(checks.STRESS_UNIT, pairs.places, _unit_message(pairs, slope, correlation))
    elif correlation < -_SURE:
        yield found(
            checks.STRESS_SIGN,
            pairs.places,
            f"the stress looks positive under compression (correlation {correlation:.2f})",
        )


def stress_slope(sample: Sample) -> float | None:
    """How many times larger the given stress is than what the forces ask for, without its sign; None if unsure."""
    pairs = _pairs(sample)
    if pairs is None:
        return None
    slope, correlation = _slope(pairs, pairs.given)
    return abs(slope) if abs(correlation) > _SURE and slope != 0.0 else None


def stress_size(sample: Sample) -> Iterator[Finding]:
    """Stress that no solid bears, which needs no fit."""
    given = [(float(np.abs(one.stress).max()), one.place) for one in sample.structures if one.stress is not None]
    if given and max(given)[0] > _HIGH and float(np.median([size for size, _ in given])) > _HIGH_MEDIAN:
        high = [place for size, place in given if size > _HIGH]
        message = f"stress of up to {max(given)[0]:.3g} eV/Å³: it looks like GPa, kbar or a virial"
        yield found(checks.STRESS_UNIT, high, message)


def _pairs(sample: Sample) -> _Pairs | None:
    coefficients = sample.force_fit.coefficients
    rows = [
        (one.stress @ coefficients, structure.stress, structure.volume, structure.place)
        for one, structure in zip(sample.features, sample.with_forces, strict=True)
        if one.stress is not None and structure.stress is not None
    ]
    if len(rows) < _FEWEST or not any(np.any(row[1]) for row in rows):
        return None
    modelled, given, volumes, places = zip(*rows, strict=True)
    return _Pairs(np.array(modelled), np.array(given), np.array(volumes), list(places))


def _order(pairs: _Pairs) -> tuple[int, int, int] | None:
    """The order of the shear components in the file if it is not ours: k-th component there is ``_SHEAR[order[k]]``."""
    shear, given = pairs.modelled[:, 3:], pairs.given[:, 3:]
    table = np.array([[abs(_robust(shear[:, [i]], given[:, [j]])[1]) for j in range(3)] for i in range(3)])
    scores = {order: float(np.mean([table[order[j], j] for j in range(3)])) for order in permutations(range(3))}
    best = max(scores, key=lambda order: scores[order])
    if scores[best] > _SURE and scores[best] > scores[0, 1, 2] + _BETTER_ORDER:
        return (best[0], best[1], best[2])
    return None


def _slope(pairs: _Pairs, given: FloatArray) -> tuple[float, float]:
    """Slope and correlation, of the shear or of the deviation from hydrostatic stress, whichever is surer."""
    shear = _robust(pairs.modelled[:, 3:], given[:, 3:])
    deviatoric = _robust(_deviatoric(pairs.modelled), _deviatoric(given))
    return max(shear, deviatoric, key=lambda pair: abs(pair[1]))


def _deviatoric(stress: FloatArray) -> FloatArray:
    return stress[:, :3] - stress[:, :3].mean(axis=1, keepdims=True)


def _robust(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Slope through zero and correlation of y on x, with less weight for outliers."""
    x, y = x.ravel(), y.ravel()
    weights, slope = np.ones(len(x)), 0.0
    for _ in range(15):
        slope = float((weights * x * y).sum() / max(float((weights * x * x).sum()), 1e-300))
        rest = np.abs(y - slope * x)
        weights = 1.0 / np.maximum(1.0, rest / (2.0 * 1.4826 * float(np.median(rest)) + 1e-12))
    norm = float(np.sqrt((weights * x * x).sum() * (weights * y * y).sum()))
    return slope, float((weights * x * y).sum()) / norm if norm > 0.0 else 0.0


def _virial(pairs: _Pairs, correlation: float) -> bool:
    """Whether the given numbers look like a virial: of its size, and not better explained without the volume."""
    slope, other = _slope(pairs, pairs.given / pairs.volumes[:, None])
    return (
        1 / _FACTOR < abs(slope) < _FACTOR
        and float(np.median(pairs.volumes)) > _FACTOR
        and abs(other) > abs(correlation) - 0.05
    )


def _unit_message(pairs: _Pairs, slope: float, correlation: float) -> str:
    sign = " and positive under compression" if correlation < 0 else ""
    units = [(name, 1 / value) for name, value in unit_values(_UNITS, "stress").items()]
    names = [f"{name}{sign} (factor {unit:.4g})" for name, unit in units if 0.5 < abs(slope) / unit < 2.0]
    if _virial(pairs, correlation):
        names.insert(
            0, "a virial in eV" if correlation < 0 else "stress times volume in eV (a virial of the wrong sign)"
        )
    forces = [
        f"forces look like {name}"
        for name, unit in unit_values(_FORCES, "forces").items()
        if 0.5 < abs(slope) / unit < 2.0
    ]
    guess = " or ".join(names) or f"another unit{sign}"
    if forces:
        guess += f", or the {' or '.join(forces)}"
    return f"the stress is {abs(slope):.3g} times what the forces ask for: it looks like {guess}"
