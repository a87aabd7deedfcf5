"""Checks of the units and signs of energies and forces, by a joint fit and by what nature allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from equipot.data._label_units import unit_values
from equipot.data.checks import _probe_checks as checks
from equipot.data.checks._catalogue import Finding
from equipot.data.checks._consistency_frames import found
from equipot.data.checks._consistency_stress import stress_slope
from equipot.data.checks._probe import FloatArray, IntArray, Structure
from equipot.data.checks._probe_fit import JointFit, JointProbe
from equipot.data.checks._sample import Sample
from equipot.neighbors import neighbor_list

ENERGY_UNITS = ("eV", "Hartree", "Rydberg", "kcal/mol", "kJ/mol", "meV")
FORCE_UNITS = (
    *("eV/Å", "Hartree/Bohr", "Rydberg/Bohr", "Hartree/Å"),
    *("kcal/mol/Å", "kJ/mol/Å", "kJ/mol/nm", "eV/nm", "meV/Å"),
)
"""Factors below 4, such as that of eV/Bohr, are beyond what the fit tells apart."""

_FACTOR, _BETTER = 4.0, 0.3
_FEWEST_FREE = 15
_BOND, _BOND_PARTNERS, _FEWEST_BONDS = 1.4, (6, 7, 8), 30
_STIFF, _SOFT, _TYPICAL = 250.0, 6.0, 40.0
_ELECTRONS, _NEAR = 1.25, 0.03
_SIZES_DIFFER = 0.25
_EXTENSIVE = 0.3


def unit_findings(sample: Sample, *, fits: bool) -> list[Finding]:
    """Findings on units and signs.

    Args:
        sample: Frames of one set.
        fits: Whether a joint fit to energies and forces may be used.
    """
    scale = _best_scale(sample) if fits else None
    if scale is not None and scale.per_atom:
        return [_per_atom(sample, f"a fit to energies times the number of atoms explains more ({scale.gain})")]
    bonds = _Bonds(sample)
    findings = [*_signs(sample, scale, bonds), *_units(sample, scale, bonds)]
    if not findings or not any("energies look like" in one.message for one in findings):
        findings.extend(_electrons(sample))
    if not _size_law(sample):
        findings.append(_per_atom(sample, "they do not grow with the number of atoms"))
    return findings


# ------------------------------------------------------------------------ joint fit


@dataclass(frozen=True)
class _Scale:
    """By what energies must be divided to follow from the same model as the forces."""

    factor: float
    gain: str
    per_atom: bool = False


def _best_scale(sample: Sample) -> _Scale | None:
    """The factor if it is not 1 as far as the fit can tell."""
    joint = sample.joint
    if joint.freedom < _FEWEST_FREE:
        return None
    plain = joint.fit()
    if plain.energies > 1.0 - _BETTER and plain.forces > sample.force_fit.explained - 0.1:
        return None
    factor, best = _scan(joint)
    if (extensive := sample.joint_times_size) is not None:
        fit = extensive.fit()
        if fit.score > best.score and _better(fit, plain):
            return _Scale(1.0, _gain(fit, plain), per_atom=True)
    far = factor < 0.0 or not 1 / _FACTOR < factor < _FACTOR
    return _Scale(factor, _gain(best, plain)) if far and _better(best, plain) else None


def _scan(joint: JointProbe) -> tuple[float, JointFit]:
    """The factor of the best fit, within about 20 %: first in steps of 2.2, then finer around the best."""
    coarse = [sign * 10.0 ** (step / 3) for sign in (1.0, -1.0) for step in range(-12, 13)]
    near = max(coarse, key=lambda factor: joint.fit(factor, rounds=2).score)
    fits = {factor: joint.fit(factor) for factor in (near * 10.0 ** (step / 12) for step in range(-3, 4))}
    best = max(fits, key=lambda factor: fits[factor].score)
    return best, fits[best]


def _better(best: JointFit, plain: JointFit) -> bool:
    gain = best.energies - max(plain.energies, 0.0) + min(best.forces - plain.forces, 0.5)
    return best.energies > _BETTER and gain > _BETTER


def _gain(best: JointFit, plain: JointFit) -> str:
    now = f"{max(plain.energies, 0.0):.0%} of the energies and {max(plain.forces, 0.0):.0%} of the forces"
    return f"it explains {best.energies:.0%} and {best.forces:.0%} instead of {now}"


# ------------------------------------------------------------------------ bonds of hydrogen


class _Bonds:
    """Stiffness of the bonds of hydrogen with carbon, nitrogen and oxygen.

    Attributes:
        stiffness: eV/Å², negative if the forces push stretched bonds apart; None where there are too few bonds, or
            too still ones.
    """

    def __init__(self, sample: Sample) -> None:
        slopes = [
            _stiffness(np.array(rows))
            for rows in _stretches([one for one in sample.with_forces if (one.numbers == 1).any()][:60]).values()
            if len(rows) >= _FEWEST_BONDS
        ]
        known = [one for one in slopes if one is not None]
        self.stiffness: float | None = max(known, key=abs) if known else None

    @cached_property
    def force_unit(self) -> float | None:
        """Unit of the forces in eV/Å as the bonds tell it, within a factor of 3; None if it may be 1."""
        if self.stiffness is None or _SOFT < abs(self.stiffness) < _STIFF:
            return None
        return _TYPICAL / abs(self.stiffness)


def _stretches(structures: Sequence[Structure]) -> dict[int, list[tuple[float, float]]]:
    """Length of each bond and force on its hydrogen towards the partner, by the partner's element."""
    found: dict[int, list[tuple[float, float]]] = {number: [] for number in _BOND_PARTNERS}
    for one in structures:
        if one.forces is None:
            continue
        (centre, neighbour), shift = neighbor_list(one.positions, one.cell, one.pbc, _BOND)
        vector = one.positions[neighbour] - one.positions[centre] + shift @ one.cell
        length = np.linalg.norm(vector, axis=1)
        for atom in np.flatnonzero(one.numbers == 1):
            mine = np.flatnonzero(centre == atom)
            if len(mine):
                edge = mine[np.argmin(length[mine])]
                if (partner := int(one.numbers[neighbour[edge]])) in found:
                    found[partner].append((length[edge], float(one.forces[atom] @ vector[edge]) / length[edge]))
    return found


def _stiffness(rows: FloatArray) -> float | None:
    stretch, pull = (rows - rows.mean(axis=0)).T
    spread = float(np.sqrt(stretch @ stretch * (pull @ pull)))
    if np.sqrt((stretch**2).mean()) < 0.005 or spread == 0.0 or abs(stretch @ pull) < 0.8 * spread:
        return None
    return float(stretch @ pull / (stretch @ stretch))


# ------------------------------------------------------------------------ verdicts


def _signs(sample: Sample, scale: _Scale | None, bonds: _Bonds) -> Iterator[Finding]:
    places = [one.place for one in sample.with_forces]
    pushes = bonds.stiffness is not None and bonds.stiffness < 0
    opposed = scale is not None and scale.factor < 0
    if pushes:
        both = (
            ""
            if opposed
            else " (those of the energies as well)"
            if scale is None and sample.why_no_fit() is None
            else ""
        )
        message = f"forces on hydrogen push stretched bonds apart: they look like gradients, of the wrong sign{both}"
        yield found(checks.FORCES_SIGN, places, message)
    elif scale is not None and opposed:
        which = "the energies" if bonds.stiffness is not None else "the forces or the energies"
        yield found(
            checks.FORCES_SIGN, places, f"{which} have the wrong sign (with the other a fit agrees: {scale.gain})"
        )


def _units(sample: Sample, scale: _Scale | None, bonds: _Bonds) -> Iterator[Finding]:
    ratio = 1.0 if scale is None else abs(scale.factor)
    far = not 1 / _FACTOR < ratio < _FACTOR
    if not far and bonds.force_unit is None:
        return
    names = _candidates(sample, ratio if scale is not None else None, bonds)
    guess = " or ".join(names[:2]) if names else "the units do not agree"
    reason = (
        f"with a factor of {ratio:.3g} a fit agrees: {scale.gain}"
        if far and scale is not None
        else (f"bonds of hydrogen have a stiffness of {abs(bonds.stiffness or 0.0):.3g} eV/Å²")
    )
    yield found(checks.FORCES_UNIT, [one.place for one in sample.with_forces], f"{guess} ({reason})")


def _candidates(sample: Sample, ratio: float | None, bonds: _Bonds) -> list[str]:
    """What the units may be, most likely first.

    ``ratio`` is that of the unit of force to the unit of energy in the fit. The size of the forces, and the stiffness
    of bonds where known, tell which of them is not eV.
    """
    forces = np.sqrt(np.median([(one**2).mean() for one in sample.forces]))
    stress = None if ratio is None else stress_slope(sample)
    rated: list[tuple[float, str]] = []
    for energy_name, energy in _energy_units(sample).items():
        for force_name, force in unit_values(FORCE_UNITS, "forces").items():
            miss = 0.0 if ratio is None else abs(np.log(force / energy / ratio))
            if miss > np.log(2.5) or (energy == force == 1.0):
                continue
            if bonds.stiffness is not None:
                size = abs(np.log(abs(bonds.stiffness) * force / _TYPICAL))
            else:
                size = 0.5 * abs(np.log(forces * force))
            if stress is not None:
                miss += min(abs(np.log(force / stress)), 1.0)
            both = 0.7 * (energy != 1.0 and force != 1.0 and not force_name.startswith(energy_name))
            rated.append(
                (miss + size + both + _impossible(sample, energy), _said(energy_name, energy, force_name, force))
            )
    rated.sort()
    best = rated[0][0] if rated else 0.0
    return list(dict.fromkeys(text for rate, text in rated if rate < best + 0.5))


def _energy_units(sample: Sample) -> dict[str, float]:
    sizes = {len(one.numbers) for one in sample.with_energy}
    return {**unit_values(ENERGY_UNITS, "energy"), **({"eV per atom": float(sizes.pop())} if len(sizes) == 1 else {})}


def _impossible(sample: Sample, unit: float) -> float:
    """A penalty for energies below those of all electrons."""
    share = _share_of_electrons(sample)
    return 5.0 if share is not None and share * unit > _ELECTRONS else 0.0


def _said(energy_name: str, energy: float, force_name: str, force: float) -> str:
    parts = [f"energies look like {energy_name}"] if energy != 1.0 else []
    parts += [f"forces look like {force_name}"] if force != 1.0 else []
    return " and ".join(parts)


def _per_atom(sample: Sample, reason: str) -> Finding:
    places = [one.place for one in sample.structures if one.energy is not None]
    return found(checks.ENERGY_PER_ATOM, places, f"energies look like energies per atom: {reason}")


def _size_law(sample: Sample) -> bool:
    """Whether energies grow with the number of atoms, as far as the sizes tell."""
    rows = [(len(one.numbers), one.energy) for one in sample.structures if one.energy]
    if len(rows) < 20:
        return True
    size, energy = np.log(np.abs(np.array(rows, np.float64))).T
    same_sign = len({np.sign(one) for _, one in rows}) == 1
    if not same_sign or size.std() < _SIZES_DIFFER:
        return True
    slope = float(np.cov(size, energy)[0, 1] / size.var(ddof=1))
    return slope > _EXTENSIVE or float(energy.std()) > float(size.std())


def _electrons(sample: Sample) -> Iterator[Finding]:
    """Energies that no electrons can have, or that are those of all electrons in another unit."""
    share = _share_of_electrons(sample)
    if share is None:
        return
    places = [one.place for one in sample.structures if one.energy is not None]
    if share > _ELECTRONS:
        near = [
            name for name in ("kcal/mol", "kJ/mol") if 0.5 < share * unit_values(ENERGY_UNITS, "energy")[name] < 1.1
        ]
        guess = f"energies look like {near[0]}" if near else "another unit, or an offset was added"
        yield found(
            checks.ENERGY_UNIT, places, f"energies are {share:.3g} times those of all electrons of the atoms: {guess}"
        )
    for name in ("Hartree", "Rydberg"):
        if abs(share * unit_values(ENERGY_UNITS, "energy")[name] - 1.0) < _NEAR:
            yield found(checks.ENERGY_UNIT, places, f"energies look like {name}: they are then those of all electrons")


def _share_of_electrons(sample: Sample) -> float | None:
    """Median of the energies over those of all electrons of the atoms; None if no frame has an energy."""
    shares = [
        one.energy / float(all_electrons(one.numbers).sum()) for one in sample.structures if one.energy is not None
    ]
    return float(np.median(shares)) if shares else None


def all_electrons(numbers: IntArray) -> FloatArray:
    """Energies of neutral atoms in eV, within 10 %: the expansion of Thomas, Fermi, Scott, Schwinger.

    Source: Schwinger, Phys. Rev. A 24 (1981) 2353; doi:10.1103/PhysRevA.24.2353.
    """
    z = np.maximum(numbers.astype(np.float64), 1.0)
    energies: FloatArray = unit_values(ENERGY_UNITS, "energy")["Hartree"] * (
        -0.768745 * z ** (7 / 3) + 0.5 * z**2 - 0.269900 * z ** (5 / 3)
    )
    return energies
