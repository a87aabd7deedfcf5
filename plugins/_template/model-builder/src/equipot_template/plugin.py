"""What equipot-template declares; this module must stay light: no torch."""

from collections.abc import Iterator

from equipot import hookimpl
from equipot.declarations import ModelBuilderEntry


@hookimpl
def equipot_model_builders() -> Iterator[ModelBuilderEntry]:
    """Declare the model builder."""
    yield ModelBuilderEntry(
        name="Template",
        target="equipot_template.builder.Template",
        summary="Model builder Template",
    )
