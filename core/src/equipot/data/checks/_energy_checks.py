"""Checks of energies of atoms: the level of a model's shifts, and isolated atoms that contradict them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from equipot.data._energy_references import EnergyReferences, collect_references
from equipot.data._isolated import is_alone
from equipot.data._label_units import unit_values
from equipot.data.checks._catalogue import Check, Finding, define
from equipot.units import UNIT_SYSTEMS, Units

if TYPE_CHECKING:
    from equipot.data._collection import FrameCollection
    from equipot.graph import Graph

LOWEST, HIGHEST = -12.0, 5.0
"""Energy per atom in eV that shifts may leave: bonds bind by at most 9 (tungsten; 11 with LDA), compressed structures
and shifts from a fit or the mean lie above."""

FAR = 0.1
"""Difference in eV from which a shift contradicts an isolated atom: spin states of atoms differ by more."""

MISTAKEN = ("Hartree", "Rydberg", "kcal/mol")
"""Units that energies are mistaken in."""

OFFSET = define(
    Check(
        code="energy-offset",
        severity="warning",
        title="Energy shifts of another level than the data",
        law="Energies less the shifts of their atoms are binding energies: a few eV per atom.",
        threshold=f"the median over frames of (E - sum of shifts)/N is below {LOWEST:g} or above {HIGHEST:g} eV",
        why="The network learns a huge constant, in float32, instead of how energies differ.",
        remedy="write per_type_energy_shifts: ${training_data_stats:per_type_energy_shifts_auto}, or give energies of "
        "atoms from the same code, functional and pseudopotentials, in the unit of the data",
    )
)

CONTRADICTED = define(
    Check(
        code="shifts-contradict-isolated-atoms",
        severity="warning",
        title="Energy shifts that contradict isolated atoms in the data",
        law="A model says of an atom without neighbours what its shift is.",
        threshold=f"a shift differs by more than {FAR:g} eV from the energy of an isolated atom in the training set",
        why="Bonds break towards a wrong energy, and the isolated atoms in the data pull the network away from it.",
        remedy="have an isolated atom of each element and write per_type_energy_shifts: "
        "${training_data_stats:isolated_atom_energies}, or remove them if they are of another method",
    )
)


def energy_findings(
    sets: Mapping[str, FrameCollection], shifts: Mapping[str, float], *, units: Units = "metal"
) -> list[Finding]:
    """Findings on shifts against the train set, or the first set.

    Args:
        sets: Frames by name of the set.
        shifts: Shift of each element, in the unit of the data.
        units: Unit system of the data.
    """
    from ase.data import chemical_symbols

    from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper

    if not sets:
        return []
    name = "train" if "train" in sets else next(iter(sets))
    numbers = {number for index in range(len(sets[name].places)) for number, _ in sets[name].composition(index)}
    elements = [chemical_symbols[number] for number in sorted(numbers - {0})]
    if 0 in numbers or not elements or not set(elements) <= set(shifts):  # which other checks report
        return []
    references = collect_references(_frames(sets[name]), ChemicalSpeciesToAtomTypeMapper(elements))
    return shift_findings(references, shifts, units, name)


def _frames(collection: FrameCollection) -> Iterable[tuple[Graph, bool]]:
    """Frames, and whether each is an isolated atom: marked as one, or one atom whose images are far away."""
    for marked, frame in zip(collection.isolated, collection.frames, strict=True):
        yield frame, marked or is_alone(frame)


def shift_findings(
    references: EnergyReferences, shifts: Mapping[str, float], units: Units = "metal", name: str = "train"
) -> list[Finding]:
    """Findings on the shifts of a model: their level, and isolated atoms that they contradict.

    Args:
        references: Of a set.
        shifts: Shift of each type, in the unit of the data.
        units: Unit system of the data.
        name: The set.
    """
    system = UNIT_SYSTEMS[units]
    found = []
    isolated = references.isolated
    far = {one: shifts[one] - energy for one, energy in isolated.items()}
    far = {one: value for one, value in far.items() if abs(value) * system.energy_in_ev > FAR}
    if far:
        shown = ", ".join(f"{one} {shifts[one]:.6g} instead of {isolated[one]:.6g}" for one in list(far)[:4])
        more = f" and {len(far) - 4} more" if len(far) > 4 else ""
        message = f"shifts differ from the isolated atoms in {name}: {shown}{more} {system.energy}"
        found.append(Finding(check=CONTRADICTED, count=len(far), example=name, message=message))
    left = references.residuals([shifts[one] for one in references.type_names]) * system.energy_in_ev
    if left.size and not LOWEST <= (median := float(np.median(left))) <= HIGHEST:
        level = float(np.median(references.residuals([0.0] * len(references.type_names)))) * system.energy_in_ev
        message = f"less the shifts, energies are {median:.4g} eV per atom (before {level:.4g})"
        uniform = len(set(shifts.values())) == 1 < len(shifts)
        message = f"{message}: {_reason(level, level - median, uniform=uniform)}"
        found.append(Finding(check=OFFSET, count=int(left.size), example=name, message=message))
    return found


def _reason(level: float, shift: float, *, uniform: bool) -> str:
    """The likely reason why energies and shifts, both per atom in eV, do not belong together."""
    if shift == 0.0:
        return "the shifts are zero"
    for unit, factor in unit_values(MISTAKEN, "energy").items():
        for what, left in (("shifts", level - shift * factor), ("energies", level * factor - shift)):
            if LOWEST <= left <= HIGHEST and abs(level) > -LOWEST < abs(shift):
                return f"the {what} look like {unit}"
    if uniform:
        return "one shift for all elements does not fit different compositions"
    if abs(level) <= -LOWEST:
        return "the energies look like binding energies, relative to atoms, the shifts like total energies of atoms"
    if abs(shift) <= -LOWEST:
        return "the energies look like total energies, the shifts like binding energies"
    return "they look like those of another code, functional or pseudopotential"


def described(findings: Sequence[Finding]) -> list[str]:
    """One line for each finding, for the output of a run."""
    return [f"{one.severity} [{one.code}] {one.message}; {one.check.advice}" for one in findings]
