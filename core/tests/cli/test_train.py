"""``equipot train``: golden messages of data and runs that cannot be used, one test for each promise."""

# ruff: noqa: E501 - messages are written here as users see them

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from equipot_test_support.water import ENERGY_ONLY, labelled


def test_element_without_type(folder):
    (text,) = folder.errors("chemical_symbols=[H,C]", command="train")
    assert text.startswith("model.type_names: the data contain elements without a type: O (first in ")


def test_label_missing(folder):
    folder.change_data(lambda atoms: labelled(atoms, energy=atoms.get_potential_energy()))
    problems = folder.errors(command="train")
    assert problems[0].startswith("training_module.loss: forces is in none of the 12 train frames")
    assert any(
        text.startswith("training_module.val_metrics: forces is in none of the 4 val0 frames") for text in problems
    )


def test_label_all_zero(folder):
    folder.change_data(lambda atoms: labelled(atoms, energy=atoms.get_potential_energy(), forces=np.zeros((3, 3))))
    text = folder.errors(command="train")[0]
    assert text.startswith("training_module.loss: forces is zero in all 12 train frames of more than one atom")


def test_label_with_nan(folder):
    folder.change_data(lambda atoms: labelled(atoms, energy=float("nan"), forces=atoms.get_forces()))
    text = folder.errors(command="train")[0]
    assert "total_energy is NaN or inf in " in text
    assert "water.extxyz" in text


def test_force_label_with_nan(folder):
    forces = np.zeros((3, 3))
    forces[1, 2] = np.nan
    folder.change_data(lambda atoms: labelled(atoms, energy=atoms.get_potential_energy(), forces=forces))
    (text,) = folder.errors(command="train")
    assert text.startswith("data.labels: forces is NaN or inf in water.extxyz, frame ")


def test_energies_alone_do_not_mind_what_the_forces_are(folder):
    forces = np.full((3, 3), np.nan)
    folder.change_data(lambda atoms: labelled(atoms, energy=atoms.get_potential_energy(), forces=forces))
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
    """It is evaluated in one smaller batch."""
    code, _, errors = folder.call("data.val_dataloader.batch_size=5", "run=[val]")
    assert code == 0, errors


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


# ------------------------------------------------------------------ the installed command


def _no_forces(folder):
    folder.change_data(lambda atoms: labelled(atoms, energy=atoms.get_potential_energy()))


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
    ("truncated file", _cut, [], "water.extxyz, frame 19 (line 96): is cut off: its last number"),
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
