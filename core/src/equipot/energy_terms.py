"""The registered energy terms other than pair potentials: ``equipot.energy_terms.NAME``."""

from functools import partial

from equipot.plugins import registered_attribute

__getattr__ = partial(registered_attribute, "energy_terms", __name__)
