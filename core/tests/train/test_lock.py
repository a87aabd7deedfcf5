"""The folder of a run has one owner."""

import json
import os
import signal
import socket

import pytest

from equipot.errors import ConfigError
from equipot.train import _lock
from equipot.train._lock import OWNER, owned


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(_lock, "BEAT", 0.05)


def another(folder):
    """A process that owns the folder until it is killed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with owned(folder):
            os.write(write, b"x")
            signal.pause()
    assert os.read(read, 1) == b"x"
    return child


def kill(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_second_process_is_refused(tmp_path):
    child = another(tmp_path)
    try:
        with pytest.raises(ConfigError) as error, owned(tmp_path):
            pass
    finally:
        kill(child)
    where = f"process {child} on {socket.gethostname()} writes into the folder, got '{tmp_path}'"
    assert str(error.value) == f"--output: {where}; wait for its end, or choose another folder"


def test_a_dead_owner_does_not_block(tmp_path):
    kill(another(tmp_path))
    assert (tmp_path / OWNER).is_file()
    with owned(tmp_path):
        assert json.loads((tmp_path / OWNER).read_text())["process"] == os.getpid()
    assert not (tmp_path / OWNER).exists()


def test_an_owner_on_another_machine_blocks_as_long_as_its_heart_beats(tmp_path, monkeypatch):
    (tmp_path / OWNER).write_text(json.dumps({"host": "elsewhere", "process": 1, "heartbeat": 1.0}))
    with owned(tmp_path):
        pass
    owners = iter(range(1000))
    monkeypatch.setattr(_lock, "_owner", lambda _: {"host": "elsewhere", "process": 1, "heartbeat": next(owners)})
    with pytest.raises(ConfigError, match="--output: process 1 on elsewhere writes into the folder"), owned(tmp_path):
        pass


def test_two_runs_into_one_folder(folder):
    (folder.path / "out").mkdir()
    child = another(folder.path / "out")
    try:
        (problem,) = folder.errors("--output", "out", command="train")
    finally:
        kill(child)
    assert problem.startswith(f"--output: process {child} on ")
    names = [path.name for path in (folder.path / "out").iterdir()]
    heart = ("run.lock", ".run.")  # a heartbeat may be half written when its process is killed
    assert [name for name in names if not name.startswith(heart)] == [OWNER]
