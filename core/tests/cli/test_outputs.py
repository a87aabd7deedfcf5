"""Folders that a run writes into: what is refused, with which message."""

import os
import signal
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import click
import pytest
import yaml

from equipot._cli.common import run


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt", "results.json", "multirun.yaml"])
def test_a_run_is_not_overwritten(folder, name):
    (folder.path / "done").mkdir()
    (folder.path / "done" / name).write_text("mine")
    assert folder.errors("--output", "done", command="train") == [
        f"--output: the folder holds a run already ({name}), got 'done'; choose another folder, or add --overwrite"
    ]
    assert [file.name for file in (folder.path / "done").iterdir()] == [name]


def test_overwrite(folder):
    (folder.path / "done").mkdir()
    (folder.path / "done" / "results.json").write_text("mine")
    code, _, errors = folder.call("--output", "done", "--overwrite", "run=[val]")
    assert code == 0, errors
    assert "val0_epoch/" in (folder.path / "done" / "results.json").read_text()


def test_runs_of_the_same_second_have_folders_of_their_own(folder, monkeypatch):
    from equipot._cli import outputs

    class Clock:
        @staticmethod
        def now():
            return datetime(2026, 1, 31, 12, 0, 0, tzinfo=timezone.utc)

    monkeypatch.setattr(outputs, "datetime", Clock)
    for _ in range(2):
        assert folder.call("run=[val]")[0] == 0
    made = sorted((folder.path / "outputs" / "config").iterdir())
    assert [path.name for path in made] == ["2026-01-31_12-00-00", "2026-01-31_12-00-00_2"]
    assert [(path / "results.json").is_file() for path in made] == [True, True]


def test_a_wrong_config_leaves_no_folder(folder):
    assert folder.errors("+data.sed=1", command="train")
    assert not (folder.path / "outputs").exists()


def test_output_folder_that_cannot_be_made(folder):
    (folder.path / "outputs").write_text("a file")
    assert folder.errors(command="train") == [
        "outputs/config: cannot be written: Not a directory; choose another folder with --output"
    ]


def test_interrupted_run_says_how_to_go_on(folder, monkeypatch):
    """Ctrl-C in the fifth step, the second of an epoch, ends the run after it."""
    from equipot.train import LightningModule

    original = LightningModule.training_step

    def training_step(self, *args, **kwargs):
        if self.global_step == 4:
            signal.raise_signal(signal.SIGINT)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(LightningModule, "training_step", training_step)
    code, _, errors = folder.call("--output", "out")
    last = folder.path / "out" / "last.ckpt"
    assert (code, errors.splitlines()[-1]) == (130, f"interrupted by SIGINT; go on with: --resume '{last}'")
    code, _, errors = folder.call("--output", "out", "--resume", str(last))
    assert code == 0, errors


def test_output_that_is_a_file(folder):
    assert folder.errors("--output", "config.yaml", command="train") == [
        "--output: cannot be written: File exists, got 'config.yaml'; choose another folder"
    ]


def test_output_folder_with_a_pipe(folder):
    """Writing to it would wait without end."""
    (folder.path / "run").mkdir()
    os.mkfifo(folder.path / "run" / "train.log")
    for flag in ("--overwrite", "--resume=auto"):
        (message,) = folder.errors("--output", "run", flag, command="train")
        assert message.startswith("--output: the folder holds a pipe or device (train.log)")


def test_override_without_a_key(folder):
    (text,) = folder.errors("=3")
    assert text.startswith("config.yaml: ")


def test_errors_of_the_file_system_are_messages(capsys, tmp_path):
    @click.command
    def command():
        (tmp_path / "nowhere" / "file").open("w")

    assert run(command, "equipot", []) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'nowhere' / 'file'}: No such file or directory\n"


# ------------------------------------------------------------------- one run, one composition


def counted(monkeypatch, owner, name):
    """Count the calls of a method."""
    calls, original = [], getattr(owner, name)

    def call(*args, **kwargs):
        calls.append(name)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, call)
    return calls


@pytest.fixture
def calls(monkeypatch):
    """Compositions by Hydra, and checks."""
    from equipot.config._check import _Check
    from equipot.config._load import Loader

    return counted(monkeypatch, Loader, "load_configuration"), counted(monkeypatch, _Check, "run")


def test_a_run_composes_and_checks_its_config_once(folder, calls):
    code, _, errors = folder.call("--output", "out", "run=[val]", "hydra.job.name=mine", "+trainer.devices=1")
    assert code == 0, errors
    assert tuple(map(len, calls)) == (1, 1)
    made = folder.path / "out" / ".hydra"
    assert (made / "overrides.yaml").read_text() == "- run=[val]\n- +trainer.devices=1\n"
    assert "max_epochs:" in (made / "config.yaml").read_text()
    written = yaml.safe_load((made / "hydra.yaml").read_text())
    assert written["hydra"]["runtime"]["output_dir"] == str(made.parent)
    assert (made.parent / "mine.log").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["-m", "hydra.mode=MULTIRUN"])
def test_runs_of_a_sweep_are_checked_one_by_one(folder, calls, flag):
    code, _, errors = folder.call(flag, "--output", "out", "run=[val]", "data.seed=1,2")
    assert code == 0, errors
    assert len(calls[1]) == 2
    for number in "01":
        assert (folder.path / "out" / number / "results.json").is_file()
        assert (folder.path / "out" / number / "train.log").is_file()


def test_a_sweep_without_its_flag_is_refused(folder):
    (text,) = folder.errors("run=[val]", "data.seed=1,2", command="train")
    hint = "add --multirun to your command line, or write a list as key=[1,2]"
    assert text == f"override 'data.seed=1,2': has several values; {hint}"


def test_a_typo_in_a_sweep_is_found_before_it_starts(folder):
    assert folder.errors("-m", "trainer.max_epoch=1,2", command="train") == [
        (
            "config.yaml: Could not override 'trainer.max_epoch'; To append to your config use +trainer.max_epoch=1; "
            "did you mean 'trainer.max_epochs'?"
        )
    ]
    assert not (folder.path / "multirun").exists()


def test_a_wrong_value_later_in_a_sweep_is_one_message(folder):
    (folder.path / "size").mkdir()
    (folder.path / "size" / "small.yaml").write_text("# @package data\nseed: 3\n")
    code, _, errors = folder.call("-m", "+size=small,large", "run=[val]")
    assert code == 2
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("error: config.yaml: In 'config': Could not find 'size/large'")


def test_the_config_may_choose_and_use_the_output_folder(folder):
    text = (folder.path / "config.yaml").read_text()
    folder.write(text + "hydra: {run: {dir: 'runs/${data.seed}-${hydra:job.name}'}}\n")
    code, _, errors = folder.call("run=[val]", "+trainer.default_root_dir=${hydra:runtime.output_dir}", "data.seed=7")
    assert code == 0, errors
    made = folder.path / "runs" / "7-train"
    assert f'"default_root_dir": "{made}"' in (made / "config.json").read_text()


def test_flags_of_hydra_show_the_config(folder):
    code, output, errors = folder.call("--cfg=job", "--package=trainer", "trainer.max_epochs=77")
    assert (code, errors) == (0, "")
    assert "max_epochs: 77" in output


@pytest.mark.slow
@pytest.mark.parametrize("command", [["equipot-train"], ["equipot", "train"]])
def test_lightnings_launcher_starts_the_command_again(folder, command):
    """The further process has the arguments of the first, and writes into the same folder."""
    arguments = ["config.yaml", "+trainer.devices=2", "+trainer.strategy=ddp", "++trainer.accelerator=cpu"]
    done = subprocess.run(
        [Path(sys.executable).with_name(command[0]), *command[1:], *arguments, "trainer.max_epochs=1"],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (made,) = (folder.path / "outputs" / "config").iterdir()
    names = {file.name for file in made.iterdir()}
    assert {".hydra", "best.ckpt", "results.json", "train.log", "train_ddp_process_1.log"} <= names
