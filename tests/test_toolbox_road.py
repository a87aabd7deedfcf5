"""Configs with the toolbox's parts, run and resumed from the command line on small water frames."""

import json
import os
import re
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
import yaml
from ase.io import write

from equipot._cli.main import main
from equipot_test_support.checkpoints import differences
from equipot_test_support.water import water_frames

CONFIG = """
run: [train, test]
data:
  _target_: equipot.data.ASEDataModule
  seed: 1
  split_dataset: {file_path: water.extxyz, train: 12, val: 4, test: 4}
  train_dataloader: {batch_size: 4}
trainer:
  _target_: lightning.Trainer
  max_epochs: 3
  accelerator: cpu
  enable_model_summary: false
  enable_progress_bar: false
  callbacks:
    - _target_: lightning.pytorch.callbacks.ModelCheckpoint
      filename: "step{step}"
      save_top_k: -1
      every_n_train_steps: 1
      auto_insert_metric_name: false
      enable_version_counter: false
CALLBACKS
training_module:
  _target_: MODULE
  loss: LOSS
  val_metrics: {_target_: equipot.train.EnergyForceMetrics}
  optimizer: OPTIMIZER
  model:
    _target_: equipot.model.InvariantModel
    seed: 1
    model_dtype: float64
    type_names: [H, O]
    r_max: 3.0
    avg_num_neighbors: 2.0
"""
"""Twelve frames in batches of four: steps 3, 6 and 9 end epochs."""

PARTS = {
    "MODULE": "equipot.train.EMALightningModule",
    "LOSS": "{_target_: equipot.train.EnergyForceLoss}",
    "OPTIMIZER": "{_target_: torch.optim.Adam, lr: 0.01}",
    "CALLBACKS": "",
}

SCHEDULES = """
- _target_: equipot_toolbox.LossCoefficientScheduler
  schedule: {1: {per_atom_energy_mse: 5.0, forces_mse: 1.0}}
- _target_: equipot_toolbox.LinearLossCoefficientScheduler
  final_coeffs: {per_atom_energy_mse: 0.0, forces_mse: 1.0}
  start_epoch: 1
  transition_epochs: 1
- {_target_: equipot_toolbox.LossCoefficientMonitor, interval: batch, frequency: 1}
- {_target_: equipot_toolbox.TrainingStatsMonitor, log_freq: 2}
- {_target_: equipot_toolbox.TF32Scheduler, schedule: {0: false, 1: true}}
"""
SOFTADAPT = "- {_target_: equipot_toolbox.SoftAdapt, beta: 1.1, interval: %s, frequency: %d}"
MANAGER = """
  _target_: equipot_toolbox.MetricsManager
  metrics:
    - field: {_target_: equipot.data.PerAtomModifier, field: total_energy}
      metric: {_target_: equipot_toolbox.HuberLoss, delta: 0.05}
      coeff: 1.0
    - field: forces
      metric: {_target_: equipot_toolbox.StratifiedHuberForceLoss, delta_dict: {0.0: 0.01, 0.5: 0.1}}
      coeff: 3.0
      per_type: true
      per_type_coeffs: {H: 2.0, O: 1.0}
    - field: forces
      metric: {_target_: torchmetrics.R2Score}
      name: forces_r2
"""
VARIANTS = {
    "schedules": {"CALLBACKS": SCHEDULES},
    "softadapt by epochs": {"CALLBACKS": SOFTADAPT % ("epoch", 1)},
    "softadapt by batches": {"CALLBACKS": SOFTADAPT % ("batch", 2)},
    "manager": {"LOSS": MANAGER},
    "config": {"MODULE": "equipot_toolbox.ConFIGLightningModule"},
    "ema config": {"MODULE": "equipot_toolbox.EMAConFIGLightningModule"},
    "schedule-free": {
        "MODULE": "equipot_toolbox.ScheduleFreeLightningModule",
        "OPTIMIZER": "{_target_: equipot_toolbox.AdamWScheduleFree, lr: 0.01, warmup_steps: 4}",
    },
    "muon": {
        "OPTIMIZER": "{_target_: equipot_toolbox.MuonWithAuxAdam, param_groups: {_target_: "
        "equipot_toolbox.MuonParamGroups, muon: {lr: 0.02, weight_decay: 1.0e-3}, adam: {lr: 0.01}}}"
    },
}
FAST = ("softadapt by epochs",)


def config_of(parts):
    text = CONFIG
    for key, value in {**PARTS, **parts}.items():
        lines = value.strip("\n")
        inner = "\n" + textwrap.indent(lines, "  ") if key == "LOSS" and "\n" in lines else lines
        text = text.replace(key, textwrap.indent(inner, "    ") if key == "CALLBACKS" else inner)
    return text


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Train in a folder with data; gives the output folder of a run with some parts."""
    write(tmp_path / "water.extxyz", water_frames())
    monkeypatch.chdir(tmp_path)

    def call(parts, output, *arguments):
        (tmp_path / "config.yaml").write_text(config_of(parts))
        code = main(["train", "config.yaml", "--output", output, *arguments])
        assert code == 0, capfd.readouterr().err
        return tmp_path / output

    return call


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in VARIANTS]
)
def test_resumed_equals_unbroken(run, name):
    """Within an epoch, and from the last batch of one, whose end the broken run did not come to."""
    parts = VARIANTS[name]
    whole = run(parts, "whole")
    for stop in (4, 6):
        resumed = run(parts, f"from{stop}", "--resume", f"whole/step{stop}.ckpt")
        assert differences(whole / "step9.ckpt", resumed / "step9.ckpt", toolbox=True) == [], f"resumed at {stop}"
    ours, theirs = (json.loads((one / "results.json").read_text()) for one in (whole, resumed))
    assert ours["test"] == theirs["test"]


def coefficients(path):
    return torch.load(path, weights_only=True)["equipot"]["loop"]["measures"]["loss"].get("coefficients")


def test_coefficients_follow_their_schedules(run):
    whole = run(VARIANTS["schedules"], "whole")
    assert coefficients(whole / "step3.ckpt") is None, "those of the config"
    assert coefficients(whole / "step6.ckpt") == pytest.approx({"per_atom_energy_mse": 5 / 6, "forces_mse": 1 / 6})
    assert coefficients(whole / "step9.ckpt") == {"per_atom_energy_mse": 0.0, "forces_mse": 1.0}


def test_wrong_schedules_are_told_before_data_are_read(tmp_path, monkeypatch, capfd):
    wrong = """
- _target_: equipot_toolbox.LossCoefficientScheduler
  schedule: {1: {forces_mse: 1.0}}
- _target_: equipot_toolbox.LinearLossCoefficientScheduler
  final_coeffs: {per_atom_energy_mse: 0.0, force_mse: 1.0}
  transition_epochs: 0
- {_target_: equipot_toolbox.SoftAdapt, beta: 1.1, interval: step}
- {_target_: equipot_toolbox.TF32Scheduler, schedule: {1: true}}
"""
    (tmp_path / "config.yaml").write_text(config_of({"CALLBACKS": wrong}))
    monkeypatch.chdir(tmp_path)
    assert main(["check", "config.yaml"]) == 2
    told = [line.removeprefix("error: trainer.callbacks.") for line in capfd.readouterr().err.splitlines()]
    assert [line.split(", got")[0] for line in told if line[1] == "."] == [
        "2.transition_epochs: must be greater than or equal to 1",
        "3.interval: must be 'batch' or 'epoch'",
        "4.schedule: must have epoch 0",
        "1.schedule.1: no weight for per_atom_energy_mse",
    ]


@pytest.mark.slow
def test_two_processes_find_the_coefficients_of_one(run, tmp_path):
    """Each takes half of every batch; types, labels and terms are as many in each half."""
    parts = {**VARIANTS["manager"], **VARIANTS["softadapt by batches"]}
    one = run(parts, "one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
    options = ["+trainer.devices=2", "+trainer.strategy=ddp", "data.train_dataloader.batch_size=2", "--output", "two"]
    done = subprocess.run(
        [*command, "-m", "equipot._cli.main", "train", "config.yaml", *options],
        capture_output=True, text=True, check=False, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert coefficients(tmp_path / "two/step9.ckpt") == pytest.approx(coefficients(one / "step9.ckpt"), rel=1e-12)


# ------------------------------------------------------------------ the page on the toolbox

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "toolbox.md"
SNIPPETS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def merged(base, extra):
    """A config with a snippet: mappings are joined, those with a target of their own replaced."""
    joined = dict(base)
    for key, value in extra.items():
        whole = not isinstance(value, dict) or not isinstance(base.get(key), dict)
        replaces = whole or (key != "training_module" and "_target_" in value)
        joined[key] = value if replaces else merged(base[key], value)
    return joined


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_shown_config_is_valid(snippet, tmp_path, monkeypatch, capfd):
    config = merged(yaml.safe_load(config_of({})), yaml.safe_load(snippet))
    config["run"] = ["train"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    assert main(["check", "config.yaml"]) == 0, capfd.readouterr().err


def test_page_shows_every_part():
    import equipot_toolbox

    shown = PAGE.read_text(encoding="utf-8")
    assert len(SNIPPETS) == 11
    parts = [name for name in equipot_toolbox.__all__ if name not in ("write_lmdb", "EnergyOnlyMetrics")]
    assert [name for name in parts if name not in shown and not name.endswith(("Metrics", "OnlyLoss"))] == []
