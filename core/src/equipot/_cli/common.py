"""What all commands share: the plugin switches, error messages, warnings and tables."""

from __future__ import annotations

import copy
import io
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Literal

import click

from equipot._host.attribution import naming_plugins
from equipot._interrupts import Interrupted, handled, ignore_further
from equipot._processes import is_first
from equipot.errors import ConfigError, DataError, EquipotError, printable
from equipot.plugins import plugins, use_file

EXIT_ERROR = 2
"""Exit code after an error with a message for the user."""

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C, the same as in shells."""

Weights = Literal["ema", "raw"]

weights_option = click.option(
    "--weights",
    type=click.Choice(["ema", "raw"]),
    default="ema",
    help="Weights of a checkpoint (default: ema, where present).",
)

automatic_option = click.option(
    "--automatic-modifiers/--no-automatic-modifiers",
    "automatic_modifiers",
    default=True,
    help="Apply what plugins declare as automatic, such as compiled kernels (default), or nothing unasked.",
)

_shown: set[str] = set()


def run(command: click.Command, program: str, argv: Sequence[str] | None = None) -> int:
    """Parse the arguments, run a command and return the exit code.

    Errors meant for users are printed to stderr as ``error: …``; the exit code is then 2. A signal ends the command
    with one line and the exit code that shells give.
    """
    with handled():
        try:
            return _run(command, program, argv)
        except Interrupted as interrupted:
            ignore_further()
            if is_first():
                print(interrupted, file=sys.stderr)
            return interrupted.exit_code


def _run(command: click.Command, program: str, argv: Sequence[str] | None) -> int:
    configure_logging()
    for stream in (sys.stdout, sys.stderr):
        # a terminal that knows ASCII alone gets ? for tables and units, and not a UnicodeEncodeError after the work
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    try:
        arguments = _apply_switches(program, list(sys.argv[1:] if argv is None else argv))
        with naming_plugins():
            code = with_switches(command).main(arguments, prog_name=program, standalone_mode=False)
    except EquipotError as error:
        show_plugin_warnings()
        print_error(error)
        return EXIT_ERROR
    except click.ClickException as error:
        say(_usage_error(error, program), error=True)
        return EXIT_ERROR
    except (KeyboardInterrupt, click.Abort) as error:
        said = error if isinstance(error, KeyboardInterrupt) else error.__cause__
        say(f"interrupted {said or ''}".rstrip(), error=True)
        return EXIT_INTERRUPTED
    except OSError as error:
        if error.filename is None:
            raise
        say(f"error: {error.filename}: {error.strerror}", error=True)
        return EXIT_ERROR
    show_plugin_warnings()
    return int(code or 0)


def _usage_error(error: click.ClickException, program: str) -> str:
    """Click's error as one line, except for the help text that a group without a command raises."""
    text = error.format_message().rstrip(".")
    if "\n" in text:
        return text
    context = getattr(error, "ctx", None)
    where = program if context is None else context.command_path
    return f"error: {where}: {text[:1].lower()}{text[1:]}"


# -------------------------------------------------------------------------- plugin switches


_ONLY = "Load only these plugins (ids, as in a,b), or all but some (--plugins=-c)."
_LOCAL = "Use a local file with a model, pair potential, … as a plugin too. May be repeated."
_SWITCHES = click.Command(
    "switches",
    params=[
        click.Option(["--plugins"], metavar="IDS", help=_ONLY),
        click.Option(["--no-plugins"], is_flag=True, help="Load no plugins, only core."),
        click.Option(["--strict-plugins"], is_flag=True, help="Stop at the first plugin that fails to load."),
        click.Option(["--trace-plugins"], is_flag=True, help="Print what each plugin declares."),
        click.Option(["--plugin"], metavar="FILE.py", multiple=True, type=click.Path(), help=_LOCAL),
    ],
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)


def with_switches(command: click.Command) -> click.Command:
    """Show the plugin switches in the help and completion of a command.

    They decide which commands exist, so ``run`` applies and removes them before a command parses its arguments.
    """
    if all(one.name != "no_plugins" for one in command.params):
        shown = [copy.copy(option) for option in _SWITCHES.params]
        for option in shown:
            option.expose_value = False
        command.params.extend(shown)
    return command


def _apply_switches(program: str, arguments: list[str]) -> list[str]:
    """Apply the plugin switches, which may appear anywhere on the line, and return the other arguments."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    context = _SWITCHES.make_context(program, arguments[:end])
    given = context.params
    if given["no_plugins"] and given["plugins"] is not None:
        raise click.UsageError("--no-plugins cannot be combined with --plugins", context)
    if given["no_plugins"] or given["plugins"] is not None:
        os.environ["EQUIPOT_PLUGINS"] = "none" if given["no_plugins"] else given["plugins"]
    for name in ("strict_plugins", "trace_plugins"):
        if given[name]:
            os.environ[f"EQUIPOT_{name.upper()}"] = "1"
    for path in given["plugin"]:
        from equipot._host.local_file import NOTICE

        use_file(path)
        print(f"note: --plugin {path}: {NOTICE}", file=sys.stderr)
    # If click knew -h as an option, it would also find it inside Hydra's -cd=/home.
    return ["--help" if text == "-h" else text for text in context.args] + arguments[end:]


# --------------------------------------------------------------------------------- messages


_MOST, _LONGEST = 100, 4000
"""Errors that are printed, and the characters of each: a file of a stranger may cause, or quote, any number."""


def say(text: str, *, error: bool = False) -> None:
    """Print a text in which a name or value of a stranger may stand; control characters are shown, not obeyed."""
    print(printable(text), file=sys.stderr if error else sys.stdout)


def _shortened(text: str) -> str:
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} … ({len(text)} characters) … {text[-half:]}"


def print_error(error: EquipotError) -> None:
    """Print an error to stderr, with a line ``error: …`` for each problem."""
    problems = [str(error)]
    if isinstance(error, ConfigError):
        problems = error.problems
    elif isinstance(error, DataError):
        problems = str(error).splitlines()
    for text in problems[:_MOST]:
        say(f"error: {_shortened(text)}", error=True)
    if len(problems) > 1:
        print(f"{len(problems)} errors", file=sys.stderr)


def show_plugin_warnings() -> None:
    """Warn once about each plugin that did not load or had side effects; does not load plugins itself."""
    if not plugins.cache_info().currsize:
        return
    for record in plugins().records:
        warnings = [f"plugin {record.label}: {note}" for note in record.notes]
        if record.error:
            warnings.insert(0, f"plugin {record.label} is {record.state}: {record.error}")
        for text in warnings:
            if text not in _shown:
                _shown.add(text)
                say(f"warning: {_shortened(text)}", error=True)


class _Stderr(logging.Handler):
    """Prints records like errors, as ``warning: text``; those of plugins are left to ``show_plugin_warnings``."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        if record.name != "equipot.plugins":
            say(f"{record.levelname.lower()}: {_shortened(record.getMessage())}", error=True)


def configure_logging() -> None:
    """Send warnings of equipot's loggers to stderr, once."""
    root = logging.getLogger("equipot")
    if not any(isinstance(handler, _Stderr) for handler in root.handlers):
        root.addHandler(_Stderr(logging.WARNING))
        root.propagate = False


# ----------------------------------------------------------------------------------- tables


def print_table(rows: Iterable[Sequence[str]], header: Sequence[str] = (), *, numbers: Sequence[str] = ()) -> None:
    """Print rows in columns; those whose titles are in ``numbers`` are aligned right.

    Control characters are shown, not obeyed. Long rows are folded to the width of a terminal; in files and pipes
    each row stays on one line.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 10_000
    table = Table(box=None, pad_edge=False, show_header=bool(header))
    for title in header:
        table.add_column(title, overflow="fold", justify="right" if title in numbers else "left")
    for row in rows:
        table.add_row(*map(printable, row))
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        print(line.rstrip())
