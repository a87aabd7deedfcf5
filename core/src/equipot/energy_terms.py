"""The registered energy terms other than pair potentials: ``equipot.energy_terms.NAME``."""

from functools import partial

from equipot.plugins import registered_attribute, registered_names

__getattr__ = partial(registered_attribute, "energy_terms", __name__)
__dir__ = partial(registered_names, "energy_terms", __name__)
