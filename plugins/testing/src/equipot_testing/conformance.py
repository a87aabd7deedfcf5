"""The conformance classes, one for each kind of plugin; a plugin's test is five lines.

.. code-block:: python

    from equipot_testing.conformance import PairPotentialConformance

    class TestZBL(PairPotentialConformance):
        name = "ZBL"
        options = {"units": "metal"}
"""

from __future__ import annotations

from equipot_testing._energy_term_conformance import EnergyTermConformance
from equipot_testing._export_conformance import ExportTargetConformance
from equipot_testing._head_conformance import OutputHeadConformance
from equipot_testing._model_conformance import ModelBuilderConformance
from equipot_testing._modifier_conformance import ModifierConformance
from equipot_testing._pair_conformance import PairPotentialConformance
from equipot_testing._part_conformance import PartConformance
from equipot_testing._stats_conformance import StatsManagerConformance

__all__ = [
    "EnergyTermConformance",
    "ExportTargetConformance",
    "ModelBuilderConformance",
    "ModifierConformance",
    "OutputHeadConformance",
    "PairPotentialConformance",
    "PartConformance",
    "StatsManagerConformance",
]
