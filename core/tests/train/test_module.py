"""The Lightning modules in a Python loop: averages, schedules, what is refused."""

import functools
import threading

import lightning
import pytest
import torch

from equipot.errors import ConfigError, DataError
from equipot.graph import collate
from equipot.model import apply_modifier
from equipot.train import EMALightningModule, EnergyForceLoss, EnergyForceMetrics, EnergyOnlyLoss, LightningModule
from equipot.train._diagnose import not_finite

ADAM = functools.partial(torch.optim.Adam, lr=0.02)


def recipe(**options):
    from equipot.model import InvariantModel

    return InvariantModel(type_names=["H", "O"], r_max=3.0, model_dtype="float64", **options)


@pytest.fixture
def frames(folder):
    """Twelve labelled frames with neighbours."""
    from equipot.data import ASEDataModule

    data = ASEDataModule(1, train_file_path="water.extxyz", cache_dir=None)
    data.bind(recipe().info())
    return [data.dataset()[index] for index in range(12)]


def fit(module, frames, callbacks=(), **options):
    """Train on the frames, three in a batch."""
    batches = [collate(frames[start : start + 3]) for start in range(0, len(frames), 3)]
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_model_summary=False,
        inference_mode=False,
        num_sanity_val_steps=0,
        callbacks=list(callbacks),
        **{"logger": False, "enable_progress_bar": False, **options},
    )
    loaders = torch.utils.data.DataLoader(batches, batch_size=None)
    trainer.fit(module, loaders, [loaders] if module.val_metrics is not None else None)
    return trainer


class Weights(lightning.Callback):
    """The weights after each optimizer step."""

    def __init__(self):
        self.steps, self.seen = [], 0

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step != self.seen:
            self.seen = trainer.global_step
            self.steps.append([parameter.detach().clone() for parameter in pl_module.model.parameters()])


pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*logging interval.*", "ignore:.*Skipping val loop.*"
)


def test_heads_are_trained_on_their_labels(frames, heads_plugin):
    """A loss on what a head predicts reaches its weights and those of the features; their average follows."""
    model = apply_modifier(recipe(do_derivatives=False).build(), "add_Charges")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    labelled = [{**frame, "dipole": frame["positions"].sum(0, keepdim=True)} for frame in frames]
    loss = EnergyForceLoss(coeffs={"total_energy": 1.0, "dipole": 1.0})
    module = EMALightningModule(model, loss, optimizer=ADAM, ema_decay=0.3)
    fit(module, labelled)
    moved = {name for name, value in module.model.state_dict().items() if not torch.equal(value, before[name])}
    assert {"outputs.charges.scalars", "energy.weights", "energy.out"} <= moved
    averaged = module.evaluation_model.state_dict()["outputs.charges.scalars"]
    assert not torch.equal(averaged, module.model.state_dict()["outputs.charges.scalars"])


def test_a_label_that_no_head_predicts_is_refused(heads_plugin):
    loss = EnergyForceLoss(coeffs={"total_energy": 1.0, "dipole": 1.0})
    with pytest.raises(ConfigError, match="needs dipole, which the model does not predict"):
        LightningModule(recipe(), loss, optimizer=ADAM)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_average_of_the_weights(frames, accumulate):
    module = EMALightningModule(recipe(), EnergyForceLoss(), optimizer=ADAM, ema_decay=0.3)
    expected = [parameter.detach().clone() for parameter in module.model.parameters()]
    recorder = Weights()
    fit(module, frames, [recorder], accumulate_grad_batches=accumulate)
    assert len(recorder.steps) == int(module.ema_updates) == 8 // accumulate
    for number, weights in enumerate(recorder.steps):
        decay = min(0.3, (1 + number) / (10 + number))
        expected = [decay * average + (1 - decay) * current for average, current in zip(expected, weights, strict=True)]
    for average, value in zip(module.ema.parameters(), expected, strict=True):
        torch.testing.assert_close(average, value, rtol=1e-13, atol=1e-15)
        assert not average.requires_grad
    assert not torch.equal(next(module.ema.parameters()), next(module.model.parameters()))


def test_buffers_are_copied_not_averaged():
    module = EMALightningModule(recipe(per_type_energy_shifts=1.0), EnergyForceLoss(), optimizer=ADAM)
    module.model.scale_shift.shifts.fill_(7.0)
    module.update_average()
    assert module.ema.scale_shift.shifts.item() == 7.0


def test_validation_uses_the_average_and_leaves_the_weights_alone(frames):
    module = EMALightningModule(recipe(), EnergyForceLoss(), val_metrics=EnergyForceMetrics(), optimizer=ADAM)
    trainer = fit(module, frames)
    metrics = EnergyForceMetrics()
    for frame in frames:
        metrics.update(module.ema.eval()(frame), frame)
    logged = {key: float(value) for key, value in trainer.callback_metrics.items() if key.startswith("val0_epoch/")}
    assert logged == {f"val0_epoch/{key}": pytest.approx(float(value)) for key, value in metrics.epoch_values().items()}
    raw = EnergyForceMetrics()
    for frame in frames:
        raw.update(module.model.eval()(frame), frame)
    assert float(raw.epoch_values()["forces_mae"]) != pytest.approx(logged["val0_epoch/forces_mae"])


class Recorder:
    """Like a profiler: its method is a hook of every module, and it cannot be copied."""

    def __init__(self):
        self.lock = threading.Lock()

    def record(self, *_):
        """Do nothing."""


def test_metrics_that_a_profiler_hooks(frames):
    module = EMALightningModule(recipe(), EnergyForceLoss(), val_metrics=EnergyForceMetrics(), optimizer=ADAM)
    for one in module.modules():
        one.register_forward_hook(Recorder().record)
        one.register_forward_pre_hook(Recorder().record)
    assert "val0_epoch/forces_mae" in fit(module, frames).callback_metrics


def test_what_checkpoints_say_of_a_model_is_made_once(frames):
    module = LightningModule(recipe(), EnergyForceLoss(), val_metrics=EnergyForceMetrics(), optimizer=ADAM)
    fit(module, frames)

    def record():
        checkpoint = {}
        module.on_save_checkpoint(checkpoint)
        return checkpoint["equipot"]

    first = record()
    assert record()["model"] is first["model"]
    module.training_config = {"run": ["train"]}
    assert record()["training_config"] == {"run": ["train"]} != first["training_config"]


def test_gradients_are_dropped_by_the_optimizers_own_method_if_it_has_one(frames):
    called = []

    class Own(torch.optim.SGD):
        def zero_grad(self, set_to_none=True):
            called.append(set_to_none)
            super().zero_grad(set_to_none=set_to_none)

    module = LightningModule(recipe(), EnergyForceLoss(), optimizer=functools.partial(Own, lr=1e-4))
    trainer = fit(module, frames)
    assert len(called) >= trainer.global_step > 0


def test_logged_names(frames):
    module = LightningModule(recipe(), EnergyForceLoss(), EnergyForceMetrics(), EnergyForceMetrics(), optimizer=ADAM)
    logged = set(fit(module, frames).callback_metrics)
    terms = {"per_atom_energy_mse", "forces_mse", "weighted_sum"}
    assert logged >= {f"train_loss_{when}/{term}" for when in ("step", "epoch") for term in terms}
    assert {"val0_epoch/weighted_sum", "val0_epoch/forces_mae", "train_metric_epoch/forces_rmse"} <= logged


class Derived(torch.nn.Module):
    """The derivatives of a model; counts the calculations in training that have them."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.provides, self.calls = inner, inner.provides, 0

    def forward(self, *given):
        self.calls += self.training
        return self.inner(*given)


class AnyOutput(EnergyOnlyLoss):
    """A loss of which nobody knows what it reads."""

    predictions = None


@pytest.mark.parametrize("kind", [LightningModule, EMALightningModule])
def test_forces_that_nobody_reads_are_not_computed(frames, kind):
    weights, calls = [], []
    for loss, metrics in ((EnergyOnlyLoss(), None), (AnyOutput(), None), (EnergyOnlyLoss(), EnergyForceMetrics())):
        model = recipe(seed=3).build()
        model = model.replace(derivatives=Derived(model.derivatives))
        module = kind(model, loss, train_metrics=metrics, val_metrics=EnergyForceMetrics(), optimizer=ADAM)
        assert "val0_epoch/forces_mae" in fit(module, frames).callback_metrics
        weights.append([one.detach().clone() for one in module.evaluation_model.parameters()])
        calls.append(module.model.derivatives.calls)
    assert calls == [0, 8, 8]
    assert all(torch.equal(one, other) for one, other in zip(weights[0], weights[1], strict=True))
    assert all(torch.equal(one, other) for one, other in zip(weights[0], weights[2], strict=True))


def test_what_losses_and_metrics_read():
    assert EnergyOnlyLoss().predictions == ("total_energy",)
    assert set(EnergyForceLoss().predictions) == set(EnergyForceMetrics().predictions) == {"total_energy", "forces"}

    class Own(EnergyOnlyLoss):
        def forward(self, outputs, batch):
            return super().forward(outputs, batch)

    assert Own().predictions is None


class Shown(lightning.Callback):
    """What callbacks and a progress bar see after each step."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer, *_):
        self.steps.append(
            (
                float(trainer.callback_metrics["train_loss_step/weighted_sum"]),
                float(trainer.progress_bar_metrics.get("loss", "nan")),
            )
        )


class Logger(lightning.pytorch.loggers.logger.DummyLogger):
    """Keeps the values of steps."""

    def __init__(self):
        super().__init__()
        self.logged = {}

    def log_metrics(self, metrics, step):
        if "train_loss_step/weighted_sum" in metrics:
            self.logged[step] = metrics["train_loss_step/weighted_sum"]


class Bar(lightning.pytorch.callbacks.ProgressBar):
    """Counts as a progress bar that shows every third batch, and the last one."""

    is_enabled, refresh_rate = True, 3


def test_step_values_reach_callbacks_always_and_displays_when_due(frames):
    module = LightningModule(recipe(), EnergyForceLoss(), optimizer=ADAM)
    shown, logger = Shown(), Logger()
    fit(module, frames, [shown, Bar()], log_every_n_steps=4, enable_progress_bar=True, logger=logger)
    values, displayed = zip(*shown.steps, strict=True)
    assert len(set(values)) == len(values) == 8
    assert logger.logged == {step: pytest.approx(values[step], rel=1e-6) for step in (3, 7)}
    assert displayed[2:4] == pytest.approx(values[2:4], rel=1e-3)
    assert displayed[6:8] == pytest.approx(values[6:8], rel=1e-3)
    assert displayed[4:6] == (displayed[3], displayed[3])


def test_backward_reaches_exactly_what_full_backward_does(frames):
    module = LightningModule(recipe(per_type_energy_shifts_trainable=True), EnergyForceLoss(), optimizer=ADAM)
    batch = collate(frames[:3])

    class Alone:
        world_size = 1
        optimizers = (ADAM(module.model.parameters()),)

    gradients = []
    for backward in (module.backward, torch.Tensor.backward):
        module.zero_grad()
        module._trainer = Alone()  # type: ignore[assignment]
        backward(module.loss(module.model(batch), batch)["weighted_sum"])
        gradients.append([parameter.grad.clone() for parameter in module.model.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)


def test_frozen_parameters_stay(frames):
    module = LightningModule(recipe(), EnergyForceLoss(), optimizer=ADAM)
    module.model.energy.out.requires_grad_(requires_grad=False)
    before = {key: value.clone() for key, value in module.model.state_dict().items()}
    fit(module, frames)
    assert torch.equal(module.model.energy.out, before["energy.out"])
    assert not torch.equal(module.model.energy.weights, before["energy.weights"])


def test_energy_only_training_never_differentiates_positions(frames, monkeypatch):
    calls = []
    real = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **kwargs: (calls.append(args), real(*args, **kwargs))[1])
    from equipot.train import EnergyOnlyMetrics

    class NoForces(dict):
        def __getitem__(self, key):
            assert key != "forces"
            return super().__getitem__(key)

    options = {"val_metrics": EnergyOnlyMetrics(), "optimizer": ADAM}
    module = EMALightningModule(recipe(do_derivatives=False), EnergyOnlyLoss(), **options)
    batch = NoForces(collate(frames[:3]))
    module.loss(module.model(batch), batch)["weighted_sum"].backward()
    fit(module, frames)
    assert calls == []
    fit(LightningModule(recipe(), EnergyOnlyLoss(), **options), frames)
    assert calls != []


def test_schedule_by_epochs(frames):
    options = {"scheduler": functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.1), "frequency": 2}
    module = LightningModule(recipe(), EnergyForceLoss(), optimizer=ADAM, lr_scheduler=options)
    trainer = fit(module, frames)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.002)


def test_schedule_by_steps(frames):
    options = {"scheduler": functools.partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5), "interval": "step"}
    module = LightningModule(recipe(), EnergyForceLoss(), optimizer=ADAM, lr_scheduler=options)
    assert fit(module, frames).optimizers[0].param_groups[0]["lr"] == pytest.approx(0.02 * 0.5**8)


def test_schedule_on_plateau(frames):
    plateau = functools.partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=0, threshold=0.99, factor=0.1)
    options = {"scheduler": plateau, "monitor": "val0_epoch/forces_rmse"}
    module = LightningModule(
        recipe(), EnergyForceLoss(), val_metrics=EnergyForceMetrics(), optimizer=ADAM, lr_scheduler=options
    )
    assert fit(module, frames).optimizers[0].param_groups[0]["lr"] == pytest.approx(0.002)


def test_swapping_callbacks_are_refused(frames):
    module = EMALightningModule(recipe(), EnergyForceLoss(), optimizer=ADAM)
    with pytest.raises(ConfigError, match="StochasticWeightAveraging swaps the model's weights"):
        fit(module, frames, [lightning.pytorch.callbacks.StochasticWeightAveraging(swa_lrs=0.1)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: LightningModule(recipe(do_derivatives=False), EnergyForceLoss()),
            "needs forces, which the model does not predict",
        ),
        (
            lambda: EMALightningModule(recipe(), ema_decay=1.0),
            "EMALightningModule.ema_decay: must be less than 1, got 1.0",
        ),
        (lambda: LightningModule(recipe()).configure_optimizers(), "optimizer: required option is missing"),
    ],
)
def test_wrong_parts(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_message_names_step_and_frames(frames):
    batch = collate(frames[:4])
    outputs = {"total_energy": torch.zeros(4, dtype=torch.float64), "forces": torch.zeros(12, 3, dtype=torch.float64)}
    outputs["forces"][7, 1] = torch.nan
    terms = {"forces_mse": torch.tensor(torch.nan), "per_atom_energy_mse": torch.tensor(1.0)}
    text = not_finite(terms, outputs, batch, 41, 3)
    assert text.startswith("training step 41: the loss is not finite (forces_mse), got frames [2] of batch 3: H2O;")


def test_loss_that_is_not_finite_stops_the_run(frames):
    frames[4]["forces"][0, 0] = torch.nan
    with pytest.raises(
        DataError, match=r"training step 1: the loss is not finite \(forces_mse\), got frames \[1\] of batch 1: H2O"
    ):
        fit(LightningModule(recipe(), EnergyForceLoss(), optimizer=ADAM), frames)
