"""Fine-tuning from the command line: every part of the plugin in one config, trained, resumed and packaged."""

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from equipot.artifacts import load_model, read_checkpoint, read_manifest
from equipot_test_support.checkpoints import differences

CONFIG = """
run: [train, val, test]
data:
  _target_: equipot_finetune.ReplayDataModule
  seed: 1
  stats_manager: {_target_: equipot.data.CommonDataStatisticsManager}
  train_file_path: new.extxyz
  val_file_path: [new_val.extxyz, old_val.extxyz]
  test_file_path: [new_val.extxyz, old_val.extxyz]
  replay_file_path: old.extxyz
  replay_frames: 4
  replay_weight: 0.5
  train_dataloader: {batch_size: 3}
trainer:
  max_epochs: 2
  accelerator: cpu
  enable_progress_bar: false
  callbacks:
    - _target_: lightning.pytorch.callbacks.ModelCheckpoint
      filename: "step{step}"
      save_top_k: -1
      every_n_train_steps: 1
      auto_insert_metric_name: false
      enable_version_counter: false
training_module:
  loss: {coeffs: {total_energy: 1.0, forces: 1.0}}
  optimizer: {_target_: equipot_finetune.LowRankAdam, lr: 0.01, rank: 2, full: ["*embedding*"]}
  model:
    _target_: equipot.model.modify
    modifiers:
      - {modifier: freeze_Parts, parts: [energy.layers.0]}
    model:
      _target_: equipot_finetune.ModelWithNewTypes
      type_names: [H, C, O, S]
      like: {S: O}
      per_type_energy_shifts: "${training_data_stats:per_type_energy_shifts_auto}"
      model: {_target_: equipot.model.ModelFromPackage, package_path: PACKAGE}
"""
SHIFTS = {"H": -13.6, "C": -1029.0, "O": -2042.0, "S": -10831.0}


def frames(names, count, seed):
    random = np.random.default_rng(seed)
    made = []
    for index in range(count):
        atoms = molecule(names[index % len(names)])
        atoms.set_initial_magnetic_moments(None)
        atoms.positions += random.normal(scale=0.05, size=atoms.positions.shape)
        energy = sum(SHIFTS[one] for one in atoms.get_chemical_symbols()) - 4.0 * len(atoms) + random.normal(scale=0.1)
        forces = random.normal(size=atoms.positions.shape)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        made.append(atoms)
    return made


@pytest.fixture
def folder(tmp_path, monkeypatch, package):
    """Frames with sulfur, and old ones without."""
    monkeypatch.chdir(tmp_path)
    new = ("CH3SH", "SH2", "OCS", "H2O")
    for name, molecules, count, seed in (
        ("new", new, 5, 1), ("new_val", new, 4, 2), ("old", ("CH3OH", "H2O"), 8, 3), ("old_val", ("CH3OH",), 3, 4)
    ):  # fmt: skip
        write(f"{name}.extxyz", frames(molecules, count, seed))
    (tmp_path / "config.yaml").write_text(CONFIG.replace("PACKAGE", package), encoding="utf-8")
    return tmp_path


def parts(state):
    return {name: value for name, value in state.items() if name.startswith("energy.layers.0.")}


@pytest.mark.slow
def test_fine_tuning_from_the_command_line(folder, package, equipot):
    code, _, errors = equipot("check", "config.yaml")
    assert code == 0, errors
    code, _, errors = equipot("train", "config.yaml", "--output", "whole")
    assert code == 0, errors
    # A resumed run equals the unbroken one bit for bit, with the factors of the optimizer.
    code, _, errors = equipot("train", "config.yaml", "--output", "resumed", "--resume", "whole/step2.ckpt")
    assert code == 0, errors
    assert differences(folder / "whole" / "step6.ckpt", folder / "resumed" / "step6.ckpt") == []
    # What is frozen stays bit for bit, in the averaged model too.
    old = parts(load_model(package).state_dict())
    for weights in ("ema", "raw"):
        new = parts(read_checkpoint(folder / "whole" / "last.ckpt", weights).state)
        assert old.keys() == new.keys()
        assert all(torch.equal(new[name], value) for name, value in old.items())
    # Changes of the other matrices have the rank.
    raw, before = read_checkpoint(folder / "whole" / "last.ckpt", "raw").state, load_model(package).state_dict()
    changed = "energy.layers.1.linear_1.weights.0e"
    values = torch.linalg.svdvals((raw[changed] - before[changed]).double())
    assert float(values[1]) > 0.0
    assert float(values[2]) < 1e-5 * float(values[0])
    # The file needs nothing of the plugin.
    assert equipot("package", "build", "whole/best.ckpt", "tuned.equipot.zip")[0] == 0
    manifest = read_manifest(folder / "tuned.equipot.zip")
    assert manifest.model["type_names"] == ["H", "C", "O", "S"]
    assert "finetune" not in (folder / "tuned.equipot.zip").read_bytes().decode("latin-1")
    assert equipot("eval", "tuned.equipot.zip", "new_val.extxyz", "--no-automatic-modifiers")[0] == 0


@pytest.mark.slow
def test_the_shift_of_a_new_type_is_told_in_the_check(folder, equipot):
    text = (folder / "config.yaml").read_text(encoding="utf-8")
    line = '      per_type_energy_shifts: "${training_data_stats:per_type_energy_shifts_auto}"\n'
    for wrong, message in (
        ("      per_type_energy_shifts: {O: 1.0}\n", "no value for the types ['S']"),
        ("", "training_module.model.model.per_type_energy_shifts: required option is missing"),
    ):
        (folder / "wrong.yaml").write_text(text.replace(line, wrong), encoding="utf-8")
        code, _, errors = equipot("check", "wrong.yaml")
        assert code == 2
        assert message in errors
