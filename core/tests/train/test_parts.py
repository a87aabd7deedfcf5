"""Training modules put together from parts: in configs, from Python, and in checkpoints."""

import functools

import pytest
import torch

from equipot.errors import ConfigError
from equipot.train import (
    EMALightningModule,
    EnergyForceLoss,
    ExponentialMovingAverage,
    GradientCombination,
    LightningModule,
    WeightAverage,
)

ADAM = functools.partial(torch.optim.Adam, lr=0.02)


def recipe():
    from equipot.model import InvariantModel

    return InvariantModel(type_names=["H", "O"], r_max=3.0, model_dtype="float64")


class Copy(WeightAverage):
    """The weights as they are."""

    def move_average(self, module):
        torch._foreach_copy_(*module.parameter_pairs)


class Sum(GradientCombination):
    """Gradient of the plain sum of the terms."""

    def combine_gradients(self, module, terms):
        sum(terms[name] for name in module.loss.coefficients).backward()


def test_a_named_module_is_one_with_parts():
    named = EMALightningModule(recipe(), EnergyForceLoss(), optimizer=ADAM, ema_decay=0.5)
    composed = LightningModule(recipe(), EnergyForceLoss(), average=ExponentialMovingAverage(ema_decay=0.5))
    assert composed.state_dict().keys() == named.state_dict().keys()
    for module in (named, composed):
        assert module.average.ema_decay == 0.5
        with torch.no_grad():
            module.model.energy.weights += 1.0
        module.update_average()
    assert torch.equal(named.ema.energy.weights, composed.ema.energy.weights)
    assert int(composed.ema_updates) == 1


def test_without_an_average_there_is_no_second_model():
    module = LightningModule(recipe(), EnergyForceLoss())
    assert module.evaluation_model is module.model
    assert {name.split(".")[0] for name in module.state_dict()} == {"model"}


def test_an_average_of_a_plugin():
    module = LightningModule(recipe(), EnergyForceLoss(), average=Copy())
    assert {name.split(".")[0] for name in module.state_dict()} == {"model", "ema"}
    with torch.no_grad():
        module.model.energy.weights += 1.0
    module.update_average()
    assert torch.equal(module.ema.energy.weights, module.model.energy.weights)
    assert not module.ema.energy.weights.requires_grad


def test_combined_gradients_need_a_loss():
    with pytest.raises(ConfigError, match=r"LightningModule.loss: required option is missing"):
        LightningModule(recipe(), gradients=Sum())


PARTS = """
from equipot.train import GradientCombination

class Sum(GradientCombination):
    def combine_gradients(self, module, terms):
        sum(terms[name] for name in module.loss.coefficients).backward()
"""


@pytest.mark.slow
def test_parts_in_a_config(folder, monkeypatch):
    """The sum of two terms with equal weights is twice their weighted sum."""
    (folder.path / "sums.py").write_text(PARTS)
    monkeypatch.syspath_prepend(folder.path)
    parts = [
        "training_module._target_=equipot.train.LightningModule",
        "+training_module.average={_target_: equipot.train.ExponentialMovingAverage, ema_decay: 0.9}",
        "training_module.optimizer._target_=torch.optim.SGD",
    ]
    gradients = ["+training_module.gradients={_target_: sums.Sum}", "--allow-target", "sums"]
    ends = []
    for name, rate, overrides in (("plain", 2e-4, parts), ("parts", 1e-4, [*parts, *gradients])):
        rates = f"training_module.optimizer.lr={rate}"
        code, _, errors = folder.call("run=[train]", "--output", name, rates, *overrides)
        assert code == 0, errors
        ends.append(torch.load(folder.path / name / "last.ckpt", weights_only=True))
    assert ends[1]["equipot"]["weights"] == "ema"
    assert int(ends[1]["state_dict"]["ema_updates"]) == 6
    for name, value in ends[0]["state_dict"].items():
        torch.testing.assert_close(ends[1]["state_dict"][name], value, rtol=1e-12, atol=1e-15)
    (problem,) = folder.errors(*[*parts[:1], parts[1].replace("0.9", "1.0")])
    assert problem == "training_module.average.ema_decay: must be less than 1, got 1.0"
