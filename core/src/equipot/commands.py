"""What commands need and click does not have: options that take several values, and completion of installed names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import click

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


class SeveralValues(click.Option):
    """An option whose values are all arguments up to the next option; it may also be repeated.

    The command must be a ``Command`` of this module. The parameter is a tuple, empty without the option.

    Args:
        param_decls: Names, as those of ``click.Option``.
        **attributes: As those of ``click.Option``.
    """

    def __init__(self, param_decls: list[str] | None = None, **attributes: Any) -> None:
        super().__init__(param_decls, multiple=True, **attributes)


class Command(click.Command):
    """A command that may have options with several values.

    Example:
        >>> @click.command(cls=Command)
        ... @click.option("--labels", cls=SeveralValues)
        ... def show(labels):
        ...     print(labels)
        >>> show.main(["--labels", "a", "b"], standalone_mode=False)
        ('a', 'b')
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, with the name of an option repeated before each of its values, as click wants it."""
        names = [name for one in self.params if isinstance(one, SeveralValues) for name in one.opts]
        return super().parse_args(ctx, _repeated(args, names))


def complete_names(*kinds: str) -> Completer:
    """A ``shell_complete`` for a parameter that is the registered name of a component.

    Args:
        *kinds: ``modifiers``, ``model_builders``, …; none: all kinds.
    """

    def names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        from equipot.plugins import KINDS, plugins

        return [name for kind in kinds or KINDS for name in plugins().names(kind) if name.startswith(incomplete)]

    return names


def complete_plugins(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """A ``shell_complete`` for a parameter that is the id of a plugin."""
    from equipot.plugins import plugins

    return [record.id for record in plugins().records if record.id.startswith(incomplete)]


def _repeated(arguments: Iterable[str], names: Collection[str]) -> list[str]:
    """``--labels a b`` as ``--labels a --labels b`` for the options of these names."""
    made: list[str] = []
    option = ""
    for text in arguments:
        if text.startswith("-"):
            option = text if text in names else ""
        elif option and made[-1] != option:
            made.append(option)
        made.append(text)
    return made
