from typing import ClassVar

import pytest

from equipot_testing.conformance import EnergyTermConformance


class TestD3Dispersion(EnergyTermConformance):
    name = "D3Dispersion"
    options: ClassVar = {"functional": "pbe", "r_max": 6.0}

    @pytest.mark.slow
    def test_trace(self):
        super().test_trace()

    @pytest.mark.slow
    def test_export(self):
        super().test_export()
