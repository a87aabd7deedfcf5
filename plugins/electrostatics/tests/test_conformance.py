import pytest

from equipot_testing.conformance import EnergyTermConformance


class TestLatentElectrostatics(EnergyTermConformance):
    name = "LatentElectrostatics"

    @pytest.mark.slow
    def test_trace(self):
        super().test_trace()

    @pytest.mark.slow
    def test_export(self):
        super().test_export()
