"""Extensions of click for commands: options with several values, completion, and names of options in messages."""

from __future__ import annotations

import contextlib
import contextvars
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import click

from equipot.errors import ConfigError, problem

_NAMES: contextvars.ContextVar[Mapping[str, str] | None] = contextvars.ContextVar("names of options", default=None)

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


class SeveralValues(click.Option):
    """An option that takes all arguments up to the next option as values; it may also be repeated.

    The command must be of the class ``Command`` in this module. The parameter is a tuple, empty without the option.

    Args:
        param_decls: Names, as for ``click.Option``.
        **attributes: As for ``click.Option``.
    """

    def __init__(self, param_decls: list[str] | None = None, **attributes: Any) -> None:
        super().__init__(param_decls, multiple=True, **attributes)


class Command(click.Command):
    """A command that supports options with several values.

    Example:
        >>> @click.command(cls=Command)
        ... @click.option("--labels", cls=SeveralValues)
        ... def show(labels):
        ...     print(labels)
        >>> show.main(["--labels", "a", "b"], standalone_mode=False)
        ('a', 'b')
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments after repeating the name of such an option before each value, as click expects."""
        names = [name for one in self.params if isinstance(one, SeveralValues) for name in one.opts]
        return super().parse_args(ctx, _repeated(args, names))


def named_values(items: Iterable[str], where: str, example: str) -> dict[str, Any]:
    """Values of an option as ``NAME=VALUE``; ``true`` and ``false`` are truth values.

    Args:
        items: What was given.
        where: The option, for messages.
        example: A value, for messages.

    Raises:
        ConfigError: If one has another form, or a name is given twice.

    Example:
        >>> named_values(["index=:100", "results_required=false"], "--ase-args", "index=0")
        {'index': ':100', 'results_required': False}
    """
    found: dict[str, Any] = {}
    for item in items:
        name, _, value = item.partition("=")
        if not name or not value:
            raise ConfigError(problem(where, "must be NAME=VALUE", got=item, hint=f"for example {example}"))
        if name in found:
            raise ConfigError(problem(where, f"names {name!r} twice", got=item))
        found[name] = {"true": True, "false": False}.get(value, value)
    return found


def complete_names(*kinds: str) -> Completer:
    """A ``shell_complete`` for parameters that are registered names of components.

    Args:
        *kinds: ``modifiers``, ``model_builders``, …; all kinds if none is given, ``parts`` included, which are
            completed by the last part of their paths, and by the paths once some of one is typed.
    """

    def names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        from equipot.plugins import KINDS, PARTS, plugins

        known = [name for kind in kinds or (*KINDS, PARTS) for name in plugins().names(kind)]
        shown = known if "." in incomplete else dict.fromkeys(name.rpartition(".")[2] for name in known)
        return [name for name in shown if name.startswith(incomplete)]

    return names


def complete_plugins(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """A ``shell_complete`` for parameters that are ids of plugins."""
    from equipot.plugins import plugins

    return [record.id for record in plugins().records if record.id.startswith(incomplete)]


@contextlib.contextmanager
def option_names(names: Mapping[str, str] | None) -> Iterator[None]:
    """Let messages of the block name the options of a command that has no config.

    Args:
        names: The command's option for each option of configs that it stands for, e.g. ``{"species": "--species"}``;
            None: options are those of configs.

    Example:
        >>> with option_names({"data.unconverged": "--unconverged"}):
        ...     setting("data.unconverged", "drop")
        '--unconverged drop'
    """
    before = _NAMES.set(names)
    try:
        yield
    finally:
        _NAMES.reset(before)


def option(name: str) -> str:
    """An option in the words of the running command; one that it lacks is said to be one of configs.

    Args:
        name: As configs have it.
    """
    names = _NAMES.get()
    return name if names is None else names.get(name, f"{name} (in a config)")


def is_option(name: str) -> bool:
    """Whether the running command has an option; without a command, configs have them all.

    Args:
        name: As configs have it.
    """
    names = _NAMES.get()
    return names is None or name in names


def setting(name: str, value: str | Mapping[str, str]) -> str:
    """An option with a value, in the words of the running command.

    Args:
        name: As configs have it.
        value: As configs have it; the entries of a mapping become several values.

    Example:
        >>> setting("species", {"OW": "O", "D": "H"})
        'species: {OW: O, D: H}'
        >>> with option_names({"species": "--species"}):
        ...     setting("species", {"OW": "O", "D": "H"})
        '--species OW=O D=H'
    """
    names = _NAMES.get()
    if names is not None and name in names:
        words = [f"{key}={one}" for key, one in value.items()] if isinstance(value, Mapping) else [value]
        return f"{names[name]} {' '.join(map(shlex.quote, words))}"
    if isinstance(value, Mapping):
        entries = (f"{key}: {repr(one) if one.startswith(':') else one}" for key, one in value.items())
        value = f"{{{', '.join(entries)}}}"
    return f"{option(name)}: {value}"


def _repeated(arguments: Iterable[str], names: Collection[str]) -> list[str]:
    """Turn ``--labels a b`` into ``--labels a --labels b`` for the options with these names."""
    made: list[str] = []
    option = ""
    for text in arguments:
        if text.startswith("-"):
            option = text if text in names else ""
        elif option and made[-1] != option:
            made.append(option)
        made.append(text)
    return made
