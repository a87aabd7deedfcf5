"""Find out which plugin's code raised an error."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator
from types import FrameType, TracebackType

from equipot._host.discovery import PluginRecord
from equipot.errors import EquipotError, PluginError


def name_plugin(error: BaseException) -> None:
    """Add id and version of the plugin whose code raised an error to its message.

    The plugin is that of the innermost frame in an installed plugin's package. Object and traceback stay the same, so
    that the error can be raised again. Nothing changes without such a frame, or if the message is meant for users
    (``EquipotError``).
    """
    if isinstance(error, EquipotError) or (record := _owner(error.__traceback__)) is None:
        return
    if len(error.args) == 1 and isinstance(error.args[0], str):
        if not error.args[0].startswith("plugin "):
            error.args = (f"plugin {record.label}: {error.args[0]}",)
    elif sys.version_info >= (3, 11) and not getattr(error, "__notes__", ()):
        error.add_note(f"raised in plugin {record.label}")


@contextlib.contextmanager
def naming_plugins() -> Iterator[None]:
    """Let errors that leave the block, or the decorated function, say which plugin's code raised them."""
    try:
        yield
    except Exception as error:
        name_plugin(error)
        raise


def _package(frame: FrameType) -> str:
    """Top-level package of the code that a frame runs."""
    return str(frame.f_globals.get("__name__", "")).split(".", maxsplit=1)[0]


def _owner(trace: TracebackType | None) -> PluginRecord | None:
    """The plugin of the innermost frame, None if the traceback has no frame of a plugin."""
    from equipot._host.host import plugins

    try:
        owners = plugins().packages()
    except EquipotError:  # loading plugins failed, which must not hide the error at hand
        return None
    found = None
    while trace is not None:
        found = owners.get(_package(trace.tb_frame), found)
        trace = trace.tb_next
    return found


@contextlib.contextmanager
def faults_named(where: str) -> Iterator[None]:
    """Let an error of a plugin's code that leaves the block be one message with plugin, file and line.

    Errors that are meant for users, and those that no plugin's code raised, stay as they are.

    Args:
        where: What was going on.

    Raises:
        PluginError: In place of the plugin's error, which is its cause.
    """
    try:
        yield
    except EquipotError:
        raise
    except Exception as error:
        if not (place := place_of(error)):
            raise
        text = str(error).strip().splitlines()
        first = (text[0] if text else "").removeprefix(f"{place.partition(': ')[0]}: ")
        raise PluginError(f"{where}: {place}: {type(error).__name__}: {first}") from error


def place_of(error: BaseException) -> str:
    """Plugin, file, line and code that raised an error, as one line; empty if it was not a plugin's code."""
    if (record := _owner(error.__traceback__)) is None:
        return ""
    frames = traceback.walk_tb(error.__traceback__)
    own = [(frame, line) for frame, line in frames if _package(frame) == record.package]
    found = traceback.StackSummary.extract(iter(own[-1:]))[0]
    return f"plugin {record.label}: {found.filename}, line {found.lineno}, in {found.name} ({found.line})"
