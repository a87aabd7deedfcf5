"""Extensions of click for commands: options with several values, and completion of installed names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import click

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
