from typing import ClassVar

import pytest
import torch

from equipot.errors import ConfigError
from equipot.model import apply_modifier
from equipot_testing.conformance import ModifierConformance

TRAINABLE = {"per_type_energy_scales_trainable": True, "per_type_energy_shifts_trainable": True}


class TestFreezeParameters(ModifierConformance):
    name = "freeze_Parameters"
    options: ClassVar = {"parts": ["scale_shift"]}
    model_options: ClassVar = {"do_derivatives": False, "per_type_energy_scales": 2.0, **TRAINABLE}
    trains = ("scale_shift.",)

    def trainable(self, model) -> list[str]:
        return [name for name, parameter in model.named_parameters() if parameter.requires_grad]

    def test_frozen_parameters_share_memory(self):
        model = self.model()
        frozen = dict(self.modified(model).named_parameters())
        assert all(frozen[name].data_ptr() == value.data_ptr() for name, value in model.named_parameters())

    def test_one_parameter(self):
        model = self.model()
        assert self.trainable(model) == ["scale_shift.scales", "scale_shift.shifts"]
        frozen = apply_modifier(model, self.name, {"parts": ["scale_shift.shifts"]})
        assert self.trainable(frozen) == ["scale_shift.scales"]

    def test_an_optimiser_step_leaves_it(self):
        model = apply_modifier(self.model(), self.name, {"parts": ["scale_shift.shifts"]})
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        model(self.batch(model))["total_energy"].sum().backward(inputs=trainable)
        torch.optim.SGD(trainable, lr=1.0).step()
        moved = [name for name, value in model.named_parameters() if not torch.equal(value, before[name])]
        assert moved == ["scale_shift.scales"]

    def test_misspelt_name(self):
        message = r"freeze_Parameters.parts: unknown parameter, got 'energie'; parameters: energy.weights, "
        with pytest.raises(ConfigError, match=message):
            apply_modifier(self.model(), self.name, {"parts": ["energie"]})
