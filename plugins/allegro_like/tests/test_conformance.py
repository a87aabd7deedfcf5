from typing import ClassVar

import pytest

from equipot_testing.conformance import ModelBuilderConformance


class TestAllegroModel(ModelBuilderConformance):
    name = "AllegroModel"
    options: ClassVar = {
        "l_max": 2,
        "radial_chemical_embed": {"_target_": "equipot_allegro.TwoBodyBesselScalarEmbed", "num_bessels": 4},
        "scalar_embed_mlp_hidden_layers_width": 8,
        "num_scalar_features": 6,
        "num_tensor_features": 3,
        "allegro_mlp_hidden_layers_width": 8,
        "readout_mlp_hidden_layers_width": 5,
        "avg_num_neighbors": 12.0,
    }

    @pytest.mark.slow
    def test_trace(self):
        super().test_trace()
