"""Which plugin's code raised an error."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from equipot._host.discovery import PluginRecord
from equipot.errors import EquipotError

P = ParamSpec("P")
R = TypeVar("R")


def name_plugin(error: BaseException) -> None:
    """Put id and version of the plugin whose code raised an error in front of its message.

    The innermost frame of the traceback that lies in an installed plugin's package counts. The error
    stays the same object with the same traceback; without such a frame, or with a message worded for users
    (``EquipotError``), nothing is changed.

    Args:
        error: An error that was caught and will be raised again.
    """
    if isinstance(error, EquipotError) or (record := _owner(error.__traceback__)) is None:
        return
    if len(error.args) == 1 and isinstance(error.args[0], str):
        if not error.args[0].startswith("plugin "):
            error.args = (f"plugin {record.label}: {error.args[0]}",)
    elif sys.version_info >= (3, 11) and not getattr(error, "__notes__", ()):
        error.add_note(f"raised in plugin {record.label}")


def naming_plugins(function: Callable[P, R]) -> Callable[P, R]:
    """Let the errors that leave a function say which plugin's code raised them."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            name_plugin(error)
            raise

    return call


def _owner(traceback: TracebackType | None) -> PluginRecord | None:
    """The plugin of the innermost frame, None if no plugin's code is in the traceback."""
    from equipot._host.host import plugins

    try:
        owners = plugins().packages()
    except EquipotError:  # of the plugins themselves; it must not hide the error at hand
        return None
    found = None
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        found = owners.get(module.split(".", maxsplit=1)[0], found)
        traceback = traceback.tb_next
    return found
