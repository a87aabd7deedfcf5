"""Core's statistics managers."""

from equipot.data import DataStatisticsManager, MeanAbsolute
from equipot_testing.conformance import StatsManagerConformance


class TestCommon(StatsManagerConformance):
    name = "CommonDataStatisticsManager"


class TestEnergyOnly(StatsManagerConformance):
    name = "EnergyOnlyDataStatisticsManager"
    reads = ("total_energy",)


class TestNamedByTheUser(StatsManagerConformance):
    name = "DataStatisticsManager"
    reads = ("forces",)

    def manager(self):
        spread = {"field": "forces", "metric": MeanAbsolute(), "name": "spread", "per_type": True}
        return DataStatisticsManager(metrics=[spread])
