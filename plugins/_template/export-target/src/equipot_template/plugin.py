"""What equipot-template declares; this module must stay light: no torch."""

from collections.abc import Iterator

from equipot import hookimpl
from equipot.declarations import ExportTargetEntry


@hookimpl
def equipot_export_targets() -> Iterator[ExportTargetEntry]:
    """Declare the engine."""
    yield ExportTargetEntry(
        name="template",
        target="equipot_template.engine.Template",
        summary="Engine template",
    )
