"""A conformance report: in plain words, as JSON, and as a badge."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import TYPE_CHECKING, Any

from equipot_testing import KIT_VERSION
from equipot_testing.run import BROKEN, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCS = "reference/conformance.html"
"""Page of the documentation with an anchor for every check."""

WIDTH = 100


@dataclasses.dataclass(frozen=True)
class Section:
    """The outcomes of one component."""

    kind: str
    name: str
    owner: str
    remark: str
    outcomes: tuple[Outcome, ...] | None
    """None means that it could not be checked."""

    @property
    def title(self) -> str:
        """``pair potential ZBL (equipot-zbl 0.1.0)``."""
        return f"{self.kind.removesuffix('s').replace('_', ' ')} {self.name} ({self.owner})"

    @property
    def broken(self) -> list[Outcome]:
        """Broken laws, the most telling first."""
        return [outcome for outcome in self.outcomes or () if outcome.broken]

    def count(self, *states: str) -> int:
        """Number of outcomes in some states."""
        return sum(outcome.state in states for outcome in self.outcomes or ())


def exit_code(sections: Sequence[Section]) -> int:
    """0 if all laws hold, 1 if some are broken, 2 if nothing could be checked."""
    if any(section.broken for section in sections):
        return 1
    return 0 if any(section.outcomes is not None for section in sections) else 2


# ------------------------------------------------------------------------------ words


def in_words(section: Section, *, verbose: bool = False) -> str:
    """The report on one component.

    Args:
        section: Its outcomes.
        verbose: Whether to list passed checks too, with the values they measured.
    """
    lines = [section.title]
    if section.remark:
        lines.append(f"  {section.remark}")
    if section.outcomes is None:
        return "\n".join([*lines, "  NOT CHECKED"])
    for outcome in section.broken:
        lines += _broken(outcome)
    if verbose:
        lines += _passed(section.outcomes)
    lines += [
        f"  expected failure {one.check.name}: {one.message}"
        for one in section.outcomes
        if one.state == "expected failure"
    ]
    return "\n".join([*lines, f"  {_summary(section)}"])


def _broken(outcome: Outcome) -> list[str]:
    check = outcome.check
    found = {
        "law": check.law,
        "found": outcome.message,
        "why": check.why,
        "often": check.goes_wrong,
        "read": f"{DOCS}#{check.anchor}",
    }
    return [f"  BROKEN {check.name}", *(_wrapped(name, words) for name, words in found.items() if words)]


def _wrapped(name: str, words: str) -> str:
    start = f"    {name + ':':<7}"
    return textwrap.fill(
        " ".join(words.split()), WIDTH, initial_indent=start, subsequent_indent=" " * len(start),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _passed(outcomes: Sequence[Outcome]) -> list[str]:
    width = max(len(one.check.name) for one in outcomes)
    return [
        f"  {'ok' if one.state == 'passed' else one.state:<14} {one.check.name:<{width}}  {one.message}".rstrip()
        for one in outcomes
        if not one.broken
    ]


HOLDS = ("passed", "expected failure")
"""States of laws that hold as far as the author claims."""


def _summary(section: Section) -> str:
    parts = [f"{section.count(*HOLDS)} of {section.count(*HOLDS, *BROKEN)} laws hold"]
    for state, words in (
        ("not judged", "not judged, since a law they build on is broken"),
        ("not applicable", "do not apply"),
        ("slow", "slow ones left out (--slow runs them)"),
    ):
        if count := section.count(state):
            parts.append(f"{count} {words}")
    return "; ".join(parts)


# ------------------------------------------------------------------------------- data


def as_data(subject: str, sections: Sequence[Section]) -> dict[str, Any]:
    """The report as plain containers, for programs.

    Args:
        subject: What the user asked for.
        sections: One for each component.
    """
    return {
        "kit_version": KIT_VERSION,
        "subject": subject,
        "passed": exit_code(sections) == 0,
        "badge": badge(sections),
        "components": [
            {
                "kind": section.kind,
                "name": section.name,
                "owner": section.owner,
                "remark": section.remark,
                "checked": section.outcomes is not None,
                "broken": [outcome.check.name for outcome in section.broken],
                "checks": [_check(outcome) for outcome in section.outcomes or ()],
            }
            for section in sections
        ],
    }


def _check(outcome: Outcome) -> dict[str, Any]:
    return {
        "check": outcome.check.name,
        "state": outcome.state,
        "law": outcome.check.law,
        "message": outcome.message,
        "seconds": round(outcome.seconds, 3),
        "read": f"{DOCS}#{outcome.check.anchor}",
    }


def badge(sections: Sequence[Section]) -> dict[str, Any]:
    """The result in the schema of shields.io's endpoint badge."""
    judged = sum(section.count(*HOLDS, *BROKEN) for section in sections)
    broken = sum(len(section.broken) for section in sections)
    complete = all(section.outcomes is not None for section in sections) and bool(judged)
    color = "red" if broken else "brightgreen" if complete else "yellow"
    message = f"{judged - broken} of {judged} laws hold" if judged else "not checked"
    return {"schemaVersion": 1, "label": f"equipot conformance {KIT_VERSION}", "message": message, "color": color}
