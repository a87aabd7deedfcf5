"""What equipot-template declares; this module must stay light: no torch."""

from collections.abc import Iterator

from equipot import hookimpl
from equipot.declarations import ModifierEntry


@hookimpl
def equipot_modifiers() -> Iterator[ModifierEntry]:
    """Declare the modifier; persistent: it changes what the model is, and is stored with it."""
    yield ModifierEntry(
        name="template",
        target="equipot_template.modifier.template",
        summary="Modifier template",
        persistent=True,
    )
