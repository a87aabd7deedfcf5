"""Errors for users, and the form of their messages.

``<where>: <what is wrong>, got <value>; <what is allowed or what to do>``

The command line prints them without a traceback and exits with code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator

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


class UnavailableError(EquipotError):
    """A modifier cannot work on this machine, for example without a compiler; a model can be used without it."""


class ConfigError(EquipotError, ValueError):
    """One or more problems of a configuration.

    Args:
        problems: A message for each problem, starting with its place; a string is a single problem.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: list[str] = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


def problem(where: str, what: str, *, got: object = _MISSING, hint: str = "") -> str:
    """Make a message about a problem.

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
        text += f", got {_shown(got)}"
    if hint:
        text += f"; {hint}"
    return text


_LONGEST = 500


def _shown(got: object) -> str:
    """``repr`` of a value, shortened if nobody would read it."""
    try:
        text = repr(got)
    except (RecursionError, ValueError):  # nested too deeply; a number with thousands of digits
        return f"a {type(got).__name__} that cannot be shown"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def printable(text: str) -> str:
    r"""A text that holds what a stranger wrote, as a terminal shows it and does not obey it; line ends stay.

    Example:
        >>> print(printable("\x1b[31mred"))
        \x1b[31mred
    """
    return "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)


def relocate(text: str, name: str, place: str) -> str:
    """Replace the name of a component in its message by its place in the config.

    Args:
        text: As worded by ``problem``.
        name: Name of the component in the message.
        place: Dotted path that replaces the name.

    Example:
        >>> relocate("ZBL.r_max: must be positive", "ZBL", "training_module.model")
        'training_module.model.r_max: must be positive'
    """
    if text.startswith((f"{place}.", f"{place}:")):
        return text
    if text.startswith((f"{name}.", f"{name}:")):
        return place + text[len(name) :]
    return f"{place}: {text}"


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


def unknown(where: str, name: str, known: Iterable[str], what: str = "option", *, hint: str = "") -> str:
    """Make a message about an unknown name, which suggests the nearest known one or lists all.

    Args:
        where: Dotted path in the config, or what has such names; it may end with the name itself.
        name: The unknown name.
        known: All known names.
        what: The kind of name, in the singular.
        hint: What to do, if there is better advice than the nearest name.

    Example:
        >>> unknown("model.num_laers", "num_laers", ["num_layers", "l_max"])
        "model.num_laers: unknown option; did you mean 'num_layers'?"
        >>> unknown("run.0", "fit", ["train", "val", "test"], "stage")
        "run.0: unknown stage, got 'fit'; stages: train, val, test"
    """
    names = list(known)
    advice = hint or did_you_mean(name, names) or (f"{what}s: {', '.join(names)}" if names else f"there are no {what}s")
    shown = _MISSING if where == name or where.endswith(f".{name}") else name
    return problem(where, f"unknown {what}", got=shown, hint=advice)


def problems_of(*checks: Callable[[], object]) -> Iterator[str]:
    """Collect the problems of all calls that raise a ConfigError.

    Args:
        checks: Called one after the other; their return values are not used.

    Example:
        >>> def check() -> None:
        ...     raise ConfigError("r_max: required option is missing")
        >>> list(problems_of(check, list))
        ['r_max: required option is missing']
    """
    for check in checks:
        try:
            check()
        except ConfigError as error:
            yield from error.problems
