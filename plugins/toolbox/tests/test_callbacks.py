"""Callbacks: what coefficients become, SoftAdapt by hand, files of predictions, TF32, norms."""

import functools

import lightning
import numpy as np
import pytest
import torch
from ase.io import read

from equipot.errors import ConfigError
from equipot.train import EnergyForceLoss, EnergyForceMetrics, LightningModule
from equipot_toolbox import (
    EnergyForceStressLoss,
    LinearLossCoefficientScheduler,
    LossCoefficientMonitor,
    LossCoefficientScheduler,
    SoftAdapt,
    TestTimeXYZFileWriter,
    TF32Scheduler,
    TrainingStatsMonitor,
    ValTimeXYZFileWriter,
)
from equipot_toolbox._softadapt import softadapt_weights

SGD = functools.partial(torch.optim.SGD, lr=1e-3)


@pytest.fixture
def module(make_recipe):
    return LightningModule(make_recipe(), EnergyForceLoss({"total_energy": 1, "forces": 3}), optimizer=SGD)


class Seen(lightning.Callback):
    """Coefficients and terms of each batch."""

    def __init__(self):
        self.coefficients, self.terms = [], []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.coefficients.append(list(pl_module.loss.coefficients.values()))
        values = trainer.callback_metrics
        self.terms.append([float(values[f"train_loss_step/{name}"]) for name in pl_module.loss.coefficients])


def test_coefficients_are_set_at_the_start_of_epochs(module, fit):
    seen = Seen()
    schedule = {"1": {"per_atom_energy_mse": 1, "forces_mse": 1}, 2: {"forces_mse": 0, "per_atom_energy_mse": 7}}
    fit(module, [LossCoefficientScheduler(schedule), seen], max_epochs=4)
    expected = [[0.25, 0.75], [0.5, 0.5], [1.0, 0.0], [1.0, 0.0]]
    assert seen.coefficients == [one for one in expected for _ in range(4)]


def test_two_linear_ways_after_each_other(module, fit):
    seen = Seen()
    first = LinearLossCoefficientScheduler({"per_atom_energy_mse": 3, "forces_mse": 1}, 2, start_epoch=1)
    second = LinearLossCoefficientScheduler({"per_atom_energy_mse": 0, "forces_mse": 1}, 1, start_epoch=4)
    assert first.state_key != second.state_key
    fit(module, [first, second, seen], max_epochs=7)
    energy = [one[0] for one in seen.coefficients[::4]]
    assert energy == pytest.approx([0.25, 0.25, 0.5, 0.75, 0.75, 0.0, 0.0])
    assert seen.coefficients[::4] == seen.coefficients[3::4], "they stay the same within an epoch"


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (
            lambda: LossCoefficientScheduler({0: {"forces_mse": 1.0}}),
            "LossCoefficientScheduler.schedule.0: no weight for per_atom_energy_mse",
        ),
        (
            lambda: LinearLossCoefficientScheduler({"forces_mse": 1.0, "stress_mse": 1.0}, 1),
            "LinearLossCoefficientScheduler.final_coeffs.stress_mse: unknown name",
        ),
        (lambda: LossCoefficientScheduler({"first": {}}), "schedule: keys must be epochs, from 0, got .'first'"),
        (lambda: LossCoefficientScheduler({}), "keys must be epochs"),
        (lambda: TF32Scheduler({1: True}), "TF32Scheduler.schedule: must have epoch 0"),
    ],
)
def test_schedules_that_do_not_fit(module, fit, callback, message):
    with pytest.raises(ConfigError, match=message):
        fit(module, [callback()])


def test_loss_without_coefficients_is_told(make_recipe, fit):
    module = LightningModule(make_recipe(), None, optimizer=SGD)
    with pytest.raises(ConfigError, match="SoftAdapt: needs a loss with coefficients, got 'NoneType'"):
        fit(module, [SoftAdapt(1.0)])


class Rows(lightning.pytorch.loggers.Logger):
    """Keeps what is logged."""

    name = version = "rows"

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_hyperparams(self, *_, **__):
        """Nothing."""

    def log_metrics(self, metrics, step=None):
        self.rows.append({**metrics, "step": step})


@pytest.mark.parametrize(("interval", "frequency", "steps"), [("batch", 2, [0, 2, 4, 6]), ("epoch", 2, [3, 11])])
def test_coefficients_are_logged(module, fit, interval, frequency, steps):
    rows = Rows()
    schedule = LossCoefficientScheduler({1: {"per_atom_energy_mse": 1, "forces_mse": 1}})
    epochs = {"batch": 2, "epoch": 3}[interval]
    monitor = LossCoefficientMonitor(interval, frequency)
    fit(module, [monitor, schedule], max_epochs=epochs, log_every_n_steps=1, logger=rows)
    found = {
        row["step"]: row["loss_coefficient/forces_mse"] for row in rows.rows if "loss_coefficient/forces_mse" in row
    }
    assert {step: found[step] for step in steps} == pytest.approx({step: 0.75 if step < 4 else 0.5 for step in steps})
    assert interval == "batch" or list(found) == steps


def softadapt_by_hand(terms, base, beta, frequency):
    """Coefficients of each interval, from the terms of all of them."""
    coefficients, weights, current = [], [], base / base.sum()
    for number, values in enumerate(terms):
        coefficients.append(current)
        if number:
            slopes = values - terms[number - 1]
            powers = np.exp(beta * slopes / (np.linalg.norm(slopes) + 1e-8))
            weights.append(powers / powers.sum())
        if len(weights) == frequency:
            mean = base * np.mean(weights, axis=0)
            current, weights = mean / mean.sum(), []
    return np.array(coefficients)


@pytest.mark.parametrize("frequency", [1, 2, 3])
def test_softadapt_by_batches(module, fit, frequency):
    seen = Seen()
    fit(module, [SoftAdapt(1.1, "batch", frequency), seen], max_epochs=3)
    expected = softadapt_by_hand(np.array(seen.terms), np.array([1.0, 3.0]), 1.1, frequency)
    np.testing.assert_allclose(seen.coefficients, expected, rtol=1e-10)
    assert not module.loss._forward_hooks, "the loss is left as it was"


def test_softadapt_by_epochs(module, fit):
    """Terms of an epoch are sums over its entries; energies and forces have as many in each batch."""
    seen = Seen()
    fit(module, [SoftAdapt(1.1, "epoch", 1), seen], max_epochs=5)
    terms = np.array(seen.terms).reshape(5, 4, 2).mean(axis=1)
    expected = softadapt_by_hand(terms, np.array([1.0, 3.0]), 1.1, 1)
    np.testing.assert_allclose(seen.coefficients[::4], expected, rtol=1e-8)


def test_softadapt_weighs_slow_terms_more():
    before, now = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([0.1, 0.9, 1.0])
    weights = softadapt_weights(now, before, beta=1.0)
    assert float(weights.sum()) == pytest.approx(1.0)
    assert weights.argsort().tolist() == [0, 1, 2]
    np.testing.assert_allclose(softadapt_weights(now, before, beta=0.0), 1 / 3, rtol=1e-6)


def test_tf32_is_set_by_epoch_and_put_back(module, fit):
    class Flags(lightning.Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_end(self, trainer, *_):
            self.seen.append(torch.backends.cuda.matmul.allow_tf32)
            if len(self.seen) == 11:
                raise RuntimeError("stop")

    before, flags = torch.backends.cuda.matmul.allow_tf32, Flags()
    with pytest.raises(RuntimeError, match="stop"):
        fit(module, [TF32Scheduler({0: True, "1": False, 2: True}), flags], max_epochs=4)
    assert flags.seen == [True] * 4 + [False] * 4 + [True] * 3
    assert torch.backends.cuda.matmul.allow_tf32 == before


def test_norms_of_weights_gradients_and_states(make_recipe, fit):
    adam = functools.partial(torch.optim.Adam, lr=1e-3)
    module = LightningModule(make_recipe(), EnergyForceLoss(), optimizer=adam)

    class Weights(lightning.Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            weights = pl_module.model.energy.weights
            states = optimizer.state[weights]
            average = states.get("exp_avg", torch.zeros(1))
            self.expected = [float(one.norm()) for one in (weights.detach(), weights.grad, average)]

    expected = Weights()
    trainer = fit(module, [TrainingStatsMonitor(log_freq=1), expected], max_epochs=1, log_every_n_steps=1)
    names = [f"{kind}_norm/energy.weights" for kind in ("weight", "gradient", "exp_avg")]
    assert [float(trainer.callback_metrics[name]) for name in names] == pytest.approx(expected.expected)


# ------------------------------------------------------------------ files of predictions


@pytest.fixture
def predicting(make_recipe):
    return LightningModule(make_recipe(), EnergyForceLoss(), val_metrics=EnergyForceMetrics(), optimizer=SGD)


def assert_predictions(path, module, batches):
    """Energies, forces and stress in a file are the model's, labels those of the data."""
    from equipot.graph import split

    written = read(path, ":")
    labelled = [frame for batch in batches for frame in split(batch)]
    predicted = [frame for batch in batches for frame in split({**batch, **module(batch)})]
    assert len(written) == 12
    for atoms, label, frame in zip(written, labelled, predicted, strict=True):
        np.testing.assert_allclose(atoms.get_potential_energy(), float(frame["total_energy"].detach()), atol=1e-7)
        np.testing.assert_allclose(atoms.get_forces(), frame["forces"].detach(), atol=1e-7)
        np.testing.assert_allclose(atoms.get_stress(voigt=False), frame["stress"][0].detach(), atol=1e-7)
        np.testing.assert_allclose(atoms.positions, label["positions"], atol=1e-7)
        np.testing.assert_allclose(atoms.cell.array, label["cell"][0], atol=1e-7)
        assert str(atoms.symbols) == "OH2"
        np.testing.assert_allclose(atoms.arrays["original_dataset_forces"], label["forces"], atol=1e-7)
        assert atoms.info["original_dataset_total_energy"] == pytest.approx(float(label["total_energy"]), abs=1e-7)
        assert ("original_dataset_stress" in atoms.info) == bool(label["stress_mask"]), "absent labels are absent"


FIELDS = ["total_energy", "forces", "stress"]


def test_predictions_for_each_test_set_replace_old_files(predicting, fit, batches, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/test_dataset0.xyz").write_text("old")
    for _ in range(2):
        fit(predicting, [TestTimeXYZFileWriter(str(tmp_path / "out/test"), FIELDS)], stage="test")
        for number in range(2):
            assert_predictions(tmp_path / f"out/test_dataset{number}.xyz", predicting, batches)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["test_dataset0.xyz", "test_dataset1.xyz"]


def test_predictions_of_chosen_epochs(predicting, fit, batches, tmp_path):
    writer = ValTimeXYZFileWriter(
        str(tmp_path / "val"), FIELDS, ["atomic_energy"], ["O", "H"], separate_file_per_epoch=True, every_n_epochs=2
    )
    fit(predicting, [writer], max_epochs=4)
    files = sorted(path.name for path in tmp_path.glob("val*"))
    assert files == ["val_dataset0_epoch0.xyz", "val_dataset0_epoch2.xyz"]
    atoms = read(tmp_path / files[1], 0)
    assert str(atoms.symbols) == "HO2", "symbols by type, as given"
    assert atoms.calc.results["energies"].sum() == pytest.approx(atoms.get_potential_energy())
    np.testing.assert_array_equal(atoms.arrays["atomic_energy"], atoms.calc.results["energies"])


def test_a_broken_evaluation_leaves_no_file(predicting, fit, tmp_path):
    class Breaks(lightning.Callback):
        def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
            if dataloader_idx:
                raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fit(predicting, [TestTimeXYZFileWriter(str(tmp_path / "test")), Breaks()], stage="test")
    assert list(tmp_path.glob("*test*.xyz*")) == []


def test_fields_that_are_nowhere(predicting, fit, tmp_path):
    with pytest.raises(ConfigError) as caught:
        fit(predicting, [TestTimeXYZFileWriter(str(tmp_path / "test"), ["virial"], ["total_charge"])], stage="test")
    assert caught.value.problems == [
        "TestTimeXYZFileWriter.extra_fields: is not predicted by the model, got 'total_charge'",
        "TestTimeXYZFileWriter.output_fields_from_original_dataset: is not in the data, got 'virial'",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out_file": "a.xyz"}, "TestTimeXYZFileWriter.out_file: must have no suffix, got 'a.xyz'"),
        ({"out_file": "a", "extra_fields": ["edge_forces"]}, "extra_fields: unknown field, got 'edge_forces'"),
        (
            {"out_file": "a", "output_fields_from_original_dataset": ["force"]},
            "output_fields_from_original_dataset: unknown field, got 'force'; did you mean 'forces'",
        ),
    ],
)
def test_options_of_writers_that_are_wrong(options, message):
    with pytest.raises(ConfigError, match=message):
        TestTimeXYZFileWriter(**options)


def test_terms_can_be_switched_on_later(make_recipe, fit):
    loss = EnergyForceStressLoss({"total_energy": 1.0, "forces": 1.0, "stress": 0.0})
    module = LightningModule(make_recipe(), loss, optimizer=SGD)
    seen = Seen()
    final = {"per_atom_energy_mse": 1.0, "forces_mse": 1.0, "stress_mse": 2.0}
    fit(module, [LinearLossCoefficientScheduler(final, 1), seen], max_epochs=2)
    assert seen.coefficients[::4] == [[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]]
