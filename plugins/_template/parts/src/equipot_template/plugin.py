"""What equipot-template declares; this module must stay light: no torch."""

from collections.abc import Iterator

from equipot import hookimpl
from equipot.declarations import PartEntry


@hookimpl
def equipot_parts() -> Iterator[PartEntry]:
    """Declare the loss; other kinds are metrics, callback, transform, dataset, …, see PART_KINDS."""
    yield PartEntry(
        kind="loss",
        target="equipot_template.loss.Template",
        summary="Loss Template",
    )
