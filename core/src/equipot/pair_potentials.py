"""The registered pair potentials: ``equipot.pair_potentials.NAME``."""

from functools import partial

from equipot.plugins import registered_attribute

__getattr__ = partial(registered_attribute, "pair_potentials", __name__)
