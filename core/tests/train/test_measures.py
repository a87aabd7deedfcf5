"""Losses and metrics of others: what the base classes do, and configs that name a loss of a plugin."""

import pytest
import torch
import torchmetrics

from equipot.errors import ConfigError
from equipot.train import EnergyForceLoss, EnergyForceMetrics, Loss


class LastTwo(Loss):
    """Keeps a list and a mean of what it saw; the terms are the numbers of frames and of atoms."""

    labels = ("total_energy",)
    names = ("frames", "atoms", "weighted_sum")

    def __init__(self):
        super().__init__({"frames": 0.25, "atoms": 0.75})
        self.seen = torchmetrics.CatMetric()
        self.mean = torchmetrics.MeanMetric()

    def forward(self, outputs, batch):
        terms = {"frames": batch["num_atoms"].numel() * 1.0, "atoms": batch["num_atoms"].sum() * 1.0}
        self.seen.update(terms["atoms"])
        self.mean.update(terms["atoms"])
        return {**terms, "weighted_sum": sum(weight * terms[name] for name, weight in self.coefficients.items())}

    def epoch_values(self):
        return {"atoms": self.seen.compute().sum(), "mean": self.mean.compute()}

    def reset(self):
        self.seen.reset()


def batch(*sizes):
    return {"num_atoms": torch.tensor(sizes)}


def test_state_of_lists_and_means_is_restored():
    whole, broken = LastTwo(), LastTwo()
    whole.update({}, batch(1, 2))
    broken.update({}, batch(1, 2))
    state = broken.state()
    whole.epoch_values()
    broken.update({}, batch(50))
    resumed = LastTwo()
    resumed.load_state(torch.load(stored(state), weights_only=True))
    for one in (whole, resumed):
        one.update({}, batch(4))
    assert whole.epoch_values() == resumed.epoch_values() == {"atoms": 7.0, "mean": 3.5}


def stored(state):
    import io

    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file


def test_coefficients_are_stored_once_they_were_changed():
    loss = LastTwo()
    assert "coefficients" not in loss.state(), "a config that allows a change of the loss must win"
    assert float(loss({}, batch(2, 2))["weighted_sum"]) == 0.25 * 2 + 0.75 * 4
    loss.set_coefficients({"atoms": 1, "frames": 0})
    assert float(loss({}, batch(2, 2))["weighted_sum"]) == 4.0
    other = LastTwo()
    other.load_state(loss.state())
    assert other.coefficients == {"frames": 0.0, "atoms": 1.0}


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [
        ({"frames": 1.0}, "here: no weight for atoms"),
        ({"frame": 1.0, "atoms": 1.0}, "here.frame: unknown name; did you mean 'frames'"),
        ({"frames": -1.0, "atoms": 1.0}, "here.frames: must not be negative"),
        ({"frames": 0, "atoms": 0}, "here: one must be greater than 0"),
    ],
)
def test_coefficients_that_do_not_fit(coefficients, message):
    with pytest.raises(ConfigError, match=message):
        LastTwo().set_coefficients(coefficients, "here")


def test_terms_of_the_usual_losses_have_coefficients():
    loss = EnergyForceLoss(coeffs={"total_energy": 1, "forces": 3})
    assert loss.coefficients == {"per_atom_energy_mse": 0.25, "forces_mse": 0.75}


def test_metrics_do_not_go_into_checkpoints_of_the_model():
    assert EnergyForceMetrics().state_dict() == {}


def test_weights_for_other_types_are_reported_before_data_are_read(folder):
    problems = folder.errors("++training_module.loss.per_type_forces_coeffs={H: 1.0, C: 1.0}")
    assert problems == [
        "training_module.loss.per_type_forces_coeffs.C: unknown type; types: H, O",
        "training_module.loss.per_type_forces_coeffs: no weight for the types ['O'], got {'H': 1.0, 'C': 1.0}",
    ]


MINE = """
from equipot.train import EnergyForceLoss

class MyLoss(EnergyForceLoss):
    def __init__(self, weight: float) -> None:
        super().__init__({"total_energy": 1.0, "forces": weight})

class Recenter:
    def __call__(self, frame):
        return {**frame, "positions": frame["positions"] - frame["positions"].mean(0)}
"""


def test_loss_and_transform_of_others(folder, monkeypatch):
    """They are made in the check: what they need of data and model is reported before data are read."""
    (folder.path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(folder.path)
    overrides = [
        "~training_module.loss",
        "+training_module.loss={_target_: mine.MyLoss, weight: 1.0}",
        "+data.transforms=[{_target_: mine.Recenter}]",
        "--allow-target",
        "mine",
    ]
    assert folder.call("run=[train]", *overrides)[0] == 0
    (problem,) = folder.errors(*overrides, "training_module.loss.weight=-1.0")
    assert problem == "training_module.loss.coeffs.forces: must not be negative, got -1.0"
    problems = folder.errors(*overrides, "+training_module.model.do_derivatives=false")
    assert any("training_module.loss: needs forces, which an energy-only model" in text for text in problems)


def test_callbacks_are_made_in_the_check(folder):
    """So that what their constructors refuse is reported before data are read."""
    callbacks = (
        "{_target_: lightning.pytorch.callbacks.ModelCheckpoint, save_top_k: -2}, "
        "{_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val0_epoch/weighted_sum, mode: least}"
    )
    first, second = folder.errors(f"+trainer.callbacks=[{callbacks}]")
    assert first.startswith("trainer.callbacks.0: invalid options for ModelCheckpoint: Invalid value for save_top_k=-2")
    assert second.startswith(
        "trainer.callbacks.1: invalid options for EarlyStopping: `mode` can be min, max, got least"
    )
