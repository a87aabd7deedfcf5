"""Checkpoints are whole or not there, and the best one is never lost."""

import math
import shutil
import subprocess

import pytest
import torch

from equipot.errors import ArtifactError, DataError
from equipot.train._checkpoints import AtomicCheckpoints, _held, best_record
from equipot_test_support.checkpoints import differences
from equipot_test_support.mounts import mounted_tmpfs

RUINED = ["training_module.optimizer.lr=3.0", "~training_module.lr_scheduler"]


@pytest.fixture
def small(tmp_path):
    """A file system that is soon full."""
    with mounted_tmpfs(tmp_path / "small", "400k") as path:
        yield path


def remount(path, options):
    subprocess.run(["mount", "-o", f"remount,{options}", path], check=True)


def at_step(monkeypatch, step, deed):
    """Do something when a training comes to a step."""
    from equipot.train import LightningModule

    original = LightningModule.training_step

    def training_step(self, *args, **kwargs):
        if self.global_step == step:
            deed()
        return original(self, *args, **kwargs)

    monkeypatch.setattr(LightningModule, "training_step", training_step)


def test_a_full_disk_leaves_the_old_file(small):
    writer = AtomicCheckpoints(small)
    writer.save_checkpoint({"a": torch.ones(1000)}, small / "last.ckpt")
    with pytest.raises(ArtifactError) as error:
        writer.save_checkpoint({"a": torch.ones(1_000_000)}, small / "last.ckpt")
    what = "cannot be written: No space left on device; make room; files that were there are whole"
    assert str(error.value) == f"{small / 'last.ckpt'}: {what}"
    assert torch.equal(writer.load_checkpoint(small / "last.ckpt")["a"], torch.ones(1000))
    assert [path.name for path in small.iterdir()] == ["last.ckpt"]


def test_a_best_one_that_is_not_due_is_written_before_the_next_file(tmp_path):
    writer = AtomicCheckpoints(tmp_path)
    best, last, weights = tmp_path / "best.ckpt", tmp_path / "last.ckpt", torch.ones(2)
    writer.save_checkpoint({"step": 1}, best)
    writer.save_checkpoint({"step": 1}, last)
    writer._due = math.inf
    writer.save_checkpoint({"step": 2, "weights": weights}, best)
    weights.zero_()
    assert writer.load_checkpoint(best) == {"step": 1}
    writer.save_checkpoint({"step": 3}, last)
    found = writer.load_checkpoint(best)
    assert (found["step"], found["weights"].tolist()) == (2, [1.0, 1.0])  # as they were then
    writer.flush()
    assert writer.load_checkpoint(best)["step"] == 2
    assert writer.load_checkpoint(last) == {"step": 3}


def test_what_waits_in_memory_is_a_whole_copy():
    state = torch.nn.Linear(1, 1).state_dict()
    rows = [[1, "a"], (state["bias"], None), {2}]
    held = _held({"state": state, "rows": rows})
    expected = {key: value.clone() for key, value in state.items()}
    rows[0].append(2)
    rows[2].add(3)
    for value in state.values():
        value.zero_()
    assert type(held["state"]) is type(state)
    assert held["state"]._metadata == state._metadata
    assert all(torch.equal(held["state"][key], value) for key, value in expected.items())
    assert held["rows"] == [[1, "a"], (expected["bias"], None), {2}]


@pytest.mark.slow
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_epochs_that_take_no_time_are_not_all_written(folder, monkeypatch, ends):
    """The last and the best one are there at the end; after an error the last one is of an epoch before."""
    written = []
    original = AtomicCheckpoints._write
    monkeypatch.setattr("equipot.train._checkpoints.PAUSE", 1e6)
    monkeypatch.setattr(
        AtomicCheckpoints, "_write", lambda self, *given: (written.append(given[1].name), original(self, *given))
    )
    if ends == "badly":

        def fail():
            raise DataError("not today")

        at_step(monkeypatch, 10, fail)
        folder.errors("--output", "out", "trainer.max_epochs=4", command="train")
    else:
        assert folder.call("--output", "out", "trainer.max_epochs=4")[0] == 0
    out = folder.path / "out"
    assert written == ["best.ckpt", "last.ckpt", "best.ckpt", *(["last.ckpt"] if ends == "well" else [])]
    assert best_record(out / "best.ckpt")["epoch"] > 0
    last = torch.load(out / "last.ckpt", weights_only=True)
    assert last["global_step"] == (12 if ends == "well" else 3)


@pytest.mark.slow
def test_the_disk_is_full_during_a_run(folder, small, monkeypatch):
    def fill():
        with (small / "filling").open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(b"0" * 512)
                except OSError:
                    break

    at_step(monkeypatch, 4, fill)
    (text,) = folder.errors("--output", str(small / "run"), command="train")
    assert "cannot be written: No space left on device; make room; files that were there are whole" in text
    assert torch.load(small / "run" / "last.ckpt", weights_only=True)["global_step"] == 3
    (small / "filling").unlink()
    monkeypatch.undo()
    monkeypatch.chdir(folder.path)
    assert folder.call("--output", str(small / "run"), "--resume", "auto")[0] == 0


def test_a_read_only_folder_leaves_the_old_file(small):
    writer = AtomicCheckpoints(small)
    writer.save_checkpoint({"a": 1}, small / "last.ckpt")
    remount(small, "ro")
    try:
        with pytest.raises(ArtifactError) as error:
            writer.save_checkpoint({"a": 2}, small / "last.ckpt")
    finally:
        remount(small, "rw")
    what = "cannot be written: Read-only file system; choose an existing folder that you can write to"
    assert str(error.value) == f"{small / 'last.ckpt'}: {what}"
    assert writer.load_checkpoint(small / "last.ckpt") == {"a": 1}


def test_the_folder_is_removed_during_a_run(folder, monkeypatch):
    run = folder.path / "run"
    at_step(monkeypatch, 4, lambda: shutil.rmtree(run))
    (text,) = folder.errors("--output", "run", command="train")
    assert text.endswith(
        ": cannot be written: No such file or directory; choose an existing folder that you can write to"
    )
    assert not run.exists()


def test_further_checkpoints_may_be_in_folders_of_their_own(folder):
    callback = "{_target_: lightning.pytorch.callbacks.ModelCheckpoint, dirpath: out/each, save_top_k: -1}"
    assert folder.call("--output", "out", f"+trainer.callbacks=[{callback}]")[0] == 0
    assert len(list((folder.path / "out" / "each").iterdir())) == 2


def test_best_and_last_are_there_with_any_callbacks(folder):
    callback = "{_target_: lightning.pytorch.callbacks.ModelCheckpoint, every_n_train_steps: 1000, filename: '{step}'}"
    assert folder.call("--output", "out", f"+trainer.callbacks=[{callback}]", "trainer.max_epochs=1")[0] == 0
    assert sorted(path.name for path in (folder.path / "out").glob("*.ckpt")) == ["best.ckpt", "last.ckpt"]


def test_without_validation_the_best_one_is_the_newest(folder):
    assert folder.call("--output", "out", "run=[train]", "+trainer.limit_val_batches=0", *RUINED)[0] == 0
    out = folder.path / "out"
    assert best_record(out / "best.ckpt") == {"score": None, "epoch": 1, "step": 6, "file": "best.ckpt"}
    assert differences(out / "best.ckpt", out / "last.ckpt") == []


def test_no_checkpoints_if_they_are_switched_off(folder):
    assert folder.call("--output", "out", "+trainer.enable_checkpointing=false")[0] == 0
    assert list((folder.path / "out").glob("*.ckpt")) == []


@pytest.mark.slow
@pytest.mark.parametrize("output", ["part", "moved", "other"])
def test_the_best_one_travels_with_a_resume(folder, output):
    """Into the same folder, a copy of it, and a new one: the best epoch is one before the interruption."""
    changed = ["trainer.max_epochs=4", *RUINED]
    assert folder.call("--output", "unbroken", *changed)[0] == 0
    assert folder.call("--output", "part", "trainer.max_epochs=3", *RUINED)[0] == 0
    best = best_record(folder.path / "unbroken" / "best.ckpt")
    assert best["epoch"] < 3
    if output == "moved":
        (folder.path / "part").rename(folder.path / "moved")
    resumed = "part" if output == "other" else output
    allow = ["--resume", f"{resumed}/last.ckpt", "--allow", "trainer.max_epochs"]
    assert folder.call("--output", output, *allow, *changed)[0] == 0
    assert best_record(folder.path / output / "best.ckpt") == best
    whole = folder.path / "unbroken"
    assert differences(whole / "best.ckpt", folder.path / output / "best.ckpt") == []
    assert (whole / "results.json").read_text() == (folder.path / output / "results.json").read_text()
