"""Resumes with options of the trainer that end, validate, step or save at unusual times."""

import shutil

import pytest

from equipot.train import LightningModule
from equipot_test_support.checkpoints import differences, saving

pytestmark = pytest.mark.slow

NO_SCHEDULE = "~training_module.lr_scheduler"
ENDLESS = ["trainer.max_epochs=3", "run=[train]"]


def schedule(folder, text):
    """Replace the scheduler of the config."""
    config = (folder.path / "config.yaml").read_text()
    start, end = config.index("  lr_scheduler:"), config.index("  model:")
    folder.write(f"{config[:start]}  lr_scheduler:\n    {text}\n{config[end:]}")


def equal(folder, *overrides, at="step4.ckpt", measures=True):
    """A run resumed from a file of the unbroken one ends as that does, results and measures included."""
    assert folder.call("--output", "whole", *overrides)[0] == 0
    code, _, errors = folder.call("--output", "rest", "--resume", f"whole/{at}", *overrides)
    assert code == 0, errors
    whole, rest = folder.path / "whole", folder.path / "rest"
    assert differences(whole / "last.ckpt", rest / "last.ckpt", toolbox=measures) == []
    if measures:
        assert (whole / "results.json").read_text() == (rest / "results.json").read_text()


def test_validation_by_the_clock_does_not_change_the_weights(folder):
    overrides = [*ENDLESS, NO_SCHEDULE, saving(1), "+trainer.val_check_interval={milliseconds: 5}"]
    assert folder.call("--output", "whole", *overrides)[0] == 0
    assert folder.call("--output", "rest", "--resume", "whole/step4.ckpt", *overrides)[0] == 0
    assert differences(folder.path / "whole" / "last.ckpt", folder.path / "rest" / "last.ckpt") == []
    assert (folder.path / "rest" / "best.ckpt").is_file()


@pytest.mark.parametrize("at", ["step3.ckpt", "step4.ckpt", "best.ckpt"])
def test_a_schedule_on_a_metric_that_steps_with_the_batches(folder, at):
    plateau = "{_target_: torch.optim.lr_scheduler.ReduceLROnPlateau, factor: 0.6, patience: 0, threshold: 0.5}"
    schedule(folder, f"scheduler: {plateau}\n    interval: step\n    monitor: train_loss_step/weighted_sum")
    equal(folder, *ENDLESS, saving(1), at=at)


@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_train_batch_end", "on_before_optimizer_step"])
def test_a_checkpoint_that_somebody_else_writes(folder, monkeypatch, hook):
    """At the beginning, the end and in the middle of the fifth step."""
    original = getattr(LightningModule, hook)

    def saves(self, *arguments):
        if self.global_step == 4 and self.trainer.ckpt_path is None:
            self.trainer.save_checkpoint(folder.path / "mine.ckpt")
        return original(self, *arguments)

    monkeypatch.setattr(LightningModule, hook, saves)
    measures = hook != "on_before_optimizer_step"  # where the batch is in the epoch's mean loss already
    equal(folder, *ENDLESS, NO_SCHEDULE, at="../mine.ckpt", measures=measures)


@pytest.mark.parametrize("at", ["best.ckpt", "last.ckpt", "step2.ckpt"])
def test_gradients_of_several_batches(folder, at):
    """Validation, and with it the best checkpoint, is after each batch, in the middle of a step as well."""
    overrides = ["+trainer.accumulate_grad_batches=2", "+trainer.val_check_interval=1", saving(2)]
    equal(folder, *ENDLESS, *overrides, at=at)


def test_several_validation_sets(folder):
    shutil.copy("water.extxyz", "more.extxyz")
    equal(folder, *ENDLESS, saving(4), "+data.val_file_path=[more.extxyz, water.extxyz]", "~data.split_dataset.val")
    assert "val1_epoch/forces_mae" in (folder.path / "rest" / "results.json").read_text()


@pytest.mark.parametrize(
    ("option", "first", "more"),
    [("max_steps", "4", "9"), ("max_time", "{milliseconds: 1}", "{hours: 1}"), ("max_epochs", "1", "3")],
)
def test_a_run_that_a_limit_ended_goes_on_to_more(folder, option, first, more):
    plain = ["run=[train]", "trainer.max_epochs=3"]
    assert folder.call("--output", "whole", *plain)[0] == 0
    sign = "" if option == "max_epochs" else "+"
    assert folder.call("--output", "part", *plain, f"{sign}trainer.{option}={first}")[0] == 0
    assert differences(folder.path / "whole" / "last.ckpt", folder.path / "part" / "last.ckpt") != []
    again = ["--resume", "auto", "--allow", f"trainer.{option}", f"{sign}trainer.{option}={more}"]
    code, _, errors = folder.call("--output", "part", *plain, *again)
    assert code == 0, errors
    assert differences(folder.path / "whole" / "last.ckpt", folder.path / "part" / "last.ckpt") == []


def test_a_run_that_is_done_is_evaluated_again(folder):
    assert folder.call("--output", "out")[0] == 0
    out = folder.path / "out"
    before = {name: (out / name).read_bytes() for name in ("best.ckpt", "last.ckpt", "results.json")}
    code, output, _ = folder.call("--output", "out", "--resume", "auto")
    assert (code, "epoch " in output.split("resuming")[1].split("best epoch")[0]) == (0, False)
    assert (out / "results.json").read_bytes() == before["results.json"]
    assert (out / "best.ckpt").read_bytes() == before["best.ckpt"]
