"""Checks of each label by itself: missing, not finite, zero, constant, unused, rounded, outliers."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from equipot.data._frames import DEFAULT_LABELS, suggest_keys
from equipot.data.checks._catalogue import Check, Finding, define
from equipot.data.checks._numbers import apart, composition_residuals
from equipot.data.checks._survey import Asked, FloatArray, OnePass, Places, View
from equipot.fields import LABELS

ABSENT = define(
    Check(
        code="label-absent",
        severity="error",
        title="A label is in none of the frames",
        law="Every set of frames has the labels that are to be learnt.",
        threshold="No frame of any set has the key of total_energy, or of another label whose key is not ASE's own.",
        why="Nothing: training needs the label.",
        remedy="Name the key under which the file keeps the label, e.g. labels: {total_energy: REF_energy}.",
    )
)

OVERLOOKED = define(
    Check(
        code="label-overlooked",
        severity="warning",
        title="A label may be in the file under another key",
        law="A label that the file has is read.",
        threshold="No frame has the key of a label, but some have a key that contains its name (force, stress).",
        why="The model is trained without forces or stress that the file has.",
        remedy="Name the key in labels, or leave the label out of labels if it is not to be used.",
    )
)

NAN = define(
    Check(
        code="label-nan",
        severity="error",
        title="A label is NaN or infinite",
        law="Labels are finite numbers.",
        threshold="At least one number of a label in use is NaN or infinite.",
        why="The loss becomes NaN and with it all weights.",
        remedy="Remove the frames, or mask_nan_labels: true to treat NaN as missing.",
    )
)

PARTLY = define(
    Check(
        code="label-partly-missing",
        severity="note",
        title="Some frames lack a label that others have",
        law="Frames without a label do not enter its part of the loss.",
        threshold="At least one frame of more than one atom lacks a label, or some of its atoms do.",
        why="Nothing wrong, but the label weighs less than the number of frames suggests.",
        remedy="Nothing, if it is so on purpose.",
    )
)

ALL_ZERO = define(
    Check(
        code="label-zero",
        severity="error",
        title="A label is zero in all frames",
        law="Energies, forces and stresses of different structures differ from zero.",
        threshold="All numbers of a label are exactly zero in all frames of a set that have more than one atom.",
        why="The model learns zero.",
        remedy="Read the label from another key, leave it out of labels, or give it no weight.",
    )
)

SOME_ZERO = define(
    Check(
        code="label-zero-frames",
        severity="warning",
        title="Energy or stress is exactly zero in some frames",
        law="An energy or stress that was computed is not zero to the last digit.",
        threshold="Exactly zero in at least one frame of more than one atom, and not in all of the set.",
        why="Zero that stands for 'not computed' is learnt as a value.",
        remedy="Remove the label from these frames: a missing label is masked.",
    )
)

FORCES_ZERO = define(
    Check(
        code="forces-zero-frames",
        severity="note",
        title="All forces are exactly zero in some frames",
        law="Forces vanish by symmetry in perfect crystals only.",
        threshold="All forces of a frame of more than one atom are exactly zero, and not in all frames of the set.",
        why="Zero that stands for 'not computed' is learnt as a value.",
        remedy="If the frames are not perfect crystals, remove their forces.",
    )
)

CONSTANT = define(
    Check(
        code="label-constant",
        severity="warning",
        title="A label has the same value in all frames",
        law="Different structures have different energies.",
        threshold="The numbers of energy, forces or stress are the same to the last digit in all of at least five "
        "frames of more than one atom, and not zero.",
        why="The model learns a constant.",
        remedy="Look whether the right key is read, and whether a script has written one result into all frames.",
    )
)

UNUSED = define(
    Check(
        code="keys-unused",
        severity="note",
        title="The file has further numbers that look like labels",
        law="It is known which labels are used and which are not.",
        threshold="A numeric key that is not read contains energy, force, stress, virial, dipole or polarizability, "
        "and names neither a tolerance nor a weight.",
        why="Nothing of these numbers.",
        remedy="Name the key in labels if it is the one to learn.",
    )
)

CHARGE_UNUSED = define(
    Check(
        code="charge-spin-unused",
        severity="note",
        title="Charge or spin is in the file, and not read",
        law="One structure has one energy, unless charge or spin tell its states apart.",
        threshold="A numeric key contains charge, spin, multiplicity or magmom and is not read.",
        why="If charge or spin vary between frames, the model learns the mean of several states.",
        remedy="Keep one state in the data, or read total_charge and spin_multiplicity for a model that takes them.",
    )
)

FLOAT32 = define(
    Check(
        code="energy-precision",
        severity="warning",
        title="Energies have too few digits",
        law="The last digit of a total energy is smaller than the error of a good model.",
        threshold="All energies (at least two) are numbers of single precision, whose steps at this size are larger "
        "than 0.2 meV per atom.",
        why="Errors of energy cannot fall below the step.",
        remedy="Write energies in double precision, or subtract the energies of the atoms before rounding.",
    )
)

ENERGY_FAR_OFF = define(
    Check(
        code="energy-far-off",
        severity="warning",
        title="The energy of a few frames is far from all others",
        law="Energies of frames of like composition lie together.",
        threshold="After the part that is linear in the composition is removed, at most 2 % of the frames (at least "
        "20 in a set) are more than 20 robust standard deviations off, and 3 times as far as the next frame.",
        why="A single wrong energy can outweigh all others in a loss of squares.",
        remedy="Look at the frame: an unconverged calculation, another level of theory, or another reference.",
    )
)

FORCE_FAR_OFF = define(
    Check(
        code="force-far-off",
        severity="warning",
        title="A force is far larger than all others",
        law="Largest forces of frames of one set are of one order of magnitude.",
        threshold="In at most 2 % of the frames (at least 20 in a set) the largest force is more than 20 times the "
        "median and 5 times the one of the next frame, and above 10 eV/Å.",
        why="A single wrong force can outweigh all others in a loss of squares.",
        remedy="Look at the atom that is named: atoms that are too close, or a calculation that did not converge.",
    )
)

STRESS_LARGE = define(
    Check(
        code="stress-large",
        severity="warning",
        title="The stress is larger than any solid bears",
        law="Stresses of calculations lie below some hundred GPa (1 eV/Å³ = 160 GPa).",
        threshold="A component is above 3 eV/Å³ (480 GPa).",
        why="Stress in kbar or GPa, or a virial in eV, is learnt as if it were eV/Å³.",
        remedy="Convert it: 1 GPa = 0.006242 eV/Å³, 1 kbar = 0.0006242 eV/Å³; a virial is read with "
        "stress: {key: virial, convention: virial}.",
    )
)

CONSTRAINED = define(
    Check(
        code="forces-of-fixed-atoms",
        severity="warning",
        title="Forces of fixed atoms were set to zero",
        law="All forces of a frame sum to zero.",
        threshold="Some but not all atoms of a frame have forces that are exactly zero, and the sum of all is "
        "more than 0.05 eV/Å and 0.05 of the root of the sum of their squares.",
        why="The model learns that fixed atoms feel no force.",
        remedy="Write the forces without constraints (ASE: get_forces(apply_constraint=False)), or set those of fixed "
        "atoms to NaN and use mask_nan_labels: true.",
    )
)

STRESS_WITHOUT_CELL = define(
    Check(
        code="stress-without-cell",
        severity="warning",
        title="Frames have a stress but no cell",
        law="Stress belongs to periodic frames with a volume.",
        threshold="At least one frame has a stress other than zero and is not periodic, or has no volume.",
        why="The frame is taken for a cluster whose surface atoms lack neighbours.",
        remedy="Write the Lattice and pbc into the file.",
    )
)

_UNUSED = (
    (CHARGE_UNUSED, re.compile(r"(^|_)charges?$|spin|multiplicity|magmom", re.IGNORECASE)),
    (UNUSED, re.compile(r"(energ|force|stress|virial|dipole|polari[sz]ab)(?!.*(tol|weight))", re.IGNORECASE)),
)
_PRECISION = 2e-4
_LARGEST_STRESS = 3.0
_MEANINGFUL_FORCE = 10.0
_FEWEST = 20
_SHOWN = 6


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


class Presence(OnePass):
    """Labels that are absent, partly missing, not finite, zero or constant, and keys that are not read."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._frames = 0
        self._present: Counter[str] = Counter()
        self._absent: dict[str, Places] = defaultdict(Places)
        self._not_finite: dict[str, Places] = defaultdict(Places)
        self._no_cell = Places()
        self._keys: Counter[str] = Counter()
        self._key_places: dict[str, str] = {}
        self._place = ""

    def see(self, frame: View) -> None:
        """Count what is there."""
        self._frames += 1
        self._place = self._place or frame.place
        for label, report in frame.reports.items():
            if report.non_finite and self.asked.is_used(label):
                self._not_finite[label].add(frame.place)
            value = frame.labels.get(label)
            self._present[label] += bool(value is not None or report.non_finite or report.ignored)
            missing = value is None or bool(np.isnan(value).any())
            if missing and not report.non_finite and len(frame.numbers) > 1 and label in LABELS:
                self._absent[label].add(frame.place)
            if label == "stress" and report.ignored and "periodic" in report.ignored:
                self._no_cell.add(frame.place)
        for key in frame.keys:
            self._keys[key] += 1
            self._key_places.setdefault(key, frame.place)

    def findings(self) -> Iterator[Finding]:
        """What is missing, and what is not read."""
        if not self._frames:
            return
        for label in self.asked.contract:
            yield from self._label_findings(label)
        if self._no_cell.count and self.asked.is_used("stress"):
            message = f"{self._no_cell.count} frames have a stress but no periodic cell, so that it cannot be used"
            yield self._no_cell.finding(STRESS_WITHOUT_CELL, message)
        yield from self._unused_findings()

    def _label_findings(self, label: str) -> Iterator[Finding]:
        absent, not_finite = self._absent[label], self._not_finite[label]
        if not_finite.count:
            message = f"{label} is NaN or infinite in {not_finite.count} of {self._frames} frames"
            yield not_finite.finding(NAN, message)
        if label not in LABELS:
            return
        key = self.asked.contract[label].key
        if not self._present[label]:
            similar = self._similar(label)
            found = _listed(sorted({name.split(":", 1)[1] for name in self._keys})) or "none"
            if label == "total_energy" or key != DEFAULT_LABELS.get(label):
                advice = f"; perhaps it is {similar[0]!r}" if similar else ""
                message = f"no frame has the key {key!r} of {label}{advice} (keys found: {found})"
                yield Finding(check=ABSENT, count=self._frames, example=self._place, message=message)
            elif similar and self.asked.is_used(label):
                message = f"no frame has the key {key!r} of {label}, but there is {_listed(similar)}"
                yield Finding(check=OVERLOOKED, count=self._frames, example=self._place, message=message)
        elif absent.count and self.asked.is_used(label):
            yield absent.finding(PARTLY, f"{absent.count} of {self._frames} frames lack {label} or a part of it")

    def _similar(self, label: str) -> list[str]:
        """Keys that look like a label of the contract and are not its own."""
        key = self.asked.contract[label].key.split(":")[-1]
        return [name for name in suggest_keys(label, self._keys) if name != key]

    def _unused_findings(self) -> Iterator[Finding]:
        read = {source.key.split(":")[-1] for source in self.asked.contract.values()} | set(self.asked.read_keys)
        read |= {name for label in self.asked.contract if not self._present[label] for name in self._similar(label)}
        left = {key for key in self._keys if key.split(":", 1)[1] not in read}
        for check, pattern in _UNUSED:
            keys = sorted(key for key in left if pattern.search(key.split(":", 1)[1]))
            left -= set(keys)
            if keys:
                names = _listed(list(dict.fromkeys(key.split(":", 1)[1] for key in keys)))
                count, place = max(self._keys[key] for key in keys), self._key_places[keys[0]]
                message = f"{names}: in up to {count} of {self._frames} frames, and not read"
                yield Finding(check=check, count=count, example=place, message=message, places=(place,))


class _SetValues:
    """The values of one label in the frames of one set that have more than one atom."""

    def __init__(self) -> None:
        self.frames = 0
        self.zero = Places()
        self.constant = True
        self.value: FloatArray | None = None
        self.place = ""

    def add(self, value: FloatArray, place: str) -> None:
        self.frames += 1
        self.place = self.place or place
        if not value.any():
            self.zero.add(place)
        if self.value is None:
            self.value = value
        self.constant = self.constant and np.array_equal(value, self.value)


class Constant(OnePass):
    """Labels that are zero, or always the same."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._seen: dict[tuple[str, str], _SetValues] = defaultdict(_SetValues)

    def see(self, frame: View) -> None:
        """Compare the labels with those of the frames before."""
        if len(frame.numbers) == 1:
            return
        for label, value in frame.labels.items():
            if self.asked.is_used(label) and not np.isnan(value).any():
                self._seen[frame.set_name, label].add(value, frame.place)

    def findings(self) -> Iterator[Finding]:
        """Labels and sets with such values."""
        for (name, label), seen in self._seen.items():
            if seen.zero.count == seen.frames:
                yield seen.zero.finding(ALL_ZERO, f"{label} is zero in all {seen.frames} frames of {name}")
            elif seen.zero.count:
                check = FORCES_ZERO if label == "forces" else SOME_ZERO
                message = f"{label} is exactly zero in {seen.zero.count} of {seen.frames} frames of {name}"
                yield seen.zero.finding(check, message)
            elif seen.constant and seen.frames >= 5:
                message = f"{label} has the same value in all {seen.frames} frames of {name}"
                places = (seen.place,)
                yield Finding(check=CONSTANT, count=seen.frames, example=places[0], message=message, places=places)


class Energies(OnePass):
    """Outliers in energy, and energies with too few digits."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._rows: dict[str, list[tuple[float, dict[int, int], str]]] = defaultdict(list)

    def see(self, frame: View) -> None:
        """Keep energy and composition."""
        if (energy := frame.energy) is not None and np.isfinite(energy) and len(frame.numbers) > 1:
            self._rows[frame.set_name].append((energy, Counter(frame.numbers.tolist()), frame.place))

    def findings(self) -> Iterator[Finding]:
        """Of each set."""
        if not self.asked.is_used("total_energy"):
            return
        for name, rows in self._rows.items():
            energies = np.array([energy for energy, _, _ in rows])
            counts = [count for _, count, _ in rows]
            places = [place for _, _, place in rows]
            yield from self._precision(name, energies, counts, places)
            yield from self._outliers(name, energies, counts, places)

    def _precision(
        self, name: str, energies: FloatArray, counts: list[dict[int, int]], places: list[str]
    ) -> Iterator[Finding]:
        stored = energies / self._scale
        steps = np.spacing(np.abs(stored).astype(np.float32)) * self._scale
        step = float(np.median(steps / [sum(count.values()) for count in counts]))
        if len(energies) < 2 or step <= _PRECISION or not all(map(_is_single, stored.tolist())):
            return
        shown = self.asked.quantity(float(np.median(steps)))
        message = (
            f"the {len(energies)} energies of {name} are in single precision, with steps of {shown} "
            f"({1000 * step:.2g} meV/atom)"
        )
        yield Finding(check=FLOAT32, count=len(energies), example=places[0], message=message, places=tuple(places))

    @property
    def _scale(self) -> float:
        from equipot.units import UNIT_SYSTEMS

        return UNIT_SYSTEMS[self.asked.units].energy_in_ev

    def _outliers(
        self, name: str, energies: FloatArray, counts: list[dict[int, int]], places: list[str]
    ) -> Iterator[Finding]:
        if len(energies) < _FEWEST:
            return
        residuals = composition_residuals(energies, counts)
        distance = np.abs(residuals - np.median(residuals))
        if not (found := apart(distance, factor=3.0, least=20 * 1.4826 * float(np.median(distance)))):
            return
        shown = self.asked.quantity(float(residuals[found[0]] - np.median(residuals)), per="/atom")
        message = f"{len(found)} of {len(energies)} energies of {name} are far from all others, the first by {shown}"
        where = tuple(places[index] for index in found)
        yield Finding(check=ENERGY_FAR_OFF, count=len(found), example=where[0], message=message, places=where)


def _is_single(value: float) -> bool:
    """Whether a number has no more digits than single precision, as binary or as decimal text."""
    single = np.float32(value)
    return float(single) == value or float(str(single)) == value


class Forces(OnePass):
    """Outliers in forces, and forces of fixed atoms."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._largest: dict[str, list[tuple[float, int, str]]] = defaultdict(list)
        self._fixed = Places()
        self._frames = 0

    def see(self, frame: View) -> None:
        """Keep the largest force and its atom."""
        forces = frame.labels.get("forces")
        if forces is None or len(forces) < 2 or np.isnan(forces).any():
            return
        self._frames += 1
        sizes = np.sqrt((forces**2).sum(axis=1))
        atom = int(sizes.argmax())
        self._largest[frame.set_name].append((float(sizes[atom]), atom, frame.place))
        zero = int((sizes == 0.0).sum())
        if 0 < zero < len(sizes):
            net, independent = np.linalg.norm(forces.sum(axis=0)), float(np.sqrt((sizes**2).sum()))
            if net > 0.05 * max(1.0, independent):
                self._fixed.add(frame.place)

    def findings(self) -> Iterator[Finding]:
        """Of each set."""
        if not self.asked.is_used("forces"):
            return
        if self._fixed.count:
            message = (
                f"in {self._fixed.count} of {self._frames} frames some atoms have forces of exactly zero, and the "
                "others do not sum to zero"
            )
            yield self._fixed.finding(CONSTRAINED, message)
        for name, rows in self._largest.items():
            sizes = np.array([size for size, _, _ in rows])
            found = apart(sizes, factor=5.0, least=max(_MEANINGFUL_FORCE, 20 * float(np.median(sizes))))
            if len(rows) < _FEWEST or not found:
                continue
            where = [f"{rows[index][2]}, atom {rows[index][1]}" for index in found]
            size = self.asked.quantity(rows[found[0]][0], "forces")
            usual = self.asked.quantity(float(np.median(sizes)), "forces")
            message = (
                f"the largest force of {len(found)} of {len(rows)} frames of {name} is up to {size}, "
                f"but {usual} in the median"
            )
            yield Finding(check=FORCE_FAR_OFF, count=len(found), example=where[0], message=message, places=tuple(where))


class Stresses(OnePass):
    """Stresses that are too large to be in eV/Å³."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._large = Places()
        self._largest = 0.0
        self._frames = 0

    def see(self, frame: View) -> None:
        """Compare the largest component."""
        if (stress := frame.labels.get("stress")) is None:
            return
        self._frames += 1
        largest = float(np.abs(stress).max())
        if largest > _LARGEST_STRESS:
            self._large.add(frame.place)
            self._largest = max(largest, self._largest)

    def findings(self) -> Iterator[Finding]:
        """If any is too large."""
        if self._large.count and self.asked.is_used("stress"):
            shown = self.asked.quantity(self._largest, "stress")
            message = f"the stress of {self._large.count} of {self._frames} frames is up to {shown}"
            yield self._large.finding(STRESS_LARGE, message)
