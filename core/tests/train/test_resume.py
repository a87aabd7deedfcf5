"""A resumed run equals the unbroken one bit for bit, wherever it was broken."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from equipot.errors import ArtifactError, ConfigError
from equipot.train._resume import check_same_config, checkpoint_data
from equipot_test_support.checkpoints import differences, saving


def results(folder):
    return json.loads((folder / "results.json").read_text())["train"]


def compare(folder, overrides, stops, final):
    """Train once unbroken; then resume at each stop and compare the end."""
    assert folder.call("--output", "whole", *overrides)[0] == 0
    whole = folder.path / "whole"
    for stop in stops:
        code, _, errors = folder.call("--output", f"from {stop}", "--resume", f"whole/step{stop}.ckpt", *overrides)
        assert code == 0, errors
        resumed = folder.path / f"from {stop}"
        assert differences(whole / f"step{final}.ckpt", resumed / f"step{final}.ckpt") == [], f"resumed at {stop}"
        assert results(whole) == results(resumed)


def test_ten_steps_are_five_and_five(folder):
    """Three batches an epoch: step 5 is inside the second epoch."""
    compare(folder, ["run=[train]", "trainer.max_epochs=4", saving(5)], [5], 10)


@pytest.mark.slow
def test_every_step_can_be_resumed_with_a_schedule_on_a_metric(folder):
    """Steps 3 and 6 are the ends of epochs, where Lightning would lose validation and schedule."""
    compare(folder, ["run=[train]", "trainer.max_epochs=3", saving(1)], [3, 7], 9)


@pytest.mark.slow
def test_schedule_by_epochs_is_resumed(folder):
    text = (folder.path / "config.yaml").read_text()
    start, end = text.index("    scheduler:"), text.index("  model:")
    scheduler = "    scheduler: {_target_: torch.optim.lr_scheduler.StepLR, step_size: 1, gamma: 0.7}\n"
    folder.write(text[:start] + scheduler + text[end:])
    compare(folder, ["run=[train]", "trainer.max_epochs=3", saving(1)], [3, 4], 9)


@pytest.mark.slow
def test_default_checkpoint_resumes_with_more_epochs(folder):
    assert folder.call("--output", "whole", "run=[train]", "trainer.max_epochs=4")[0] == 0
    assert folder.call("--output", "short", "run=[train]", "trainer.max_epochs=2")[0] == 0
    (folder.path / "short").rename(folder.path / "moved")
    overrides = ["run=[train]", "trainer.max_epochs=4", "--resume", "moved/last.ckpt"]
    (problem,) = folder.errors("--output", "rest", *overrides, command="train")
    assert (
        problem
        == "trainer.max_epochs: 2 in the checkpoint, 4 now; to resume with the change: --allow trainer.max_epochs"
    )
    assert folder.call("--output", "rest", *overrides, "--allow", "trainer.max_epochs")[0] == 0
    assert differences(folder.path / "whole" / "last.ckpt", folder.path / "rest" / "last.ckpt") == []


def test_other_data_are_refused(folder):
    assert folder.call("--output", "out", "run=[train]")[0] == 0
    from ase.io import read, write

    frames = read(folder.path / "water.extxyz", ":")
    frames[3].positions[0, 0] += 0.01
    write(folder.path / "water.extxyz", frames)
    problems = folder.errors("--output", "rest", "run=[train]", "--resume", "out/last.ckpt", command="train")
    assert any("the data differ from those of the interrupted run" in text for text in problems)


@pytest.mark.slow
def test_auto_starts_or_goes_on_through_the_same_checks(folder):
    auto = ["--output", "auto", "--resume", "auto", "run=[train]"]
    code, output, _ = folder.call(*auto, "trainer.max_epochs=1")
    assert code == 0
    assert "resuming" not in output
    assert folder.errors(*auto, command="train") == [
        "trainer.max_epochs: 1 in the checkpoint, 2 now; to resume with the change: --allow trainer.max_epochs"
    ]
    code, output, _ = folder.call(*auto, "--allow", "trainer.max_epochs")
    assert code == 0
    assert f"resuming {folder.path / 'auto' / 'last.ckpt'}\n" in output
    assert folder.call("--output", "whole", "run=[train]")[0] == 0
    assert differences(folder.path / "whole" / "last.ckpt", folder.path / "auto" / "last.ckpt") == []


@pytest.mark.slow
@pytest.mark.parametrize("resume", ["old/last.ckpt", "auto"])
def test_checkpoint_without_a_position_is_refused_and_kept(folder, resume):
    """Older versions wrote such files; ``auto`` must not start again over them."""
    assert folder.call("--output", "old", "run=[train]", "trainer.max_epochs=1")[0] == 0
    for name in ("best.ckpt", "last.ckpt"):
        path = folder.path / "old" / name
        checkpoint = torch.load(path, weights_only=True)
        del checkpoint["equipot"]["loop"]["position"]
        torch.save(checkpoint, path)
    version = checkpoint["equipot"]["versions"]["equipot"]
    again = ["--output", "old", "run=[train]", "trainer.max_epochs=1", "--resume", resume]
    what = f"was written by equipot {version}, which did not store the position in the run, and cannot be resumed"
    hint = "train again; equipot.model.ModelFromCheckpoint in the config starts from its weights"
    assert folder.errors(*again, command="train") == [f"{path}: {what}; {hint}"]
    assert path.is_file()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("optimizer_states", [], "is empty"),
        ("optimizer_states", 7, "must be a list, got 7"),
        ("lr_schedulers", {}, "must be a list, got {}"),
        ("callbacks", "x", "must be a mapping, got 'x'"),
        ("epoch", [], "must be an integer, got []"),
        ("global_step", None, "must be an integer, got None"),
        ("pytorch-lightning_version", 7, "must be a string, got 7"),
        ("pytorch-lightning_version", "x", "is not a version, got 'x'"),
        ("callbacks", ..., "is missing"),
    ],
)
def test_what_lightning_would_restore_unseen_is_checked(tmp_path, key, value, message):
    good = {"epoch": 1, "global_step": 2, "pytorch-lightning_version": "2.6.6", "optimizer_states": [{}]}
    checkpoint = {**good, "lr_schedulers": [], "callbacks": {}, "equipot": {"training_config": {}}, "state_dict": {}}
    path = tmp_path / "x.ckpt"
    torch.save(checkpoint, path)
    assert not checkpoint_data(path)["weights_only"]
    checkpoint[key] = value
    if value is ...:
        del checkpoint[key]
    torch.save(checkpoint, path)
    with pytest.raises(ArtifactError, match=re.escape(f"x.ckpt.{key}: {message}")):
        checkpoint_data(path)


def test_the_position_in_the_run_is_checked(tmp_path):
    run = {"epoch": 1, "global_step": 2, "pytorch-lightning_version": "2.6.6", "optimizer_states": [{}]}
    loop = {"epochs_closed": 1, "metrics": {}, "loader": {}, "measures": {}, "position": {"epoch": "x"}}
    path = tmp_path / "x.ckpt"
    for record, message in (
        ({"training_config": {}, "loop": loop}, "x.ckpt.equipot.loop.position.batch: is missing"),
        ({"training_config": {}, "data": "x"}, "x.ckpt.equipot.data: must be a mapping"),
        ({"training_config": {}, "data": {"frames": []}}, "x.ckpt.equipot.data.frames: must be a mapping"),
        ({"training_config": []}, "x.ckpt.equipot.training_config: must be a mapping"),
    ):
        torch.save({**run, "lr_schedulers": [], "callbacks": {}, "state_dict": {}, "equipot": record}, path)
        with pytest.raises(ArtifactError, match=re.escape(message)):
            checkpoint_data(path)


def test_auto_needs_to_know_the_folder(folder):
    assert folder.errors("--resume", "auto", command="train") == [
        "--resume auto: needs --output; name the folder of the run"
    ]


@pytest.fixture
def _slurm(monkeypatch):
    """The variables of a job of SLURM."""
    job = {"NTASKS": "1", "JOB_ID": "7", "JOB_NAME": "train", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for name, value in {**job, "NTASKS_PER_NODE": "1", "NNODES": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)


REQUEUING = "+trainer.plugins=[{_target_: lightning.pytorch.plugins.environments.SLURMEnvironment}]"


@pytest.mark.slow
@pytest.mark.usefixtures("_slurm")
@pytest.mark.parametrize("plugins", [[], [REQUEUING]], ids=["plain", "with Lightning's plugin"])
def test_a_job_that_slurm_sends_back_goes_on_with_the_same_command(folder, monkeypatch, plugins):
    """Its signal comes at a step; Lightning neither requeues nor leaves a file."""
    from equipot.train import LightningModule

    original, sent = LightningModule.training_step, []

    def training_step(self, *args, **kwargs):
        if self.global_step == 4 and not sent:
            sent.append(signal.raise_signal(signal.SIGUSR1))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(LightningModule, "training_step", training_step)
    command = ["--output", "job", "--resume", "auto", "run=[train]", *plugins]
    assert folder.call(*command)[0] == 128 + signal.SIGUSR1
    assert folder.call(*command)[0] == 0
    assert folder.call("--output", "whole", "run=[train]")[0] == 0
    assert differences(folder.path / "whole" / "last.ckpt", folder.path / "job" / "last.ckpt") == []
    assert sorted(path.name for path in (folder.path / "job").glob("*.ckpt")) == ["best.ckpt", "last.ckpt"]


@pytest.mark.slow
@pytest.mark.usefixtures("_slurm")
def test_files_of_lightnings_requeueing_are_not_loaded_unasked(folder):
    """Lightning would, on SLURM: the old weights, with the old learning rate, under the new config."""
    plain = ["run=[train]", "trainer.max_epochs=1"]
    assert folder.call("--output", "job", *plain)[0] == 0
    job = folder.path / "job"
    (job / "last.ckpt").rename(job / "hpc_ckpt_1.ckpt")
    for name in ("best.ckpt", "results.json"):
        (job / name).unlink()
    (text,) = folder.errors("--output", "job", *plain, command="train")
    assert "the folder holds a run already (hpc_ckpt_1.ckpt)" in text
    (text,) = folder.errors("--output", "job", "--overwrite", "run=[val]", command="train")
    what = "was written by Lightning for a requeued job, and would be loaded on SLURM without a word"
    assert text == f"{job / 'hpc_ckpt_1.ckpt'}: {what}; name it after --resume, or move it away"
    more = ["--allow", "trainer.max_epochs", "run=[train]"]
    code, output, _ = folder.call("--output", "job", "--resume", "auto", *more)
    assert (code, f"resuming {job / 'hpc_ckpt_1.ckpt'}\n" in output) == (0, True)
    assert folder.call("--output", "job", "--overwrite", *plain, "training_module.optimizer.lr=0.02")[0] == 0
    assert not (job / "hpc_ckpt_1.ckpt").exists()
    made = torch.load(job / "last.ckpt", weights_only=True)
    assert (made["global_step"], made["optimizer_states"][0]["param_groups"][0]["lr"]) == (3, 0.02)


@pytest.mark.slow
def test_a_run_resumed_twice_at_ends_of_epochs_has_the_steps_of_the_whole(folder):
    overrides = ["run=[train]", "trainer.max_epochs=4", saving(3)]
    for name, resumed in (("whole", None), ("once", "whole/step3.ckpt"), ("again", "once/step6.ckpt")):
        assert folder.call("--output", name, *overrides, *(["--resume", resumed] if resumed else []))[0] == 0
    for name in ("once", "again"):
        assert differences(folder.path / "whole" / "step12.ckpt", folder.path / name / "step12.ckpt") == []
        assert differences(folder.path / "whole" / "last.ckpt", folder.path / name / "last.ckpt") == []


def test_differences_are_listed_with_the_way_to_allow_them():
    saved = {"a": {"b": 1, "c": [1, 2]}, "d": float("nan"), "e": 1}
    now = {"a": {"b": 2, "c": [1, 2, 3]}, "d": float("nan"), "e": True}
    with pytest.raises(ConfigError) as error:
        check_same_config(saved, now)
    assert error.value.problems == [
        "a.b: 1 in the checkpoint, 2 now; to resume with the change: --allow a.b",
        "e: 1 in the checkpoint, True now; to resume with the change: --allow e",
        "a.c.2: absent in the checkpoint, 3 now; to resume with the change: --allow a.c.2",
    ]
    assert check_same_config(saved, now, ["a", "e"]) == [
        "a.b: 1 in the checkpoint, 2 now",
        "e: 1 in the checkpoint, True now",
        "a.c.2: absent in the checkpoint, 3 now",
    ]
    with pytest.raises(ConfigError, match="--allow: no such key in the config, got 'a.bb'; did you mean 'a.b'"):
        check_same_config(saved, now, ["a", "e", "a.bb"])


def killed(folder, overrides, after):
    """Train in a process of its own, kill -9 it some checkpoints later; gives the newest file that is whole."""
    saved = folder.path / "killed"
    before = newest(saved)
    again = [] if before is None else ["--resume", f"killed/step{before}.ckpt"]
    command = [sys.executable, "-m", "equipot._cli.main", "train", "config.yaml", "--output", "killed", *overrides]
    process = subprocess.Popen([*command, *again], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not (saved / f"step{(before or 0) + after}.ckpt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    return newest(saved)


def newest(saved):
    steps = sorted((int(file.stem[4:]) for file in saved.glob("step*.ckpt")), reverse=True)
    return next((step for step in steps if _is_whole(saved / f"step{step}.ckpt")), None)


@pytest.mark.parametrize(
    "kills",
    [pytest.param(1, marks=pytest.mark.slow), pytest.param(5, marks=pytest.mark.nightly)],
    ids=["once", "often"],
)
def test_killed_process(folder, kills):
    """kill -9 inside an epoch, then resume from the newest file; and a chain of that."""
    overrides = ["run=[train]", "trainer.max_epochs=20", saving(1)]
    assert folder.call("--output", "whole", *overrides)[0] == 0
    for _ in range(kills):
        step = killed(folder, overrides, after=10)
        assert 10 <= step < 60
    assert folder.call("--output", "rest", "--resume", f"killed/step{step}.ckpt", *overrides)[0] == 0
    assert differences(folder.path / "whole" / "step60.ckpt", folder.path / "rest" / "step60.ckpt") == []


def _is_whole(path):
    try:
        torch.load(path, weights_only=True)
    except (RuntimeError, EOFError, OSError):
        return False
    return True
