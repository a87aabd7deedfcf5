"""TensorBoard's files in the folder of a run, and what Weights & Biases is given."""

import importlib.util
from typing import ClassVar

import pytest
from lightning.pytorch.loggers.logger import Logger

pytestmark = pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="needs tensorboard")


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return found


@pytest.mark.slow
def test_a_run_logs_for_tensorboard_and_starts_again(folder):
    """The numbers are those of metrics.csv; a new run in the same folder does not mix with the old one."""
    options = ("trainer.max_epochs=2", "++trainer.logger=tensorboard", "run=[train]")
    for more in ((), ("--overwrite",)):
        code, _, error = folder.call("--output", "out", *options, *more)
        assert code == 0, error
        errors = events(folder.path / "out/tensorboard").Scalars("val0_epoch/forces_mae")
        assert len(errors) == 2
    text = (folder.path / "out/logs/metrics.csv").read_text(encoding="utf-8").splitlines()
    column = text[0].split(",").index("val0_epoch/forces_mae")
    logged = [float(value) for line in text[1:] if (value := line.split(",")[column])]
    assert [one.value for one in errors] == pytest.approx(logged, rel=1e-6)


def test_a_resumed_run_has_each_step_once(folder):
    assert folder.call("--output", "out", "trainer.max_epochs=1", "++trainer.logger=tensorboard", "run=[train]")[0] == 0
    resume = ("--resume", "auto", "--allow", "trainer.max_epochs", "trainer.max_epochs=3")
    code, _, error = folder.call("--output", "out", *resume, "++trainer.logger=tensorboard", "run=[train]")
    assert code == 0, error
    steps = [one.step for one in events(folder.path / "out/tensorboard").Scalars("val0_epoch/forces_mae")]
    assert len(steps) == len(set(steps)) == 3


class StandIn(Logger):
    """Stands for Weights & Biases: keeps what it is made with and what it is given."""

    made: ClassVar[list] = []

    def __init__(self, **options):
        super().__init__()
        self.options, self.metrics, self.ended = options, {}, ""
        self.made.append(self)

    name, version = "equipot", "1"

    def log_hyperparams(self, *_, **__):
        """Take them, and keep none."""

    def log_metrics(self, metrics, step=None):
        for name, value in metrics.items():
            self.metrics.setdefault(name, []).append((step, value))

    def finalize(self, status):
        self.ended = status


def test_a_run_logs_for_wandb_by_one_word(folder, monkeypatch):
    """In the project equipot, under the name of its folder, with files there, and the numbers of metrics.csv."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: find("json" if name == "wandb" else name, *rest)
    )
    monkeypatch.setattr("lightning.pytorch.loggers.WandbLogger", StandIn)
    monkeypatch.setattr(StandIn, "made", [])
    code, _, error = folder.call("--output", "out", "trainer.max_epochs=2", "++trainer.logger=wandb", "run=[train]")
    assert code == 0, error
    [logger] = StandIn.made
    assert logger.options == {"name": "out", "save_dir": folder.path / "out", "project": "equipot"}
    assert logger.ended == "success"
    text = (folder.path / "out/logs/metrics.csv").read_text(encoding="utf-8").splitlines()
    column = text[0].split(",").index("val0_epoch/forces_mae")
    logged = [float(value) for line in text[1:] if (value := line.split(",")[column])]
    assert [value for _, value in logger.metrics["val0_epoch/forces_mae"]] == pytest.approx(logged, rel=1e-6)
    assert len(logged) == 2


def test_a_package_that_is_missing_is_said_before_data_are_read(folder, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "wandb" else find(name, *rest))
    code, output, error = folder.call("--output", "out", "++trainer.logger=wandb")
    assert code == 2
    assert "error: trainer.logger: wandb needs the package wandb; pip install wandb" in error
    assert "Labels in the data" not in output
