from typing import ClassVar

import pytest

from equipot_testing.conformance import ModelBuilderConformance


class TestPaiNNModel(ModelBuilderConformance):
    name = "PaiNNModel"
    options: ClassVar = {"num_layers": 2, "num_features": 8, "num_bessels": 4, "avg_num_neighbors": 12.0}

    @pytest.mark.slow
    def test_trace(self):
        super().test_trace()

    @pytest.mark.slow
    def test_export(self):
        super().test_export()

    @pytest.mark.slow
    def test_compile(self):
        super().test_compile()
