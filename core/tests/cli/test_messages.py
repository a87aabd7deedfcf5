"""Golden messages and exit codes of bad input, one test for each promise."""

# ruff: noqa: E501, ISC004 - messages stand here as users see them

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ZBL = "{_target_: equipot.pair_potentials.ZBL, units: real, chemical_species: [H, O]}"

CHECKS = [
    ("unknown key", ["+dta=1"], "dta: unknown key; did you mean 'data'?"),
    ("unknown option", ["+data.sed=1"], "data.sed: unknown option; did you mean 'seed'?"),
    (
        "unknown option of a model",
        ["+training_module.model.num_chanels=3"],
        "training_module.model.num_chanels: unknown option; did you mean 'num_channels'?",
    ),
    (
        "unknown option of the trainer",
        ["+trainer.max_epoch=3"],
        "trainer.max_epoch: unknown option; did you mean 'max_epochs'?",
    ),
    ("wrong type", ["training_module.model.seed=1.5"], "training_module.model.seed: must be an integer, got 1.5"),
    ("range", ["cutoff_radius=-1.0"], "training_module.model.r_max: must be greater than 0, got -1.0"),
    (
        "choice",
        ["training_module.model.model_dtype=float16"],
        "training_module.model.model_dtype: must be 'float32' or 'float64', got 'float16'",
    ),
    ("ema range", ["+training_module.ema_decay=1.0"], "training_module.ema_decay: must be less than 1, got 1.0"),
    (
        "missing plugin",
        ["training_module.model._target_=equipot.model.CubeModel"],
        "training_module.model._target_: no model builder named 'CubeModel'; installed: [",
    ),
    (
        "missing plugin, its own path",
        ["training_module.model._target_=equipot_cube.CubeModel"],
        "training_module.model._target_: is not on the list of allowed targets, got 'equipot_cube.CubeModel'; "
        "no installed plugin has the package 'equipot_cube'; pip install equipot-cube",
    ),
    (
        "shift of a type that is none",
        ["training_module.model.per_type_energy_shifts={H: -1.0, O: -2.0, C: -3.0}"],
        "training_module.model.per_type_energy_shifts.C: unknown type name; type names: H, O",
    ),
    (
        "type without a shift",
        ["training_module.model.per_type_energy_shifts={H: -1.0}"],
        "training_module.model.per_type_energy_shifts: no value for the types ['O'], got {'H': -1.0}; "
        "give one for each of ['H', 'O']",
    ),
    (
        "readout that shifts isolated atoms",
        [
            "training_module.model._target_=equipot.model.NequIPGNNModel",
            "+training_module.model.readout_mlp_nonlinearity=softplus",
        ],
        "training_module.model.readout_mlp_nonlinearity: softplus is not 0 at 0, so an isolated atom would not get "
        "exactly its energy shift; use one of silu, mish, gelu, ssp, tanh",
    ),
    (
        "unknown statistic",
        ["training_module.model.avg_num_neighbors='${training_data_stats:num_neighbours_mean}'"],
        "training_module.model.avg_num_neighbors: unknown statistic, got 'num_neighbours_mean'; "
        "did you mean 'num_neighbors_mean'?",
    ),
    (
        "statistic in a text",
        ["training_module.model.avg_num_neighbors='x${training_data_stats:num_neighbors_mean}'"],
        "training_module.model.avg_num_neighbors: a statistic cannot be part of a longer text, "
        "got 'x${training_data_stats:num_neighbors_mean}'; write ${training_data_stats:NAME} alone",
    ),
    (
        "statistic of the wrong type",
        ["training_module.model.avg_num_neighbors='${training_data_stats:per_type_forces_rms}'"],
        "training_module.model.avg_num_neighbors: must be a number, got {'H': 1.0, 'O': 1.0}",
    ),
    (
        "unknown interpolation",
        ["training_module.model.type_names='${chemical_symbol}'"],
        "training_module.model.type_names: unknown interpolation, got '${chemical_symbol}'; did you mean 'chemical_symbols'?",
    ),
    (
        "units",
        [f"+training_module.model.pair_potential={ZBL}"],
        "training_module.model.pair_potential.units: must equal data.units = 'metal', got 'real'",
    ),
    (
        "r_max mismatch",
        ["+data.transforms=[{_target_: equipot.data.transforms.NeighborListTransform, r_max: 3.0}]"],
        "data.transforms.0.r_max: differs from the model's r_max = 4.0, got 3.0",
    ),
    (
        "forces without derivatives",
        ["+training_module.model.do_derivatives=false"],
        "training_module.loss: needs forces, which an energy-only model does not predict; use an EnergyOnly class, or do_derivatives: true",
    ),
    (
        "monitor of the schedule",
        ["training_module.lr_scheduler.monitor=val0_epoch/weigthed_sum"],
        "training_module.lr_scheduler.monitor: unknown metric, got 'val0_epoch/weigthed_sum'; did you mean 'val0_epoch/weighted_sum'?",
    ),
    (
        "monitor of a set that is not there",
        ["training_module.lr_scheduler.monitor=val1_epoch/weighted_sum"],
        "training_module.lr_scheduler.monitor: unknown metric, got 'val1_epoch/weighted_sum'",
    ),
    (
        "monitor of a checkpoint",
        ["+trainer.callbacks=[{_target_: lightning.pytorch.callbacks.ModelCheckpoint, monitor: val0_epoch/force_mae}]"],
        "trainer.callbacks.0.monitor: unknown metric, got 'val0_epoch/force_mae'; did you mean 'val0_epoch/forces_mae'?",
    ),
    (
        "weight swapping",
        ["+trainer.callbacks=[{_target_: lightning.pytorch.callbacks.StochasticWeightAveraging, swa_lrs: 0.1}]"],
        "trainer.callbacks.0: swaps the model's weights, got 'StochasticWeightAveraging'",
    ),
    (
        "inference mode",
        ["+trainer.inference_mode=true"],
        "trainer.inference_mode: is always False, got True; remove it",
    ),
    ("stage", ["run=[train,tset]"], "run.1: unknown stage, got 'tset'; did you mean 'test'?"),
    (
        "loss name",
        ["+training_module.loss.coeffs.force=1"],
        "training_module.loss.coeffs.force: unknown name; did you mean 'forces'?",
    ),
    (
        "plateau without monitor",
        ["~training_module.lr_scheduler.monitor"],
        "training_module.lr_scheduler.monitor: ReduceLROnPlateau needs a metric to monitor; for example val0_epoch/weighted_sum",
    ),
    ("required section", ["~trainer"], "trainer: required section is missing"),
    ("override without value", ["data.seed"], "override 'data.seed': "),
    (
        "override of nothing",
        ["data.seeed=1"],
        "Could not override 'data.seeed'; To append to your config use +data.seeed=1; did you mean 'data.seed'?",
    ),
    (
        "override with new keys",
        ["data.train_dataloader={max_atoms: 30}"],
        "to give it keys that it does not have, write ++data.train_dataloader={…}",
    ),
    (
        "value that an optimizer refuses",
        ["training_module.optimizer.lr=-1"],
        "training_module.optimizer: invalid options for Adam: Invalid learning rate: -1",
    ),
    (
        "value that a scheduler refuses",
        ["training_module.lr_scheduler.scheduler.factor=2.0"],
        "training_module.lr_scheduler.scheduler: invalid options for ReduceLROnPlateau: Factor should be < 1.0.",
    ),
    ("no loss", ["~training_module.loss"], "training_module.loss: required option is missing; run has 'train'"),
    (
        "target outside the allow list",
        ["training_module.optimizer._target_=os.system"],
        "training_module.optimizer._target_: is not on the list of allowed targets, got 'os.system'; allowed are "
        "equipot, installed plugins and torch.optim, torch.nn, lightning, torchmetrics; if you trust it: --allow-target os",
    ),
    (
        "kind of section",
        ["trainer._target_=lightning.pytorch.callbacks.Timer", "~trainer.max_epochs"],
        "trainer._target_: must be a Trainer, got 'lightning.pytorch.callbacks.timer.Timer'",
    ),
]

ENERGY_ONLY = [
    "+training_module.model.do_derivatives=false",
    "training_module.loss={_target_: equipot.train.EnergyOnlyLoss}",
    "~training_module.loss.coeffs",
    "training_module.val_metrics={_target_: equipot.train.EnergyOnlyMetrics}",
    "~training_module.val_metrics.coeffs",
    "data.stats_manager._target_=equipot.data.EnergyOnlyDataStatisticsManager",
    "training_module.model.per_type_energy_scales='${training_data_stats:per_atom_energy_std}'",
]


@pytest.mark.usefixtures("missing_plugin")
@pytest.mark.parametrize(("overrides", "message"), [pytest.param(*case[1:], id=case[0]) for case in CHECKS])
def test_check_finds(folder, overrides, message):
    assert any(message in text for text in folder.errors(*overrides)), folder.errors(*overrides)


def test_check_passes_what_is_right(folder):
    code, output, errors = folder.call(command="check")
    assert (code, output, errors) == (0, "config.yaml: ok (train val test; InvariantModel)\n", "")


def test_all_problems_come_at_once(folder):
    overrides = ["+data.sed=1", "cutoff_radius=-1.0", "+trainer.max_epoch=3", "training_module.optimizer.lr=fast"]
    code, _, text = folder.call(*overrides, command="check")
    assert code == 2
    places = [line.removeprefix("error: ").split(":")[0] for line in text.splitlines() if line.startswith("error: ")]
    assert places == ["data.sed", "trainer.max_epoch", "training_module.optimizer.lr", "training_module.model.r_max"]
    assert text.splitlines()[-1] == "4 errors"


def test_check_reads_no_data(folder):
    (folder.path / "water.extxyz").unlink()
    assert folder.call(command="check")[0] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: [train", "config.yaml:1: not valid YAML: "),
        ("run: 1\nrun: 2\n", "config.yaml:2: not valid YAML: found duplicate key run"),
        ("- 1\n", "config.yaml: must be a mapping"),
        ("", "config.yaml: must be a mapping"),
    ],
    ids=["syntax", "duplicate", "list", "empty"],
)
def test_bad_yaml(folder, text, message):
    folder.write(text)
    assert folder.errors()[0].startswith(message)


def test_no_config_file(folder):
    (folder.path / "config.yaml").unlink()
    assert folder.errors() == ["config.yaml: no such config file; the first argument is the path of a YAML file"]


# ------------------------------------------------------------------------------ with data


def _rewrite(folder, change):
    from ase.io import read, write

    frames = read(folder.path / "water.extxyz", ":")
    write(folder.path / "water.extxyz", [change(atoms) for atoms in frames])


def _labels(atoms, **labels):
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


def test_element_without_type(folder):
    (text,) = folder.errors("chemical_symbols=[H,C]", command="train")
    assert text.startswith("model.type_names: the data contain elements without a type: O (first in ")


def test_label_missing(folder):
    _rewrite(folder, lambda atoms: _labels(atoms, energy=atoms.get_potential_energy()))
    problems = folder.errors(command="train")
    assert problems[0].startswith("training_module.loss: forces is in none of the 12 train frames")
    assert any(
        text.startswith("training_module.val_metrics: forces is in none of the 4 val0 frames") for text in problems
    )


def test_label_all_zero(folder):
    _rewrite(folder, lambda atoms: _labels(atoms, energy=atoms.get_potential_energy(), forces=np.zeros((3, 3))))
    text = folder.errors(command="train")[0]
    assert text.startswith("training_module.loss: forces is zero in all 12 train frames of more than one atom")


def test_label_with_nan(folder):
    _rewrite(folder, lambda atoms: _labels(atoms, energy=float("nan"), forces=atoms.get_forces()))
    text = folder.errors(command="train")[0]
    assert "total_energy is NaN or inf in " in text
    assert "water.extxyz" in text


def test_force_label_with_nan(folder):
    forces = np.zeros((3, 3))
    forces[1, 2] = np.nan
    _rewrite(folder, lambda atoms: _labels(atoms, energy=atoms.get_potential_energy(), forces=forces))
    (text,) = folder.errors(command="train")
    assert text.startswith("data.labels: forces is NaN or inf in water.extxyz, frame ")


def test_energies_alone_do_not_mind_what_the_forces_are(folder):
    forces = np.full((3, 3), np.nan)
    _rewrite(folder, lambda atoms: _labels(atoms, energy=atoms.get_potential_energy(), forces=forces))
    code, output, errors = folder.call("--output", "out", "trainer.max_epochs=1", *ENERGY_ONLY)
    assert code == 0, errors
    assert "meV/atom" in output


def test_split_that_rounds_to_nothing(folder):
    assert folder.errors("data.split_dataset={file_path: water.extxyz, train: 0.5, val: 0.01}", command="train") == [
        "data.split_dataset.val: gives an empty set out of 20 frames, got 0.01"
    ]


def test_split_of_more_frames_than_there_are(folder):
    (text,) = folder.errors("data.split_dataset.train=19", command="train")
    assert text.startswith("data.split_dataset: wants 27 frames, the files have 20, got ")


def test_batch_larger_than_the_validation_set(folder):
    assert folder.errors("data.val_dataloader.batch_size=5", command="train") == [
        "data.val_dataloader.batch_size: is larger than the val set of 4 frames, got 5; make it smaller"
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "water.extxyz: is empty"),
        ("rubbish\n", "water.extxyz, frame 0 (line 1): must start with the number of atoms, got 'rubbish'"),
        ("3\nenergy=1\nH 0 0 0\n", "water.extxyz, frame 0 (line 1): is cut off: 1 of 3 atoms; write the file again"),
    ],
    ids=["empty", "rubbish", "cut off"],
)
def test_data_file_that_cannot_be_read(folder, content, message):
    (folder.path / "water.extxyz").write_text(content)
    (text,) = folder.errors(command="train")
    assert text.startswith(message)


def _start_from(folder, package):
    text = (folder.path / "config.yaml").read_text()
    model = f"  model: {{_target_: equipot.model.ModelFromPackage, package_path: {package}}}\n"
    unused = ("cutoff_radius:", "chemical_symbols:")
    kept = [line for line in text[: text.index("  model:")].splitlines(True) if not line.startswith(unused)]
    folder.write("".join(kept) + model)


def test_package_that_is_not_there(folder):
    _start_from(folder, "none.equipot.zip")
    assert folder.errors() == ["training_module.model.package_path: none.equipot.zip: there is no such file"]


def test_truncated_package(folder, package_file):
    (folder.path / "cut.equipot.zip").write_bytes(package_file.read_bytes()[:-400])
    _start_from(folder, "cut.equipot.zip")
    (text,) = folder.errors()
    assert text.startswith("training_module.model.package_path: cut.equipot.zip: cannot be read as a zip file")


def test_empty_split(folder):
    assert folder.errors("data.split_dataset.val=0", command="train")[0].startswith(
        "data.split_dataset.val: must be greater than 0, got 0"
    )


def test_batch_larger_than_the_set(folder):
    (text,) = folder.errors("data.train_dataloader.batch_size=13", command="train")
    assert text.startswith("data.train_dataloader.batch_size: is larger than the train set of 12 frames, got 13")


def test_no_data_file(folder):
    (folder.path / "water.extxyz").unlink()
    (text,) = folder.errors(command="train")
    assert "water.extxyz: no such file" in text


def test_truncated_data_file(folder):
    file = folder.path / "water.extxyz"
    file.write_bytes(file.read_bytes()[:-60])
    assert "water.extxyz" in folder.errors(command="train")[0]


def test_loss_that_is_not_finite(folder):
    (text,) = folder.errors("training_module.optimizer.lr=1e200", command="train")
    assert text.startswith(
        "training step 1: the loss is not finite (per_atom_energy_mse), got frames [0, 1, 2, 3] of batch 1: H2O, H2O, H2O, H2O"
    )
    assert text.endswith("; lower the learning rate, or look at these frames")


def test_truncated_checkpoint(folder):
    (folder.path / "broken.ckpt").write_bytes(b"PK\x03\x04 nothing")
    (text,) = folder.errors("--resume", "broken.ckpt", command="train")
    assert "broken.ckpt: cannot be read as a checkpoint" in text


def test_allow_needs_resume(folder):
    assert folder.errors("--allow", "seed", command="train") == [
        "--allow: is only valid together with --resume, got ['seed']"
    ]


def test_options_that_nobody_has(folder):
    assert folder.errors("--resum", "x.ckpt", command="train") == ["--resum: unknown option; did you mean '--resume'?"]
    assert folder.errors("--allow-targets=mine") == [
        "--allow-targets=mine: unknown option; did you mean '--allow-target'?"
    ]


# ------------------------------------------------------------------ the installed command


def _no_forces(folder):
    _rewrite(folder, lambda atoms: _labels(atoms, energy=atoms.get_potential_energy()))


def _cut(folder):
    file = folder.path / "water.extxyz"
    file.write_bytes(file.read_bytes()[:-60])


INSTALLED = [
    ("unknown key", None, ["+data.sed=1"], "data.sed: unknown option; did you mean 'seed'?"),
    ("type", None, ["training_module.model.seed=1.5"], "training_module.model.seed: must be an integer, got 1.5"),
    (
        "missing plugin",
        None,
        ["training_module.model._target_=equipot.model.CubeModel"],
        "training_module.model._target_: no model builder named 'CubeModel'; installed: ",
    ),
    (
        "r_max",
        None,
        ["+data.transforms=[{_target_: equipot.data.transforms.NeighborListTransform, r_max: 3.0}]"],
        "data.transforms.0.r_max: differs from the model's r_max = 4.0, got 3.0",
    ),
    (
        "target",
        None,
        ["training_module.optimizer._target_=os.system"],
        "training_module.optimizer._target_: is not on the list of allowed targets, got 'os.system'",
    ),
    (
        "element",
        None,
        ["chemical_symbols=[H,C]"],
        "model.type_names: the data contain elements without a type: O (first in ",
    ),
    ("label", _no_forces, [], "training_module.loss: forces is in none of the 12 train frames"),
    ("split", None, ["data.split_dataset.val=0"], "data.split_dataset.val: must be greater than 0, got 0"),
    (
        "batch",
        None,
        ["data.train_dataloader.batch_size=13"],
        "data.train_dataloader.batch_size: is larger than the train set of 12 frames, got 13",
    ),
    ("truncated file", _cut, [], "water.extxyz: cannot be read beyond frame 19"),
    ("loss", None, ["training_module.optimizer.lr=1e200"], "training step 1: the loss is not finite"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "overrides", "message"), [pytest.param(*case[1:], id=case[0]) for case in INSTALLED]
)
def test_the_installed_command_says_so_and_exits_with_two(folder, change, overrides, message):
    if change is not None:
        change(folder)
    command = [Path(sys.executable).with_name("equipot-train"), "config.yaml", *overrides]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert any(line.startswith(f"error: {message}") for line in done.stderr.splitlines()), done.stderr
    assert "Traceback" not in done.stderr
