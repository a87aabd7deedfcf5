"""What every command shares: plugin options, warnings, and errors as one clear message.

A command is a module with ``add_arguments(parser)`` and ``run(args) -> int``; a module may set
``PASS_UNKNOWN = True`` to get arguments it does not know as ``args.extra``.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Protocol

from equipot._host.attribution import name_plugin
from equipot.errors import ConfigError, DataError, EquipotError, did_you_mean, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXIT_ERROR = 2
"""Exit code of every error with a message meant for the user."""

_shown: set[str] = set()


class Command(Protocol):
    """A module of ``equipot._cli`` that is a command."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the return value is the exit code."""


def add_plugin_options(parser: argparse.ArgumentParser) -> None:
    """Add the switches that choose which plugins load.

    Args:
        parser: Parser of a command.
    """
    group = parser.add_argument_group("plugins")
    choice = group.add_mutually_exclusive_group()
    choice.add_argument(
        "--plugins",
        metavar="IDS",
        default=None,
        help="load only these plugin ids (a,b) or all but some (--plugins=-c)",
    )
    choice.add_argument("--no-plugins", action="store_true", default=False, help="load no plugin, core only")
    group.add_argument(
        "--strict-plugins", action="store_true", default=False, help="stop at the first plugin that fails to load"
    )
    group.add_argument("--trace-plugins", action="store_true", default=False, help="print what each plugin declares")
    group.add_argument(
        "--plugin",
        metavar="FILE.py",
        action="append",
        default=[],
        help="take a local file with a model, pair potential, … as a plugin too (repeatable)",
    )


def apply_plugin_options(args: argparse.Namespace) -> None:
    """Hand the plugin switches to the host, which reads them from the environment when it loads."""
    if getattr(args, "no_plugins", False):
        os.environ["EQUIPOT_PLUGINS"] = "none"
    elif getattr(args, "plugins", None) is not None:
        os.environ["EQUIPOT_PLUGINS"] = args.plugins
    if getattr(args, "strict_plugins", False):
        os.environ["EQUIPOT_STRICT_PLUGINS"] = "1"
    if getattr(args, "trace_plugins", False):
        os.environ["EQUIPOT_TRACE_PLUGINS"] = "1"
    for path in getattr(args, "plugin", ()):
        from equipot._host.local_file import NOTICE
        from equipot.plugins import use_file

        use_file(path)
        print(f"note: --plugin {path}: {NOTICE}", file=sys.stderr)


def split_plugin_options(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Take the plugin switches out of a command's arguments, wherever they stand.

    Returns:
        The switches, and all other arguments in their order.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_plugin_options(parser)
    return parser.parse_known_args(argv)


def make_parser(module: Any, prog: str) -> argparse.ArgumentParser:
    """The parser of a command.

    Args:
        module: The command's module (see ``Command``).
        prog: Name shown in the help, e.g. ``equipot-train``.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=(module.__doc__ or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    add_plugin_options(parser)
    return parser


def run_module(module: Any, prog: str, argv: Sequence[str] | None = None) -> int:
    """Parse arguments and run a command.

    Args:
        module: The command's module (see ``Command``).
        prog: Name shown in the help, e.g. ``equipot-train``.
        argv: Arguments without the program's name; None: those of the process.

    Returns:
        The exit code: 0, or 2 after an error whose message was printed.
    """
    switches, rest = split_plugin_options(sys.argv[1:] if argv is None else argv)

    def command(switches: argparse.Namespace) -> int | None:
        apply_plugin_options(switches)
        parser = make_parser(module, prog)
        if "_ARGCOMPLETE" in os.environ:
            from argcomplete import autocomplete

            autocomplete(parser)
        args, unknown = parser.parse_known_args(rest)
        if unknown and not getattr(module, "PASS_UNKNOWN", False):
            parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        args.extra = unknown
        code: int | None = module.run(args)
        return code

    return run_command(command, switches)


def run_command(func: Callable[[argparse.Namespace], int | None], args: argparse.Namespace) -> int:
    """Run a command; errors meant for users become ``error: …`` on stderr and exit code 2.

    Args:
        func: The command.
        args: Its parsed arguments.

    Returns:
        The exit code.
    """
    configure_logging()
    try:
        code = func(args)
    except EquipotError as error:
        show_plugin_warnings()
        print_error(error)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_ERROR
    except Exception as error:
        name_plugin(error)
        raise
    show_plugin_warnings()
    return int(code or 0)


def print_error(error: EquipotError) -> None:
    """Print an error to stderr, one ``error: …`` line for each problem."""
    problems = [str(error)]
    if isinstance(error, ConfigError):
        problems = error.problems
    elif isinstance(error, DataError):
        problems = str(error).splitlines()
    for text in problems:
        print(f"error: {text}", file=sys.stderr)
    if len(problems) > 1:
        print(f"{len(problems)} errors", file=sys.stderr)


def show_plugin_warnings() -> None:
    """Warn once about plugins that did not load or had side effects; nothing while the host is not loaded."""
    host_module = sys.modules.get("equipot._host.host")
    if host_module is None or not host_module.plugins.cache_info().currsize:
        return
    for record in host_module.plugins().records:
        told = [f"plugin {record.label}: {note}" for note in record.notes]
        if record.error:
            told.insert(0, f"plugin {record.label} is {record.state}: {record.error}")
        for text in told:
            if text not in _shown:
                _shown.add(text)
                print(f"warning: {text}", file=sys.stderr)


class _Format(logging.Formatter):
    """``warning: text``, as the errors look."""

    def format(self, record: logging.LogRecord) -> str:
        """Level in lower case, then the message."""
        return f"{record.levelname.lower()}: {record.getMessage()}"


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to whatever ``sys.stderr`` is at the time, and not what ``show_plugin_warnings`` says."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        if record.name != "equipot.plugins":
            self.stream = sys.stderr
            super().emit(record)


def configure_logging() -> None:
    """Send warnings of equipot's loggers to stderr as ``warning: …``, once."""
    root = logging.getLogger("equipot")
    if not any(isinstance(handler, _Stderr) for handler in root.handlers):
        handler = _Stderr()
        handler.setLevel(logging.WARNING)
        handler.setFormatter(_Format())
        root.addHandler(handler)
        root.propagate = False


HYDRA_FLAGS = (
    "-m", "--multirun", "-c", "--cfg", "--resolve", "-p", "--package", "-r", "--run", "-i", "--info",
    "-cd", "--config-dir", "--hydra-help", "--experimental-rerun",
)  # fmt: skip
"""Hydra's own flags; their values are written with ``=``, as in ``--cfg=job``."""


def hydra_arguments(texts: Sequence[str], options: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split what is meant for Hydra into overrides and flags.

    Args:
        texts: Arguments that the command itself does not know.
        options: The command's own options, for hints.

    Returns:
        Overrides, flags.

    Raises:
        ConfigError: On options that neither the command nor Hydra has.
    """
    given = [text for text in texts if text.strip()]
    flags = [text for text in given if text.startswith("-")]
    unknown = [flag for flag in flags if flag.split("=")[0] not in HYDRA_FLAGS]
    if unknown:
        known = (*options, *HYDRA_FLAGS)
        raise ConfigError(problem(flag, "unknown option", hint=did_you_mean(flag, known)) for flag in unknown)
    return [text for text in given if not text.startswith("-")], flags
