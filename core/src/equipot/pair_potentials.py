"""The registered pair potentials: ``equipot.pair_potentials.NAME``."""

from functools import partial

from equipot.plugins import registered_attribute, registered_names

__getattr__ = partial(registered_attribute, "pair_potentials", __name__)
__dir__ = partial(registered_names, "pair_potentials", __name__)
