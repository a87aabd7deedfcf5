"""Folders that a run writes into: what is refused, with which message."""

import argparse
import signal
from datetime import datetime, timezone

import pytest

from equipot._cli.common import run_command


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
    from equipot._cli import train

    class Clock:
        @staticmethod
        def now():
            return datetime(2026, 1, 31, 12, 0, 0, tzinfo=timezone.utc)

    monkeypatch.setattr(train, "datetime", Clock)
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


@pytest.fixture
def interrupted(monkeypatch):
    """Press Ctrl-C at a step; Lightning ignores further ones, which is undone."""
    from equipot.train import LightningModule

    def at(step):
        original = LightningModule.training_step

        def training_step(self, *args, **kwargs):
            if self.global_step == step:
                raise KeyboardInterrupt
            return original(self, *args, **kwargs)

        monkeypatch.setattr(LightningModule, "training_step", training_step)

    before = signal.getsignal(signal.SIGINT)
    yield at
    signal.signal(signal.SIGINT, before)


def test_interrupted_run_says_how_to_go_on(folder, interrupted, monkeypatch):
    interrupted(4)
    code, _, errors = folder.call("--output", "out")
    last = folder.path / "out" / "last.ckpt"
    assert (code, errors.splitlines()[-1]) == (130, f"interrupted; go on with: --resume '{last}'")
    monkeypatch.undo()
    monkeypatch.chdir(folder.path)
    code, _, errors = folder.call("--output", "out", "--resume", str(last))
    assert code == 0, errors


def test_interrupted_before_the_first_checkpoint(folder, interrupted):
    interrupted(1)
    code, _, errors = folder.call("--output", "out")
    assert (code, errors.splitlines()[-1]) == (130, "interrupted; no checkpoint was written yet")


def test_output_that_is_a_file(folder):
    assert folder.errors("--output", "config.yaml", command="train") == [
        "--output: cannot be written: File exists, got 'config.yaml'; choose another folder"
    ]


def test_override_without_a_key(folder):
    (text,) = folder.errors("=3")
    assert text.startswith("config.yaml: ")


def test_errors_of_the_file_system_are_messages(capsys, tmp_path):
    def command(_args):
        (tmp_path / "nowhere" / "file").open("w")

    assert run_command(command, argparse.Namespace()) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'nowhere' / 'file'}: No such file or directory\n"
