"""Checks of which labels are there: absent, missing in part, not finite, or unused numbers of the file."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from equipot.commands import option, setting
from equipot.data._frames import DEFAULT_LABELS, LabelReport, suggest_keys
from equipot.data.checks._block import Block, IntArray
from equipot.data.checks._catalogue import Check, Finding, define
from equipot.data.checks._survey import Asked, LabelPass, Places
from equipot.fields import LABELS

_T = TypeVar("_T")

ABSENT = define(
    Check(
        code="label-absent",
        severity="error",
        title="A label is in none of the frames",
        law="Every set of frames has the labels that are to be learnt.",
        threshold="No frame of any set has the key of total_energy, or of another label whose key is not ASE's own.",
        why="Nothing: training needs the label.",
        remedy=lambda: (
            "Name the key under which the file keeps the label, e.g. "
            f"{setting('labels', {'total_energy': 'REF_energy'})}."
        ),
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
        remedy=lambda: f"Name the key in {option('labels')}, or leave the label out there if it is not to be used.",
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
        remedy=lambda: f"Remove the frames, or treat NaN as missing with {setting('mask_nan_labels', 'true')}.",
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

UNUSED = define(
    Check(
        code="keys-unused",
        severity="note",
        title="The file has further numbers that look like labels",
        law="It is known which labels are used and which are not.",
        threshold="A numeric key that is not read contains energy, force, stress, virial, dipole or polarizability, "
        "and names neither a tolerance nor a weight; or it is the name of a label that a plugin declares.",
        why="Nothing of these numbers.",
        remedy=lambda: f"Name the key in {option('labels')} if it is the one to learn.",
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
_SHOWN = 6


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


class _Read:
    """How a label of each frame of a block was read.

    Args:
        size: Number of frames.
    """

    def __init__(self, size: int) -> None:
        self.known, self.non_finite, self.ignored, self.no_cell = (np.zeros(size, np.bool_) for _ in range(4))

    def add(self, report: LabelReport, mine: IntArray) -> None:
        """Take what is said of some frames."""
        self.known[mine] = True
        self.non_finite[mine] = bool(report.non_finite)
        self.ignored[mine] = bool(report.ignored)
        self.no_cell[mine] = "periodic" in (report.ignored or "")


class Presence(LabelPass):
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

    def see(self, block: Block) -> None:
        """Count what is there; most frames share their reports and keys with others."""
        self._frames += len(block)
        self._place = self._place or block.places[0]
        read: dict[str, _Read] = defaultdict(lambda: _Read(len(block)))
        for reports, mine in _shared(block.reports):
            for label, report in reports.items():
                read[label].add(report, mine)
        for label, one in read.items():
            self._see_label(block, label, one)
        for keys, mine in _shared(block.keys):
            for key in keys:
                self._keys[key] += len(mine)
                self._key_places.setdefault(key, block.places[mine[0]])

    def _see_label(self, block: Block, label: str, read: _Read) -> None:
        nothing = np.ones(len(block), np.bool_)
        absent, missing = (found.get(label, nothing) for found in (block.absent, block.missing))
        if self.asked.is_used(label):
            self._not_finite[label].add_all(block.places, read.non_finite)
        self._present[label] += int((read.known & (~absent | read.non_finite | read.ignored)).sum())
        if label in LABELS:
            self._absent[label].add_all(block.places, read.known & missing & ~read.non_finite & (block.counts > 1))
        if label == "stress":
            self._no_cell.add_all(block.places, read.no_cell)

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
        named = [key for source in self.asked.contract.values() for key in source.keys]
        read = {key.split(":")[-1] for key in (*named, *self.asked.read_keys)}
        read |= {name for label in self.asked.contract if not self._present[label] for name in self._similar(label)}
        left = {key for key in self._keys if key.split(":", 1)[1] not in read}
        for check, pattern in _UNUSED:
            keys = sorted(key for key in left if _is_like(key.split(":", 1)[1], check, pattern))
            left -= set(keys)
            if keys:
                names = _listed(list(dict.fromkeys(key.split(":", 1)[1] for key in keys)))
                count, place = max(self._keys[key] for key in keys), self._key_places[keys[0]]
                message = f"{names}: in up to {count} of {self._frames} frames, and not read"
                yield Finding(check=check, count=count, example=place, message=message, places=(place,))


def _is_like(key: str, check: Check, pattern: re.Pattern[str]) -> bool:
    """Whether a key looks like what a check is about; a label of a plugin may have any name."""
    return check is UNUSED if key in LABELS else pattern.search(key) is not None


def _shared(values: Sequence[_T]) -> Iterator[tuple[_T, IntArray]]:
    """Each of the objects once, with the indices at which it is."""
    which = np.unique(np.fromiter(map(id, values), np.int64), return_inverse=True)[1]
    groups = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
    for mine in sorted(groups, key=lambda one: int(one[0])):
        yield values[int(mine[0])], mine
