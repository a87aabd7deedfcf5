"""Errors that users see, and the one way their messages are worded.

``<where>: <what is wrong>, got <value>; <what is allowed or what to do>``

The command line prints these without a traceback and exits with code 2.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MISSING = object()


class EquipotError(Exception):
    """Base class of all errors with a message meant for the user."""


class DataError(EquipotError, ValueError):
    """Labelled data cannot be used as they are."""


class ArtifactError(EquipotError):
    """A checkpoint, package or compiled file cannot be used."""


class PluginError(EquipotError):
    """A plugin is missing, broken, ambiguous or too new."""


class PluginNotFoundError(PluginError, AttributeError):
    """No installed plugin declares the name; also an AttributeError, so that ``hasattr`` works."""


class ConfigError(EquipotError, ValueError):
    """One or more problems of a configuration, reported at once.

    Args:
        problems: One message a problem, each naming its place; a single string is one problem.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: list[str] = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


def problem(where: str, what: str, *, got: object = _MISSING, hint: str = "") -> str:
    """Word one problem in the project's style.

    Args:
        where: Dotted path in the config, file name or function.
        what: What is wrong.
        got: The offending value, shown with ``repr``.
        hint: What is allowed or what to do.

    Returns:
        ``where: what, got value; hint``.

    Example:
        >>> problem("model.r_max", "must be greater than 0", got=-1)
        'model.r_max: must be greater than 0, got -1'
    """
    text = f"{where}: {what}"
    if got is not _MISSING:
        text += f", got {got!r}"
    if hint:
        text += f"; {hint}"
    return text


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate closest to a misspelled name, ignoring case, or None.

    Example:
        >>> nearest("num_laers", ["num_layers", "l_max"])
        'num_layers'
    """
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the closest candidate, or an empty string."""
    match = nearest(name, candidates)
    return f"did you mean {match!r}?" if match else ""
