"""Which plugin's code raised an error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from equipot.errors import EquipotError

if TYPE_CHECKING:
    from types import TracebackType

    from equipot.discovery import PluginRecord


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
    text = f"plugin {record.label}: "
    if len(error.args) == 1 and isinstance(error.args[0], str):
        if not error.args[0].startswith("plugin "):
            error.args = (text + error.args[0],)
    elif sys.version_info >= (3, 11) and text not in getattr(error, "__notes__", ()):
        error.add_note(text)


def _owner(traceback: TracebackType | None) -> PluginRecord | None:
    """The plugin of the innermost frame, None if no plugin's code is in the traceback."""
    from equipot.plugins import plugins

    owners = {record.package: record for record in plugins().records if record.state == "ok" and record.id != "core"}
    found = None
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        found = owners.get(module.split(".", maxsplit=1)[0], found)
        traceback = traceback.tb_next
    return found
