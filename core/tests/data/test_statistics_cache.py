import json
import signal
import socket
import subprocess
import sys
import time
import types

import pytest

from equipot import caches
from equipot._version import __version__
from equipot.data._statistics_cache import cached_statistics, code_of


@pytest.fixture(autouse=True)
def _say_again():
    caches._say.cache_clear()


@pytest.fixture
def compute():
    class Compute:
        calls = 0

        def __call__(self):
            self.calls += 1
            return {"forces_rms": 1 / 3, "per_type": {"H": 0.1, "C": 2.0**-40}}

    return Compute()


def test_second_run_reads_the_same_numbers(tmp_path, compute):
    first = cached_statistics(tmp_path, {"r_max": 5.0}, compute)
    again = cached_statistics(tmp_path, {"r_max": 5.0}, compute)
    assert first == again
    assert compute.calls == 1
    (file,) = (tmp_path / "statistics").glob("*.json")
    assert len(file.stem) == 64
    assert json.loads(json.loads(file.read_text())["key"])["r_max"] == 5.0


def test_other_key_is_computed(tmp_path, compute):
    cached_statistics(tmp_path, {"r_max": 5.0}, compute)
    cached_statistics(tmp_path, {"r_max": 5.1}, compute)
    assert compute.calls == 2


def test_no_folder_no_cache(compute):
    cached_statistics(None, {}, compute)
    cached_statistics(None, {}, compute)
    assert compute.calls == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("0.3333333333333333", "0.3333333333333334"),
        lambda text: text.replace('"H"', '"O"'),
        lambda text: text.replace("r_max", "r_min"),
        lambda text: text.replace("0.1", "NaN"),
        lambda text: text[:40],
        lambda _: "",
        lambda _: "[]",
    ],
)
def test_damaged_or_edited_file_is_replaced(tmp_path, compute, caplog, damage):
    key = {"r_max": 5.0}
    first = cached_statistics(tmp_path, key, compute)
    (file,) = (tmp_path / "statistics").glob("*.json")
    changed = damage(file.read_text())
    assert changed != file.read_text()
    file.write_text(changed)
    assert cached_statistics(tmp_path, key, compute) == first
    assert len(caplog.records) == 1, "one line"
    assert "it is damaged or was edited" in caplog.text
    assert cached_statistics(tmp_path, key, compute) == first
    assert compute.calls == 2
    stored = {item.name for item in (tmp_path / "statistics").iterdir()} - {f"{file.name}.lock"}
    assert stored == {file.name}, "no temporary files stay"


@pytest.mark.parametrize("value", ["x", None, True, [1.0], {"H": {"H": 1.0}}])
def test_values_of_another_type_are_computed_again(tmp_path, compute, value):
    cached_statistics(tmp_path, {}, lambda: {"forces_rms": value})
    assert cached_statistics(tmp_path, {}, compute)["forces_rms"] == 1 / 3


def test_what_others_can_have_written_is_not_read(tmp_path, compute, caplog):
    cached_statistics(tmp_path, {}, compute)
    (file,) = (tmp_path / "statistics").glob("*.json")
    file.chmod(0o666)
    cached_statistics(tmp_path, {}, compute)
    assert f"{file} is not believed: other users can write to it" in caplog.text
    cached_statistics(tmp_path, {}, compute)
    assert compute.calls == 2, "it was written anew"
    file.parent.chmod(0o777)
    cached_statistics(tmp_path, {}, compute)
    assert f"{file.parent} is not used: other users can write to it" in caplog.text
    assert compute.calls == 3


def test_source_files_are_part_of_the_key(tmp_path, monkeypatch):
    """A manager or transform of a local file that was changed."""
    module = types.ModuleType("local_manager")
    exec("class Manager: pass", vars(module))  # noqa: S102 - a class whose module is that file
    path = tmp_path / "local_manager.py"
    module.__file__ = str(path)
    monkeypatch.setitem(sys.modules, "local_manager", module)
    path.write_text("1")
    before = code_of(module.Manager())
    assert code_of(module.Manager(), module.Manager()) == before
    path.write_text("2")
    assert code_of(module.Manager()) != before
    assert before[0] == __version__


def test_folder_that_cannot_be_written_is_no_error(tmp_path, compute, caplog):
    (tmp_path / "statistics").write_text("a file in the way")
    assert cached_statistics(tmp_path, {}, compute)["forces_rms"] == 1 / 3
    assert "statistics is not used: it cannot be made" in caplog.text


WORKER = """
import sys, time
from pathlib import Path
from equipot.data import _statistics_cache
from equipot.data._statistics_cache import cached_statistics

_statistics_cache.PATIENCE = 0.5
folder, name, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])

def compute():
    (folder / name).touch()
    time.sleep(seconds)
    return {"computed_by": {name: 1.0}}

print(cached_statistics(folder, {}, compute))
"""


def start(folder, name, seconds=0.0):
    command = [sys.executable, "-c", WORKER, str(folder), name, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_process_blocks_nobody(tmp_path):
    first = start(tmp_path, "first", seconds=60)
    try:
        wait_for(tmp_path / "first")
        second = start(tmp_path, "second")
        said = second.stderr.readline()
        owner = f"process {first.pid} on {socket.gethostname()}"
        assert said == f"waiting for {owner}, which computes the same statistics\n"
        assert not (tmp_path / "second").exists(), "it waits for the first"
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    expected = "{'computed_by': {'second': 1.0}}\n"
    assert second.communicate(timeout=60)[0] == expected, "a killed process blocks nobody"
    assert start(tmp_path, "third").communicate(timeout=60)[0] == expected
    assert not (tmp_path / "third").exists()


@pytest.mark.slow
def test_many_processes_compute_once(tmp_path):
    """All want the same at the same time, as the processes of a run do."""
    processes = [start(tmp_path, f"process{number}", seconds=0.5) for number in range(3)]
    printed = {process.communicate(timeout=120)[0] for process in processes}
    assert len(printed) == 1
    assert len(list(tmp_path.glob("process*"))) == 1
