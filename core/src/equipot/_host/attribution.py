"""Find out which plugin's code raised an error."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import TracebackType

from equipot._host.discovery import PluginRecord
from equipot.errors import EquipotError


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


def _owner(traceback: TracebackType | None) -> PluginRecord | None:
    """The plugin of the innermost frame, None if the traceback has no frame of a plugin."""
    from equipot._host.host import plugins

    try:
        owners = plugins().packages()
    except EquipotError:  # loading plugins failed, which must not hide the error at hand
        return None
    found = None
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        found = owners.get(module.split(".", maxsplit=1)[0], found)
        traceback = traceback.tb_next
    return found
