"""The road from a config to results, in a folder whose name has a space."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ase.io import read, write

from equipot.containers import plain
from equipot.model._context import ModelInfo
from equipot.train._table import results_table
from equipot_test_support.mounts import mounted_tmpfs
from equipot_test_support.water import ENERGY_ONLY, labelled


def plain_only(value):
    """Whether a checkpoint entry is made of tensors and plain containers only."""
    if isinstance(value, dict):
        return type(value).__name__ in ("dict", "OrderedDict", "defaultdict") and all(
            plain_only(item) for item in value.values()
        )
    if type(value) in (list, tuple):
        return all(plain_only(item) for item in value)
    return value is None or type(value) in (bool, int, float, str) or isinstance(value, torch.Tensor)


def test_train_validate_and_test(folder):
    code, output, errors = folder.call("--output", "out 1", "trainer.max_epochs=3")
    assert code == 0, errors
    assert "Labels in the data" in output
    assert "per_atom_energy_mean: -3.3" in output
    assert "meV/atom" in output
    results = json.loads((folder.path / "out 1" / "results.json").read_text())
    assert list(results) == ["train", "val", "test"]
    assert results["test"]["test0_epoch/forces_mae"] > 0
    config = json.loads((folder.path / "out 1" / "config.json").read_text())
    assert set(config["training_module"]["model"]["per_type_energy_scales"]) == {"H", "O"}
    assert isinstance(config["training_module"]["model"]["avg_num_neighbors"], float)
    assert (folder.path / "out 1" / "best.ckpt").is_file()
    assert (folder.path / "out 1" / "last.ckpt").is_file()


def test_checkpoint_holds_tensors_and_plain_containers(folder):
    assert folder.call("--output", "out", "run=[train]")[0] == 0
    checkpoint = torch.load(folder.path / "out" / "last.ckpt", weights_only=True)
    assert plain_only(checkpoint)
    record = checkpoint["equipot"]
    assert record["format_version"] == 1
    assert record["weights"] == "ema"
    assert record["model"]["config"]["_target_"] == "equipot.model.InvariantModel"
    assert [one["name"] for one in record["model"]["modifiers"]] == ["enable_ForceStressOutput"]
    assert ModelInfo.from_dict(record["model"]["info"]).type_names == ("H", "O")
    assert record["training_config"]["training_module"]["model"]["avg_num_neighbors"] == 2.0
    assert {"equipot", "equipot-invariant", "torch"} <= record["versions"].keys()
    assert set(record["data"]["frames"]) == {"train", "val0", "test0"}
    assert record["data"]["labels"]["forces"]["key"] == "forces"
    assert record["data"]["mask_nan_labels"] is False
    prefixes = {key.split(".")[0] for key in checkpoint["state_dict"]}
    assert prefixes == {"model", "ema", "ema_updates"}


def test_validation_and_test_use_the_best_checkpoint(folder):
    """A learning rate that ruins the later epochs: best and last differ."""
    overrides = ["training_module.optimizer.lr=3.0", "~training_module.lr_scheduler", "trainer.max_epochs=4"]
    assert folder.call("--output", "out", *overrides)[0] == 0
    results = json.loads((folder.path / "out" / "results.json").read_text())
    name = "val0_epoch/weighted_sum"
    best = torch.load(folder.path / "out" / "best.ckpt", weights_only=True)["equipot"]["loop"]["metrics"][name]
    assert results["val"][name] == best
    assert results["val"][name] < results["train"][name]


def test_raw_module_stores_raw_weights(folder):
    assert (
        folder.call("--output", "out", "run=[train]", "training_module._target_=equipot.train.LightningModule")[0] == 0
    )
    checkpoint = torch.load(folder.path / "out" / "last.ckpt", weights_only=True)
    assert checkpoint["equipot"]["weights"] == "raw"
    assert {key.split(".")[0] for key in checkpoint["state_dict"]} == {"model"}


def test_checkpoint_callback_of_the_user_writes_into_the_output(folder):
    callback = "{_target_: lightning.pytorch.callbacks.ModelCheckpoint, monitor: val0_epoch/forces_mae, filename: mine}"
    assert folder.call("--output", "out", f"+trainer.callbacks=[{callback}]")[0] == 0
    assert (folder.path / "out" / "mine.ckpt").is_file()
    assert (folder.path / "out" / "best.ckpt").is_file()


def test_output_folder_by_default(folder):
    assert folder.call("run=[val]")[0] == 0
    (made,) = (folder.path / "outputs" / "config").iterdir()
    assert (made / "results.json").is_file()
    assert "train" not in json.loads((made / "results.json").read_text())


@pytest.mark.slow
def test_multirun(folder):
    code, _, errors = folder.call("--output", "sweep", "--multirun", "run=[val]", "training_module.model.seed=1,2")
    assert code == 0, errors
    results = [json.loads((folder.path / "sweep" / str(job) / "results.json").read_text()) for job in (0, 1)]
    assert results[0] != results[1]


@pytest.mark.slow
def test_multirun_stops_with_the_message_and_code_two(folder):
    (text,) = folder.errors(
        "--multirun", "trainer.max_epochs=1,many", "run=[val]", "--output", "sweep", command="train"
    )
    assert text == "trainer.max_epochs: must be an integer, got 'many'"


def test_energy_only_run_on_data_without_forces(folder):
    folder.change_data(lambda atoms: labelled(atoms, energy=atoms.get_potential_energy()))
    code, output, errors = folder.call("--output", "out", *ENERGY_ONLY)
    assert code == 0, errors
    assert "meV/atom" in output
    assert "meV/Å " not in output


def test_plain():
    import numpy as np

    class Text(str):
        __slots__ = ()

    value = plain({"a": (1, Text("x")), "b": np.float64(1.5), 3: [np.int64(2), np.bool_(True), None]})
    assert value == {"a": [1, "x"], "b": 1.5, "3": [2, True, None]}
    assert plain_only(value)


def test_table_converts_to_mev():
    metrics = {"val0_epoch/per_atom_energy_mae": 0.001, "val0_epoch/forces_rmse": 2.0, "val0_epoch/forces_mae": 1.0}
    metal = results_table({"val": metrics}, "metal")
    assert "1000" in metal
    assert "2000" in metal
    assert "meV/atom" in metal
    assert "meV/Å³" not in metal
    assert "43.36" in results_table({"val": metrics}, "real")
    assert results_table({"train": {"loss": 1.0}}, "metal") == ""


@pytest.mark.slow
def test_two_processes(folder):
    """DDP with gloo: both train, and the errors equal those that one process finds for the checkpoint."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = Path(sys.executable).with_name("torchrun")
    command = [
        torchrun,
        "--nproc-per-node",
        "2",
        "--master-port",
        str(port),
        "-m",
        "equipot._cli.main",
        "train",
        "config.yaml",
    ]
    done = subprocess.run(
        [*command, "+trainer.devices=2", "--output", "two"], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Labels in the data") == 1, "the first process speaks for all"
    two = json.loads((folder.path / "two" / "results.json").read_text())
    steps = torch.load(folder.path / "two" / "last.ckpt", weights_only=True)["global_step"]
    assert steps == 4  # 12 frames, 4 in a batch, 2 processes, 2 epochs
    allowed = ["--allow", "run", "--allow", "trainer.devices"]
    assert folder.call("run=[test]", "--resume", "two/best.ckpt", "--output", "one", *allowed)[0] == 0
    one = json.loads((folder.path / "one" / "results.json").read_text())
    assert one["test"] == pytest.approx(two["test"], rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("command", [["equipot", "train"], ["equipot-train"]], ids=" ".join)
def test_lightnings_launcher(folder, command):
    """The installed command, from another folder: two processes train as one does at the summed batch.

    13 frames in batches of 2: the last batch is smaller, and one process has none left; a third lacks forces.
    """
    frames = [
        labelled(atoms, energy=atoms.get_potential_energy(), **({"forces": atoms.get_forces()} if index % 3 else {}))
        for index, atoms in enumerate(read(folder.path / "water.extxyz", ":"))
    ]
    write(folder.path / "water.extxyz", frames)
    (folder.path / "elsewhere").mkdir()
    data = [f"data.split_dataset.file_path='{folder.path / 'water.extxyz'}'", "data.split_dataset.train=13"]
    data += ["data.split_dataset.test=3", "data.test_dataloader.batch_size=3"]
    code, _, errors = folder.call("--output", "one", *data)
    assert code == 0, errors
    two = [
        *data,
        "data.train_dataloader.batch_size=2",
        "+trainer.devices=2",
        "+trainer.strategy=ddp",
        "--output",
        "two",
    ]
    script = [str(Path(sys.executable).with_name(command[0])), *command[1:], str(folder.path / "config.yaml")]

    def train(*arguments):
        where = folder.path / "elsewhere"
        done = subprocess.run(
            [*script, *two, *arguments], cwd=where, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Labels in the data") == 1

    train("trainer.max_epochs=1")
    train("--resume", "two/last.ckpt", "--allow", "trainer.max_epochs")
    one, two = folder.path / "one", folder.path / "elsewhere" / "two"
    found, expected = (torch.load(run / "last.ckpt", weights_only=True) for run in (two, one))
    assert found["global_step"] == expected["global_step"] == 8
    for name, value in expected["state_dict"].items():
        torch.testing.assert_close(found["state_dict"][name], value, rtol=1e-12, atol=1e-13)
    found, expected = (json.loads((run / "results.json").read_text()) for run in (two, one))
    for stage, values in expected.items():
        assert found[stage] == pytest.approx(values, rel=1e-10)


@pytest.fixture
def noexec(tmp_path):
    """A file system from which nothing can be executed."""
    with mounted_tmpfs(tmp_path / "noexec", "50m,noexec") as path:
        yield path


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        {"HOME": "/proc/none"},
        pytest.param({"TMPDIR": "/proc/none"}, marks=pytest.mark.nightly),
        pytest.param({"TMPDIR": "noexec"}, marks=pytest.mark.nightly),
        pytest.param({"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}, marks=pytest.mark.nightly),
    ],
    ids=["no home", "no TMPDIR", "TMPDIR without programs", "ASCII"],
)
def test_environments_that_lack_something(folder, changed, request):
    """Training, and what comes before and after it."""
    if changed.get("TMPDIR") == "noexec":
        changed = {"TMPDIR": str(request.getfixturevalue("noexec"))}
    environment = {**os.environ, "EQUIPOT_CACHE_DIR": "", **changed}
    for command in (
        ["check", "config.yaml"],
        ["train", "config.yaml", "--output", "out"],
        ["package", "build", "out/best.ckpt", "model.equipot.zip"],
        ["eval", "model.equipot.zip", "water.extxyz", "--out", "errors"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "equipot._cli.main", *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), f"{command}: {done.stderr}"
    assert sorted(path.name for path in (folder.path / "out").glob("*.ckpt")) == ["best.ckpt", "last.ckpt"]
    assert (folder.path / "errors" / "metrics.json").is_file()
