"""The conformance classes, one for each kind of plugin; a plugin's test is five lines.

.. code-block:: python

    from equipot.testing.conformance import PairPotentialConformance

    class TestZBL(PairPotentialConformance):
        name = "ZBL"
        options = {"units": "metal"}
"""

from __future__ import annotations

from equipot.testing.energy_term_conformance import EnergyTermConformance
from equipot.testing.model_conformance import ModelBuilderConformance
from equipot.testing.modifier_conformance import ModifierConformance
from equipot.testing.pair_conformance import PairPotentialConformance
from equipot.testing.stats_conformance import StatsManagerConformance

__all__ = [
    "EnergyTermConformance",
    "ModelBuilderConformance",
    "ModifierConformance",
    "PairPotentialConformance",
    "StatsManagerConformance",
]
