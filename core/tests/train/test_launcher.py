"""A run of two processes ends as one: with one message and the exit code of what failed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from ase.io import read, write

from equipot_test_support.water import labelled

pytestmark = pytest.mark.slow
TWO = ["+trainer.devices=2", "+trainer.strategy=ddp", "data.train_dataloader.batch_size=1"]
FIXED = "training_module.model.per_type_energy_scales=1.0"


def command(*arguments, by="lightning"):
    start = [sys.executable]
    if by == "torchrun":
        start = [str(Path(sys.executable).with_name("torchrun")), "--nproc-per-node", "2", "--standalone"]
    return [*start, "-m", "equipot._cli.main", "train", "config.yaml", "--output", "two", *TWO, *arguments]


def start(*arguments, by="lightning"):
    """Begin a run of many epochs, and wait for its first checkpoint; gives the numbers of both processes as well."""
    with Path("log.txt").open("w") as log:
        process = subprocess.Popen(command("trainer.max_epochs=1000", *arguments, by=by), stdout=log, stderr=log)
    deadline = time.monotonic() + 240
    while not Path("two/last.ckpt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert process.poll() is None, Path("log.txt").read_text()
    return process, children(process.pid)


def children(parent):
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(one) for one in found if "equipot" in Path(f"/proc/{one}/cmdline").read_text()]


def end(process):
    code = process.wait(timeout=200)
    text = Path("log.txt").read_text()
    return code, text


@pytest.fixture
def bad_frame(folder):
    """The place in the order of training of a frame whose forces are beyond any number."""
    assert folder.call("--output", "one", "run=[train]", "trainer.max_epochs=1")[0] == 0
    train = json.loads((folder.path / "one" / "splits.json").read_text())["train"]

    def spoil(place):
        frames = read("water.extxyz", ":")
        atoms = frames[train[place]]
        forces = atoms.get_forces()
        forces[0, 0] = 1e200
        frames[train[place]] = labelled(atoms, energy=atoms.get_potential_energy(), forces=forces)
        write("water.extxyz", frames)

    return spoil


@pytest.mark.parametrize("place", [4, 5])
def test_an_error_of_either_process_ends_both_with_one_message(bad_frame, place):
    """Frames go to the processes in turn, so one of the two places belongs to each."""
    bad_frame(place)
    done = subprocess.run(command(FIXED), capture_output=True, text=True, check=False, timeout=300)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, len(errors), "Traceback" in done.stderr) == (2, 1, False), done.stderr
    assert "the loss is not finite (forces_mse)" in errors[0]


def test_a_killed_process_ends_the_other(folder):
    process, (second,) = start()
    os.kill(second, signal.SIGKILL)
    code, text = end(process)
    assert (code, "Traceback" in text) == (2, False), text
    assert "error: process 1 of this run was ended by SIGKILL; go on with: --resume auto\n" in text


@pytest.mark.parametrize("who", ["first", "second"])
def test_a_signal_to_either_process_ends_both_at_the_same_step(folder, who):
    process, (second,) = start()
    os.kill(process.pid if who == "first" else second, signal.SIGTERM)
    code, text = end(process)
    assert (code, "Traceback" in text) == (143, False), text
    assert text.count("interrupted by SIGTERM; go on with: --resume ") == 1
    assert torch.load("two/last.ckpt", weights_only=True)["global_step"] > 0


@pytest.mark.parametrize("who", ["agent", "worker"])
def test_signals_under_torchrun(folder, who):
    process, workers = start(by="torchrun")
    assert len(workers) == 2
    before = torch.load("two/last.ckpt", weights_only=True)["global_step"]
    os.kill(process.pid if who == "agent" else workers[1], signal.SIGTERM)
    code, text = end(process)
    assert code != 0
    assert text.count("interrupted by SIGTERM; go on with: --resume ") == 1, text
    assert torch.load("two/last.ckpt", weights_only=True)["global_step"] > before
