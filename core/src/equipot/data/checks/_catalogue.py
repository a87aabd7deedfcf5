"""What a check says: its description, which the documentation lists, and the findings it makes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from equipot.errors import unknown

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""From what stops a training to what is merely said."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """The description of one check; the page "What the checks look for" is made from these."""

    code: str
    """Short name in kebab case, e.g. ``forces-unit``: users write it in ``data.accept``."""

    severity: Severity
    """``error``: cannot be right, training stops. ``warning``: implausible. ``note``: good to know."""

    title: str
    """What is wrong, in a few words."""

    law: str
    """What sound data obey."""

    threshold: str
    """When the check speaks, with numbers and units."""

    why: str
    """What a model learns from such data."""

    remedy: str | Callable[[], str]
    """What to do; a function where options are named, so that it names those of the running command."""

    @property
    def advice(self) -> str:
        """What to do, in the words of the running command."""
        return self.remedy if isinstance(self.remedy, str) else self.remedy()


CHECKS: dict[str, Check] = {}
"""All checks by code, in the order in which they are defined."""


def define(check: Check) -> Check:
    """Add a check to ``CHECKS``."""
    if check.code in CHECKS:
        raise ValueError(f"two checks have the code {check.code!r}")
    CHECKS[check.code] = check
    return check


def code_problems(codes: Collection[str], where: str) -> list[str]:
    """Problems of codes of checks that a user has written.

    Args:
        codes: To look up.
        where: Place in the config.
    """
    return [
        unknown(f"{where}.{index}", code, CHECKS, "check") for index, code in enumerate(codes) if code not in CHECKS
    ]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found in the data."""

    check: Check
    """The check that speaks."""

    count: int
    """Number of frames (or of labels, elements, sets, where the message says so)."""

    example: str
    """One place: ``FILE, frame INDEX``, or the name of a set."""

    message: str
    """What was found, with numbers, units and, where known, the factor: one sentence."""

    places: tuple[str, ...] = field(default=(), repr=False)
    """All places, for programs and tests; the example is the first."""

    @property
    def code(self) -> str:
        """Code of the check."""
        return self.check.code

    @property
    def severity(self) -> Severity:
        """Severity of the check."""
        return self.check.severity

    def to_dict(self) -> dict[str, Any]:
        """``code``, ``severity``, ``count``, ``example``, ``message`` and ``remedy``, as plain containers."""
        plain = {key: value for key, value in asdict(self).items() if key in ("count", "example", "message")}
        return {"code": self.code, "severity": self.severity, **plain, "remedy": self.check.advice}
