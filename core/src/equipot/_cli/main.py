"""The program ``equipot``, whose commands are declared by plugins and by core itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from equipot import _builtin
from equipot._cli.common import print_error, run, with_switches
from equipot._version import __version__
from equipot.errors import ConfigError, PluginError, unknown
from equipot.plugins import plugins


class DeclaredGroup(click.Group):
    """A group of declared commands whose names start with ``prefix``, e.g. ``plugins ``.

    Help and completion use ``get_command``, which makes an empty command from a declaration; only
    ``resolve_command``, which runs a command, imports it.
    """

    def __init__(self, *, prefix: str = "", **attributes: object) -> None:
        super().__init__(no_args_is_help=False, **attributes)  # type: ignore[arg-type] # passed on as they come
        self.prefix = prefix

    def summaries(self, ctx: click.Context) -> dict[str, str]:
        """Names of the commands of this group, with their summaries."""
        try:
            entries = [one.entry for one in plugins().available("commands")]
        except PluginError as error:  # a failing plugin or a misspelled switch must not hide the help
            if not ctx.resilient_parsing:  # true for shell completion
                print_error(error)
            entries = list(_builtin.equipot_commands())
        found = {one.name[len(self.prefix) :]: one.summary for one in entries if one.name.startswith(self.prefix)}
        return {name: found[name] for name in sorted(found) if " " not in name}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands."""
        return list(self.summaries(ctx))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """An empty command with the summary, for help and completion."""
        summary = self.summaries(ctx).get(cmd_name)
        return None if summary is None else click.Command(cmd_name, short_help=summary)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands in the help; an error in the plugins is printed once, not once per command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries(ctx).items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Import the command that the first argument names, or suggest the nearest name or what to install."""
        host, name = plugins(), f"{self.prefix}{args[0]}"
        if name in host.names("commands"):
            return args[0], with_switches(host.load("commands", name)), args[1:]
        if ctx.resilient_parsing:
            return None, None, args[1:]
        hint = host.install_hint("commands", name)
        raise ConfigError(unknown(ctx.command_path, args[0], self.list_commands(ctx), "command", hint=hint))


@click.group(
    cls=DeclaredGroup, options_metavar="[OPTIONS]", epilog="'equipot COMMAND --help' shows the options of a command."
)
@click.version_option(__version__, prog_name="equipot", message="%(prog)s %(version)s")
def equipot() -> None:
    """Plugin ecosystem for E(3)-equivariant interatomic potentials."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``equipot`` and return the exit code; without arguments it shows its help."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run(equipot, "equipot", arguments or ["--help"])


if __name__ == "__main__":
    sys.exit(main())
