"""What equipot-template declares; this module must stay light: no torch."""

from collections.abc import Iterator

from equipot import hookimpl
from equipot.declarations import FieldEntry, ModifierEntry


@hookimpl
def equipot_fields() -> Iterator[FieldEntry]:
    """Declare what the head predicts, and data may have as a label: a vector that adds up over molecules."""
    yield FieldEntry(
        key="template",
        per="frame",
        shape=("n_frames", 3),
        unit="e Å",
        irreps="1o",
        meaning="Output head add_template",
        label=True,
        ase_property="template",
        extensive=True,
    )


@hookimpl
def equipot_modifiers() -> Iterator[ModifierEntry]:
    """Declare the modifier that adds the head; persistent: it is stored with the model."""
    yield ModifierEntry(
        name="add_template",
        target="equipot_template.head.add_template",
        summary="Output head add_template",
        persistent=True,
        provides=("template",),
    )
