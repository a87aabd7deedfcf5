"""The command ``equipot``: its commands are what the plugins declare, core's own among them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from equipot import _builtin
from equipot._cli.common import print_error, run, with_switches
from equipot._version import __version__
from equipot.errors import ConfigError, PluginError, unknown
from equipot.plugins import plugins

if TYPE_CHECKING:
    from collections.abc import Sequence


class DeclaredGroup(click.Group):
    """A group whose commands are declared, with their summaries; a command is imported when it is called.

    Listing and completing the commands' names uses ``get_command``, which makes an empty command of the declaration;
    calling one uses ``resolve_command``, which imports it.

    Args:
        prefix: What the declared names of its commands begin with, ``plugins `` for those of ``equipot plugins``.
        **attributes: As those of ``click.Group``.
    """

    def __init__(self, *, prefix: str = "", **attributes: object) -> None:
        super().__init__(no_args_is_help=False, **attributes)  # type: ignore[arg-type] # passed on as they come
        self.prefix = prefix

    def summaries(self, ctx: click.Context) -> dict[str, str]:
        """Name and summary of each command of this group."""
        try:
            entries = [one.entry for one in plugins().available("commands")]
        except PluginError as error:  # a strict or misspelled switch must not hide the help
            if not ctx.resilient_parsing:  # where a shell asks
                print_error(error)
            entries = list(_builtin.equipot_commands())
        found = {one.name[len(self.prefix) :]: one.summary for one in entries if one.name.startswith(self.prefix)}
        return {name: found[name] for name in sorted(found) if " " not in name}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands."""
        return list(self.summaries(ctx))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command that knows its summary only."""
        summary = self.summaries(ctx).get(cmd_name)
        return None if summary is None else click.Command(cmd_name, short_help=summary)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands in the help, of one reading of the declarations."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries(ctx).items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Import the command that the first argument names.

        Raises:
            ConfigError: If there is none, saying which name is near or what to install.
            PluginError: If it cannot be imported.
        """
        host, name = plugins(), f"{self.prefix}{args[0]}"
        if name in host.names("commands"):
            return args[0], with_switches(_checked(host.load("commands", name), name)), args[1:]
        if ctx.resilient_parsing:
            return None, None, args[1:]
        hint = host.install_hint("commands", name)
        raise ConfigError(unknown(ctx.command_path, args[0], self.list_commands(ctx), "command", hint=hint))


def _checked(command: object, name: str) -> click.Command:
    if not isinstance(command, click.Command):
        raise PluginError(f"the target of the command {name!r} must be a click.Command, got {type(command).__name__}")
    return command


@click.group(
    cls=DeclaredGroup, options_metavar="[OPTIONS]", epilog="'equipot COMMAND --help' shows the options of one."
)
@click.version_option(__version__, prog_name="equipot", message="%(prog)s %(version)s")
def equipot() -> None:
    """Plugin ecosystem for E(3)-equivariant interatomic potentials."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``equipot``.

    Args:
        argv: Arguments without the program's name; None: those of the process.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run(equipot, "equipot", arguments or ["--help"])


if __name__ == "__main__":
    sys.exit(main())
