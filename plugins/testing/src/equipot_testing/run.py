"""Run a conformance class without pytest, one check after the other."""

from __future__ import annotations

import dataclasses
import time
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from equipot_testing._checklist import PREFIX, Check, NotApplicable

if TYPE_CHECKING:
    from collections.abc import Callable

    from equipot_testing._base import Conformance

__all__ = ["BROKEN", "Outcome", "State", "run_checks"]

State = Literal["passed", "failed", "expected failure", "unexpected pass", "not applicable", "not judged", "slow"]

BROKEN = ("failed", "unexpected pass")
"""States of checks that make a component fail."""


LONGEST = 300
"""How many characters of an error's first line are shown."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of one check."""

    check: Check
    state: State
    message: str = ""
    """By how much the law is broken, why the check was skipped, or the values that a passed check measured."""
    seconds: float = 0.0

    @property
    def broken(self) -> bool:
        """Whether it makes the component fail."""
        return self.state in BROKEN


def run_checks(
    kit: type[Conformance], *, slow: bool = False, progress: Callable[[Outcome], None] | None = None
) -> list[Outcome]:
    """Run all checks of a conformance class in order, the most telling first.

    A check is not judged if a check that it builds on fails, because its failure would say nothing new.

    Args:
        kit: The class.
        slow: Whether to run the slow checks too.
        progress: Called with each outcome as soon as it is known.

    Returns:
        One outcome for each check.
    """
    outcomes: list[Outcome] = []
    unusable: dict[str, str] = {}
    for check in kit.checks():
        outcome = _outcome(kit, check, unusable, slow=slow)
        if outcome.state in ("failed", "not judged"):
            unusable[check.name] = outcome.message if outcome.state == "not judged" else f"{check.name} fails"
        outcomes.append(outcome)
        if progress is not None:
            progress(outcome)
    return outcomes


def _outcome(kit: type[Conformance], check: Check, unusable: dict[str, str], *, slow: bool) -> Outcome:
    reasons = [unusable[name] for name in check.after if name in unusable]
    if reasons:
        return Outcome(check, "not judged", reasons[0])
    if check.slow and not slow:
        return Outcome(check, "slow", "takes long; --slow runs it")
    start = time.perf_counter()
    state, message = _run(kit, check)
    if check.expected_failure and state != "not applicable":
        state = "expected failure" if state == "failed" else "unexpected pass"
        message = check.expected_failure if state == "expected failure" else "passes, but is listed as expected failure"
    return Outcome(check, state, message, time.perf_counter() - start)


def _run(kit: type[Conformance], check: Check) -> tuple[State, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            subject = kit()
            getattr(subject, PREFIX + check.name)()
    except NotApplicable as skipped:
        return "not applicable", skipped.reason
    except AssertionError as error:
        return "failed", str(error) or "a condition does not hold"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any exception of a plugin is a finding
        return "failed", f"{type(error).__name__}: {_first_line(error)} ({_place(error)})"
    return "passed", getattr(subject, "note", "")


def _first_line(error: BaseException) -> str:
    line = str(error).strip().partition("\n")[0]
    return line if len(line) <= LONGEST else line[:LONGEST] + "…"


def _place(error: BaseException) -> str:
    """Where an error was raised: the innermost line outside installed libraries, if there is one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename] or list(frames)
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}"
