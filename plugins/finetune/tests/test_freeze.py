from typing import ClassVar

import pytest
import torch

from equipot.errors import ConfigError
from equipot.model import apply_automatic, apply_modifier
from equipot_testing.conformance import ModifierConformance
from equipot_testing.frames import batch_of, molecule

TRAINABLE = {"per_type_energy_scales_trainable": True, "per_type_energy_shifts_trainable": True}


def trainable(model):
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


class TestFreezeParts(ModifierConformance):
    name = "freeze_Parts"
    options: ClassVar = {"parts": ["scale_shift"]}
    model_options: ClassVar = {"do_derivatives": False, "per_type_energy_scales": 2.0, **TRAINABLE}
    trains = ("scale_shift.",)

    def test_frozen_parameters_share_memory(self):
        model = self.model()
        frozen = dict(self.modified(model).named_parameters())
        assert all(frozen[name].data_ptr() == value.data_ptr() for name, value in model.named_parameters())

    def test_an_optimiser_step_leaves_it(self):
        model = apply_modifier(self.model(), self.name, {"parts": ["scale_shift.shifts"]})
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        model(self.batch(model))["total_energy"].sum().backward(inputs=trained)
        torch.optim.SGD(trained, lr=1.0).step()
        moved = [name for name, value in model.named_parameters() if not torch.equal(value, before[name])]
        assert moved == ["scale_shift.scales"]


def test_names_patterns_and_exceptions(make_model):
    model = make_model()
    every = trainable(model)
    assert "energy.layers.0.linear_1.weights.0e" in every
    for options, kept in (
        ({"parts": ["energy.layers"]}, lambda name: not name.startswith("energy.layers.")),
        ({"parts": ["energy.layers.?.linear_1"]}, lambda name: ".linear_1." not in name),
        ({"parts": ["*radial*"]}, lambda name: "radial" not in name),
        ({"parts": ["energy"], "train": ["energy.readout"]}, lambda name: name.startswith("energy.readout.")),
    ):
        assert trainable(apply_modifier(model, "freeze_Parts", options)) == [name for name in every if kept(name)]


def test_a_name_that_begins_like_a_part_is_another(make_model):
    with pytest.raises(ConfigError, match="got 'energy.layer'; did you mean 'energy.layers'"):
        apply_modifier(make_model(), "freeze_Parts", {"parts": ["energy.layer"]})


def test_the_error_lists_the_parts(make_model):
    with pytest.raises(ConfigError) as caught:
        apply_modifier(make_model(), "freeze_Parts", {"parts": ["head"], "train": ["tail"]})
    first, second = caught.value.problems
    assert first.startswith("freeze_Parts.parts: no parameter has this name, got 'head'; parts: energy, ")
    assert "energy.type_embedding, energy.layers, energy.layers.0, energy.layers.1, energy.readout" in first
    assert second.startswith("freeze_Parts.train: no parameter has this name, got 'tail'")


def test_models_with_kernels_keep_them_and_their_numbers(make_model):
    """Kernels share the dictionaries of parameters with what they replace; a frozen copy must do so too."""
    model, _ = apply_automatic(make_model())
    frozen = apply_modifier(model, "freeze_Parts", {"parts": ["energy.layers.0"]})
    assert frozen.evaluator is model.evaluator
    assert {type(one) for one in frozen.modules()} == {type(one) for one in model.modules()}
    with torch.no_grad():
        for parameter in frozen.parameters():
            parameter.mul_(1.1)  # the memory is shared, so that both change
    batch = batch_of([molecule(3)], model.info)
    outputs, expected = frozen(batch), model(batch)
    assert all(torch.equal(outputs[key], value) for key, value in expected.items())
