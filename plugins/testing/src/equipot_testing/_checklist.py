"""Checks: methods ``test_…`` whose docstrings state the law, the tolerance, why it matters, and what goes wrong.

Nothing heavy is imported here, not even pytest, whose plugin reads the flags that are set here.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import unittest
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX = "test_"
"""Prefix of the methods that are checks."""

SECTIONS = ("Tolerance", "Why", "Goes wrong")
"""Sections of a check's docstring after the law."""

Method = TypeVar("Method", bound="Callable[..., None]")


class NotApplicable(unittest.SkipTest):
    """The law does not apply to this component; pytest shows the check as skipped.

    Args:
        reason: Why, as a sentence about the component.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"does not apply: {reason}")
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class Check:
    """One check of a conformance class, as its docstring and flags describe it."""

    name: str
    """Method name without ``test_``."""
    law: str
    """What must hold, in one sentence."""
    tolerance: str
    """How closely it must hold."""
    why: str
    """What breaks for users if it does not hold."""
    goes_wrong: str
    """Mistakes that commonly break it."""
    slow: bool
    """Whether it takes more than a few seconds."""
    starts_python: bool
    """Whether it runs another Python process, which is slow in a test suite but not in a report."""
    after: tuple[str, ...]
    """Checks that must pass for this one to be judged."""
    expected_failure: str
    """Why it is known to fail; empty: it must pass."""
    home: str
    """Kind of component in whose chapter of the reference it is described."""

    @property
    def anchor(self) -> str:
        """Fragment of the reference page that describes it."""
        return f"check-{self.home}-{self.name}".replace("_", "-")


def check_that(condition: bool, law: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Fail with the words of the law unless the condition holds.

    Raises:
        AssertionError: If it does not.
    """
    if not condition:
        raise AssertionError(law)


def slow(method: Method) -> Method:
    """Flag a check that takes more than a few seconds."""
    method.equipot_slow = True  # type: ignore[attr-defined]
    return method


def starts_python(method: Method) -> Method:
    """Flag a check that starts another Python: pytest marks it slow."""
    method.equipot_starts_python = True  # type: ignore[attr-defined]
    return method


def after(*names: str) -> Callable[[Method], Method]:
    """Flag a check that means nothing if one of the named checks fails; a report then leaves it out."""

    def flag(method: Method) -> Method:
        method.equipot_after = names  # type: ignore[attr-defined]
        return method

    return flag


def expecting_failure(method: Callable[..., None], reason: str) -> Callable[..., None]:
    """A flagged copy, so that other classes keep the method as it is."""

    @functools.wraps(method)
    def copy(self: Any) -> None:
        method(self)

    copy.equipot_expected_failure = reason  # type: ignore[attr-defined]
    return copy


DECLARATION = "declaration"
"""Home of the checks that are the same for components of all kinds."""


def check_of(kit: type, name: str, *, implied: tuple[str, ...] = ()) -> Check:
    """Read a check's docstring and flags; an override without its own inherits them.

    Args:
        kit: The conformance class.
        name: Name without ``test_``.
        implied: Checks that always come before it.
    """
    owners = [base for base in kit.__mro__ if PREFIX + name in vars(base)]
    methods = [vars(owner)[PREFIX + name] for owner in owners]
    text = next((inspect.cleandoc(method.__doc__) for method in methods if getattr(method, "__doc__", None)), "")
    law, *parts = re.split(rf"^({'|'.join(SECTIONS)}):", text, flags=re.MULTILINE)
    said = {section: " ".join(words.split()) for section, words in zip(parts[::2], parts[1::2], strict=True)}
    flagged = next((method.equipot_after for method in methods if hasattr(method, "equipot_after")), ())
    ours = [owner for owner in owners if owner.__module__.startswith("equipot_testing.")] or owners
    marks = {mark.name for mark in getattr(methods[0], "pytestmark", ())}
    return Check(
        name=name,
        law=" ".join(law.split()),
        tolerance=said.get("Tolerance", ""),
        why=said.get("Why", ""),
        goes_wrong=said.get("Goes wrong", ""),
        slow=getattr(methods[0], "equipot_slow", False) or "slow" in marks,
        starts_python=getattr(methods[0], "equipot_starts_python", False),
        after=tuple(dict.fromkeys((*implied, *flagged))),
        expected_failure=getattr(methods[0], "equipot_expected_failure", ""),
        home=getattr(ours[0], "kind", DECLARATION),
    )


def checks_of(kit: type, common: type, basics: tuple[str, ...]) -> list[Check]:
    """All checks of a conformance class, the most informative first.

    Args:
        kit: The class; checks that it sets to None are left out.
        common: Base class whose checks are about the declaration, not about what the component
            computes; they come last.
        basics: Checks that every later one comes after, those of the common class excepted.

    Returns:
        Checks in the order in which base classes and then the class define them.
    """
    bases = [base for base in reversed(kit.__mro__) if base is not common]
    names: dict[str, bool] = {}
    for base in [*bases, common]:
        for attribute in vars(base):
            if attribute.startswith(PREFIX):
                names.setdefault(attribute.removeprefix(PREFIX), base is common)
    found: list[Check] = []
    for name, is_common in names.items():
        method = getattr(kit, PREFIX + name, None)
        if method is None or len(inspect.signature(method).parameters) != 1:
            continue  # left out, or an author's own test with pytest fixtures
        implied = () if is_common else tuple(basic for basic in basics if basic in [check.name for check in found])
        found.append(check_of(kit, name, implied=implied))
    present = {check.name for check in found}
    return [dataclasses.replace(one, after=tuple(name for name in one.after if name in present)) for one in found]
