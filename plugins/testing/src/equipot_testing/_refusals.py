"""Errors that a component must raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from equipot.errors import ConfigError, EquipotError
from equipot_testing._checklist import check_that

if TYPE_CHECKING:
    from collections.abc import Callable


def check_refused(
    what: str,
    action: Callable[[], Any],
    *names: str,
    errors: tuple[type[EquipotError | TypeError], ...] = (ConfigError,),
) -> None:
    """Fail unless an action raises an error that names what is wrong.

    Args:
        what: What is refused, in words; starts the message.
        action: Does what must be refused.
        names: What the error's message must contain.
        errors: Kinds of errors that are accepted.

    Raises:
        AssertionError: If nothing is raised, or the message lacks a name.
    """
    try:
        action()
    except errors as error:
        missing = [name for name in names if name not in str(error)]
        check_that(not missing, f"{what} must be refused by an error that names {missing}, got: {error}")
    else:
        check_that(False, f"{what} must be refused")


def check_unknown_option_refused(
    make: Callable[..., Any],
    *,
    what: str = "an unknown option",
    errors: tuple[type[EquipotError | TypeError], ...] = (ConfigError, TypeError),
) -> None:
    """Fail unless an option that no component has is refused by an error that names it.

    Args:
        make: Takes options by name.
        what: Starts the message.
        errors: Kinds of errors that are accepted; a dataclass raises a TypeError.
    """
    option = "surely_not_an_option"
    check_refused(what, lambda: make(**{option: 1}), option, errors=errors)
