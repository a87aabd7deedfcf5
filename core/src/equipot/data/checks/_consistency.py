"""Whether energies, forces and stresses belong to their structures and to each other: the physics of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from equipot.data._collection import FrameCollection
from equipot.data._frames import LabelContract
from equipot.data.checks import _probe_checks as checks
from equipot.data.checks._catalogue import Check, Finding
from equipot.data.checks._consistency_energies import cohesive, energy_findings
from equipot.data.checks._consistency_forces import FOLLOWS_NOT, force_findings
from equipot.data.checks._consistency_frames import cells_open, frame_findings
from equipot.data.checks._consistency_stress import stress_findings, stress_size
from equipot.data.checks._consistency_units import unit_findings
from equipot.data.checks._geometry_checks import LATTICE_LOST
from equipot.data.checks._sample import MOST_ATOMS, Sample
from equipot.units import Units

_FITS: tuple[Check, ...] = (
    checks.FORCES_UNRELATED,
    checks.FORCES_MISPLACED,
    checks.ENERGY_OUTLIER,
    checks.ENERGY_RESIDUAL,
    checks.ENERGY_RAISED,
    checks.ENERGY_LEVELS,
    checks.STRESS_SIGN,
    checks.STRESS_ORDER,
)
"""Checks that say nothing without a fit."""


def consistency_findings(
    sets: Mapping[str, FrameCollection], contract: LabelContract, *, units: Units = "metal"
) -> tuple[list[Finding], dict[str, str]]:
    """Judge each set by physics: units, signs, order of atoms and components, outliers.

    At most 300 frames and 9 000 atoms of each set are looked at, evenly spread; those of sets after the first share
    as many.

    Args:
        sets: Frames by the name of their set, e.g. ``train``.
        contract: The labels that were read.
        units: Unit system of the data.

    Returns:
        The findings, and for each check that could not be applied to any set the reason, by its code.
    """
    findings: list[Finding] = []
    reasons: dict[str, dict[str, str]] = {}
    for number, (name, collection) in enumerate(sets.items()):
        atoms = MOST_ATOMS if number == 0 else MOST_ATOMS // (len(sets) - 1)
        sample = Sample.of(name, collection, units, atoms)
        if sample.structures:
            made, reasons[name] = _judged(sample, contract)
            findings.extend(made)
    lacking = {code for one in reasons.values() for code in one}
    first = next(iter(reasons.values()), {})
    nowhere = {code for code in lacking if all(code in one for one in reasons.values())}
    return findings, {check.code: first[check.code] for check in _FITS if check.code in nowhere}


def _judged(sample: Sample, contract: LabelContract) -> tuple[list[Finding], dict[str, str]]:
    findings = [*frame_findings(sample), *cohesive(sample)]
    structures = (checks.POSITIONS_UNIT, checks.CELL_TRANSPOSED, LATTICE_LOST)
    reason = sample.why_no_fit() if "forces" in contract else "forces are not among the labels"
    if any(one.check in structures for one in findings) or cells_open(sample):
        return findings, {check.code: "the structures are in doubt" for check in _FITS}
    if any(one.check is checks.FORCES_ZEROED for one in findings):
        reason = "some forces were set to zero"
    if reason is not None:
        findings.extend((*unit_findings(sample, fits=False), *stress_size(sample)))
        return findings, {check.code: reason for check in _FITS}
    findings.extend(force_findings(sample))
    if sample.force_fit.explained < FOLLOWS_NOT:
        unrelated = "the forces do not follow from the positions"
        return findings, {check.code: unrelated for check in _FITS[1:]}
    findings.extend(_of_fits(sample))
    return findings, {}


def _of_fits(sample: Sample) -> Iterator[Finding]:
    both = len(sample.with_energy) >= len(sample.with_forces) / 2 and sample.joint.freedom >= 15
    units = unit_findings(sample, fits=both)
    yield from units
    doubted = {one.check for one in units}
    if both and not doubted & {checks.FORCES_UNIT, checks.FORCES_SIGN, checks.ENERGY_PER_ATOM}:
        yield from energy_findings(sample)
    if not doubted & {checks.FORCES_UNIT, checks.FORCES_SIGN}:
        stresses = [*stress_findings(sample)]
        yield from stresses or stress_size(sample)
