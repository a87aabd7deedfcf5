from typing import ClassVar

import pytest

from equipot_testing.conformance import ModelBuilderConformance


class TestNequIPGNNModel(ModelBuilderConformance):
    name = "NequIPGNNModel"
    options: ClassVar = {
        "num_layers": 2,
        "l_max": 2,
        "num_features": [4, 3, 2],
        "radial_mlp_width": 8,
        "num_bessels": 4,
        "avg_num_neighbors": 12.0,
    }

    @pytest.mark.slow
    def test_trace(self):
        super().test_trace()
