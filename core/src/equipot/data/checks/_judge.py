"""Judge sets of frames: all checks together, and what they found on one screen."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equipot.data._collection import FrameCollection
from equipot.data._frames import LabelContract
from equipot.data.checks import _geometry_checks, _set_checks
from equipot.data.checks._catalogue import CHECKS, SEVERITIES, Check, Finding, code_problems, define
from equipot.data.checks._energy_checks import energy_findings
from equipot.data.checks._label_energies import ENERGY_FAR_OFF, Energies
from equipot.data.checks._label_forces import Forces
from equipot.data.checks._label_presence import Presence
from equipot.data.checks._label_stress import Stresses
from equipot.data.checks._label_values import Constant
from equipot.data.checks._survey import Asked, OnePass, Places, survey
from equipot.errors import ConfigError
from equipot.units import Units

READER_NOTE = define(
    Check(
        code="reader-note",
        severity="note",
        title="A reader of files has something to say",
        law="Files are read without a doubt about their meaning.",
        threshold="A reader of a plugin left a note under a code that no check has.",
        why="It depends on the note.",
        remedy="See the documentation of the plugin.",
    )
)

ONE_PASS: tuple[type[OnePass], ...] = (
    Presence,
    Constant,
    Energies,
    Forces,
    Stresses,
    _geometry_checks.Distances,
    _geometry_checks.Periodicity,
    _set_checks.Copies,
    _set_checks.Elements,
)
"""All checks that fit nothing."""

SAME = {
    "energy-far-off": "energy-outlier",
    "energy-size": "energy-per-atom",
    "isolated-atoms-contradict": "energy-cohesive",
    "stress-large": "stress-unit",
    "forces-of-fixed-atoms": "forces-zeroed",
    "positions-too-close": "positions-unit",
    "positions-too-far": "positions-unit",
    "cell-overlap": "cell-transposed",
    "cell-lost": "cell-lost",
}
"""Checks of one pass that are left out where a check by a fit, which knows more, says the same of the same frames."""

WIDTH = 80
_LINES = 40
_FULL = 5


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the checks found."""

    findings: tuple[Finding, ...]
    """Errors first, then warnings, then notes."""

    not_applicable: Mapping[str, str] = field(default_factory=dict)
    """Checks that could not be made, by code, and why."""

    sampling: str = ""
    """Which frames were looked at."""

    accepted: Mapping[str, int] = field(default_factory=dict)
    """Findings that were silenced, by code, with their counts."""

    strict: bool = False
    """Whether warnings stop a training as errors do."""

    def of(self, *severities: str) -> tuple[Finding, ...]:
        """Findings of some severities.

        Args:
            *severities: ``error``, ``warning``, ``note``.
        """
        return tuple(one for one in self.findings if one.severity in severities)

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Findings that stop a training."""
        return self.of("error", "warning") if self.strict else self.of("error")

    def to_dict(self) -> dict[str, Any]:
        """``findings`` as plain containers, ``not_applicable``, ``accepted`` and ``sampling``."""
        return {
            "findings": [one.to_dict() for one in self.findings],
            "not_applicable": dict(self.not_applicable),
            "accepted": dict(self.accepted),
            "sampling": self.sampling,
        }

    def lines(self, *severities: str) -> list[str]:
        """Findings as text of at most 80 columns.

        Args:
            *severities: Which; all by default.
        """
        shown = self.of(*severities) if severities else self.findings
        lines: list[str] = []
        for index, one in enumerate(shown):
            full = one.severity != "note" and (index < _FULL or len(lines) < _LINES)
            lines += _described(one) if full else _short(one)
        return lines

    def __str__(self) -> str:
        """On one screen: what was found, with what to do, and which frames were looked at."""
        counts = [(severity, len(self.of(severity))) for severity in SEVERITIES]
        total = ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts)
        lines = [f"Checks of the data: {total}", *self.lines()]
        if self.accepted:
            lines += _wrapped("accepted: " + ", ".join(f"{code} ({n})" for code, n in self.accepted.items()))
        by_reason: dict[str, list[str]] = defaultdict(list)
        for code, reason in self.not_applicable.items():
            by_reason[reason].append(code)
        for reason, codes in by_reason.items():
            lines += _wrapped(f"not applicable ({reason}): {', '.join(codes)}")
        return "\n".join([*lines, *_wrapped(f"looked at: {self.sampling}")])


def _described(finding: Finding) -> list[str]:
    heading = f"{finding.severity} {finding.code}: {finding.message}"
    lines = _wrapped(heading, indent="  ")
    if finding.example:
        lines += [f"  at  {_fitting(finding.example, WIDTH - 6)}"]
    return [*lines, *_wrapped(finding.check.advice, first="  do  ", indent="      ")]


def _short(finding: Finding) -> list[str]:
    return _wrapped(f"{finding.severity} {finding.code}: {finding.message}", indent="  ")


def _wrapped(text: str, *, first: str = "", indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False)


def _fitting(place: str, width: int) -> str:
    """The end of a place, whose path may be long."""
    return place if len(place) <= width else f"…{place[1 - width :]}"


def judge(  # noqa: PLR0913 - each is one thing that is known of the data
    sets: Mapping[str, FrameCollection],
    contract: LabelContract,
    *,
    units: Units = "metal",
    used: Collection[str] | None = None,
    types: Collection[str] | None = None,
    shifts: Mapping[str, float] | None = None,
    read_keys: Collection[str] = (),
    accept: Sequence[str] = (),
    strict: bool = False,
) -> Verdict:
    """Judge sets of frames before anything is learnt from them.

    Args:
        sets: Frames by set, such as ``train``, ``val0``.
        contract: Labels, and where each is read from.
        units: Unit system of the data.
        used: Labels that training or metrics use; None: all of the contract.
        types: Elements for which the model has a type; None if there is no model.
        shifts: Energies of the elements that the model starts from, in the unit of the data.
        read_keys: Keys of the files besides those of labels that are read.
        accept: Codes of checks that say nothing.
        strict: Whether warnings stop a training.

    Raises:
        ConfigError: If ``accept`` names an unknown check.
    """
    if problems := code_problems(accept, "accept"):
        raise ConfigError(problems)
    asked = Asked(contract=contract, units=units, used=used, types=types, shifts=shifts, read_keys=read_keys)
    found, sampling = one_pass(sets, asked)
    found += _notes(sets)
    if shifts is not None and asked.is_used("total_energy"):
        found += energy_findings(sets, shifts, units=units)
    consistency, not_applicable = _consistency(sets, contract, units)
    found = [one for one in found if not _said(one, consistency)] + consistency
    kept = [one for one in found if one.code not in accept]
    order = {code: index for index, code in enumerate(CHECKS)}
    kept.sort(key=lambda one: (SEVERITIES.index(one.severity), order.get(one.code, len(order))))
    accepted = {code: sum(one.count for one in found if one.code == code) for code in accept}
    return Verdict(
        findings=tuple(kept),
        not_applicable=not_applicable,
        sampling=sampling,
        accepted={code: count for code, count in accepted.items() if count},
        strict=strict,
    )


def one_pass(sets: Mapping[str, FrameCollection], asked: Asked) -> tuple[list[Finding], str]:
    """What the checks that fit nothing find, and which frames they have seen.

    Args:
        sets: Frames by set.
        asked: What is known besides.
    """
    checks = [one(asked) for one in ONE_PASS]
    with np.errstate(all="ignore"):  # squares of absurd numbers are infinite, which is large enough
        drawn = survey(sets, checks, asked.units)
        return [finding for check in checks for finding in check.findings()], str(drawn)


def _consistency(
    sets: Mapping[str, FrameCollection], contract: LabelContract, units: Units
) -> tuple[list[Finding], dict[str, str]]:
    """Findings of the checks that compare labels with each other by a fit."""
    from equipot.data.checks._consistency import consistency_findings

    return consistency_findings(sets, contract, units=units)


def _said(finding: Finding, others: Sequence[Finding]) -> bool:
    """Whether another finding says the same; frames that are far off are named by each check that found them."""
    same = [one for one in others if one.code == SAME.get(finding.code)]
    if finding.code == ENERGY_FAR_OFF.code:
        return any(set(finding.places) <= set(one.places) for one in same)
    return bool(same)


def _notes(sets: Mapping[str, FrameCollection]) -> Iterator[Finding]:
    """What readers have left, by code and text."""
    places: dict[tuple[str, str], Places] = defaultdict(Places)
    for collection in sets.values():
        for place, notes in zip(collection.places, collection.notes, strict=False):
            for note in notes:
                places[note.code, note.text].add(place)
    for (code, text), one in places.items():
        check = CHECKS.get(code, READER_NOTE)
        yield one.finding(check, f"{text} ({one.count} frame{'s' * (one.count != 1)})")
