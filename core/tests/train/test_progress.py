"""What a run says while it trains and at its end."""

import re

import pytest

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


def test_a_line_for_each_epoch_and_what_comes_next(folder):
    code, output, _ = folder.call("--output", "out", "trainer.max_epochs=3")
    assert code == 0
    lines = output.splitlines()
    epochs = [line for line in lines if line.startswith("epoch ")]
    line = r"epoch {}/3  val0 MAE energy \S+ meV/atom, forces \S+ meV/Å  lr \S+  best 0\.\d+ \(epoch {}\)"
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
