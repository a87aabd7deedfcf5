import math
from pathlib import Path

import pytest
import torch

from equipot.errors import ConfigError
from equipot_parts.data import IgnoreLargeForces, TrajectoryDataModule
from equipot_parts.training import LogCoshForceLoss

CONFIG = Path(__file__).resolve().parents[1] / "config.yaml"
DATA = Path(__file__).resolve().parents[3] / "data/ethanol_pbe.extxyz"


def test_frames_are_strided_and_split_in_time():
    module = TrajectoryDataModule(1, file_path=str(DATA), stride=60, train=2)
    sets = module.read_sets()
    assert [place.rsplit(" ", 1)[1] for place in sets["train"].places] == ["0", "60"]
    assert [place.rsplit(" ", 1)[1] for place in sets["val0"].places] == ["120"]
    with pytest.raises(ConfigError, match="data.train: leaves none of the 3 frames, got 3"):
        TrajectoryDataModule(1, file_path=str(DATA), stride=60, train=3).read_sets()
    with pytest.raises(ConfigError, match="TrajectoryDataModule.stride: must be greater than or equal to 1, got 0"):
        TrajectoryDataModule(1, file_path=str(DATA), stride=0, train=3)


def test_large_forces_are_masked_and_nothing_else_changes():
    forces = torch.tensor([[3.0, 0.0, 0.0], [0.0, 3.0, 3.0]], dtype=torch.float64)
    frame = {"forces": forces, "total_energy": torch.ones(1)}
    masked = IgnoreLargeForces(4.0)(frame)
    assert masked["forces_mask"].tolist() == [True, False]
    assert "forces_mask" not in frame
    masked_before = {**frame, "forces_mask": torch.tensor([False, True])}
    assert IgnoreLargeForces(4.0)(masked_before)["forces_mask"].tolist() == [False, False]
    assert IgnoreLargeForces(4.0)({"total_energy": frame["total_energy"]}).keys() == {"total_energy"}


def test_log_cosh():
    loss = LogCoshForceLoss(scale=0.5)
    errors = torch.tensor([[0.1, -2.0, 500.0]], dtype=torch.float64)
    value = loss({"forces": errors}, {"forces": torch.zeros_like(errors)})["weighted_sum"].item()
    expected = (math.log(math.cosh(0.2)) + math.log(math.cosh(4.0)) + 1000.0 - math.log(2.0)) / 3
    assert value == pytest.approx(expected, rel=1e-12)
    assert loss.epoch_values()["weighted_sum"].item() == pytest.approx(expected, rel=1e-6)


def test_everything_in_one_run(tmp_path, monkeypatch):
    from equipot._cli.main import main

    monkeypatch.chdir(Path(__file__).resolve().parents[4])
    logger = f"+trainer.logger={{_target_: lightning.pytorch.loggers.CSVLogger, save_dir: {tmp_path}}}"
    assert main(["train", str(CONFIG), "--output", str(tmp_path / "run"), logger]) == 0
    assert (tmp_path / "run/best.ckpt").is_file()
    logged = next(tmp_path.rglob("metrics.csv")).read_text(encoding="utf-8")
    assert "frames_per_second" in logged
    assert "forces_log_cosh" in logged
