"""What a run says while it trains and at its end."""

import re

import pytest

from equipot.train import _progress
from equipot.train._progress import duration, errors


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (60, "1 min"), (3600, "1 h"), (86399, "23 h 59 min"), (200000, "2 d 7 h")]
)
def test_times(seconds, text):
    assert duration(seconds) == text


def test_errors_are_mean_absolute_ones_where_there_are_some():
    metrics = {"val0_epoch/forces_mae": 0.1, "val0_epoch/forces_rmse": 0.2, "val1_epoch/per_atom_energy_rmse": 0.003}
    assert errors(metrics, "metal") == ["val0 MAE forces 100 meV/Å", "val1 RMSE energy 3 meV/atom"]
    assert errors({"train_loss_epoch/forces_mse": 1.0}, "metal") == []


def test_lines_and_what_comes_next(folder, monkeypatch):
    monkeypatch.setattr(_progress, "PAUSE", 0.0)
    code, output, _ = folder.call("--output", "out", "trainer.max_epochs=3")
    assert code == 0
    lines = output.splitlines()
    epochs = [line for line in lines if line.startswith("epoch ")]
    line = (
        r"epoch {}/3  val0 MAE energy \S+ meV/atom, forces \S+ meV/Å  lr \S+  best 0\.\d+ \(epoch {}\)  memory \S+ GB"
    )
    assert [bool(re.match(line.format(number, number), text)) for number, text in enumerate(epochs, 1)] == [True] * 3
    assert re.search(r"  \d+ s left$", epochs[0])
    assert not epochs[2].endswith("left")
    out = folder.path / "out"
    assert re.fullmatch(rf"best epoch: 3 \(0\.\d+\), {re.escape(str(out))}/best\.ckpt", lines[-4])
    assert lines[-3:] == [
        f"last epoch: {out}/last.ckpt",
        f"results: {out}/results.json",
        f"next: equipot package build '{out}/best.ckpt' model.equipot.zip",
    ]
    logged = (out / "train.log").read_text(encoding="utf-8").splitlines()
    assert [text for text in logged if text.startswith("epoch ")] == epochs
    assert logged[-4:] == lines[-4:]


def test_few_lines_for_short_epochs(folder):
    """The first epoch and the last; the others are in metrics.csv."""
    code, output, _ = folder.call("--output", "out", "trainer.max_epochs=6", "run=[train]")
    assert code == 0
    numbers = [int(found) for found in re.findall(r"^epoch (\d+)/6 ", output, flags=re.MULTILINE)]
    assert numbers[0] == 1
    assert numbers[-1] == 6
    logged = (folder.path / "out/train.log").read_text(encoding="utf-8")
    assert [int(found) for found in re.findall(r"^epoch (\d+)/6 ", logged, flags=re.MULTILINE)] == numbers


class Trainer:
    """As much of a trainer as a line needs."""

    def __init__(self):
        self.max_epochs, self.max_steps, self.global_step, self.current_epoch = 1000, -1, 0, 0
        self.callback_metrics, self.optimizers, self.progress_bar_callback = {}, [], None


@pytest.mark.parametrize(("pause", "count"), [(0.0, 100), (1.0, 6), (60.0, 2)])
def test_twenty_epochs_in_a_second(tmp_path, monkeypatch, capsys, pause, count):
    clock = [0.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(_progress, "PAUSE", pause)
    lines, trainer = _progress.EpochLines(tmp_path, "metal", None), Trainer()
    lines.on_train_start(trainer, None)
    for epoch in range(100):
        clock[0] += 0.05
        trainer.current_epoch, trainer.global_step = epoch, 10 * (epoch + 1)
        lines.on_train_epoch_end(trainer, None)
    lines.on_train_end(trainer, None)
    lines.on_train_end(trainer, None)
    said = [int(text.split()[1].split("/")[0]) for text in capsys.readouterr().out.splitlines()]
    assert abs(len(said) - count) <= (pause == 1.0)
    assert (said[0], said[-1]) == (1, 100)
    assert [int(text.split()[1].split("/")[0]) for text in (tmp_path / "train.log").read_text().splitlines()] == said


def test_a_run_that_fails_says_how_far_it_came(tmp_path, capsys):
    lines, trainer = _progress.EpochLines(tmp_path, "metal", None), Trainer()
    lines.on_train_start(trainer, None)
    for epoch in range(3):
        trainer.current_epoch = epoch
        lines.on_train_epoch_end(trainer, None)
    lines.on_exception(trainer, None, KeyboardInterrupt())
    assert capsys.readouterr().out.splitlines()[-1].startswith("epoch 3/1000")
