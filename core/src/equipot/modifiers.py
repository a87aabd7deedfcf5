"""The registered modifiers: ``equipot.modifiers.NAME``; ``equipot.model.apply_modifier`` applies them."""

from functools import partial

from equipot.plugins import registered_attribute, registered_names

__getattr__ = partial(registered_attribute, "modifiers", __name__)
__dir__ = partial(registered_names, "modifiers", __name__)
