import json
import signal
import subprocess
import sys
import time

import pytest

from equipot.data._statistics_cache import cached_statistics


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
    assert json.loads(file.read_text())["key"] == {"r_max": 5.0}


def test_other_key_is_computed(tmp_path, compute):
    cached_statistics(tmp_path, {"r_max": 5.0}, compute)
    cached_statistics(tmp_path, {"r_max": 5.1}, compute)
    assert compute.calls == 2


def test_no_folder_no_cache(compute):
    cached_statistics(None, {}, compute)
    cached_statistics(None, {}, compute)
    assert compute.calls == 2


def test_damaged_file_is_replaced(tmp_path, compute, caplog):
    first = cached_statistics(tmp_path, {}, compute)
    (file,) = (tmp_path / "statistics").glob("*.json")
    file.write_text('{"values": {"for')
    assert cached_statistics(tmp_path, {}, compute) == first
    assert "is not readable" in caplog.text
    assert cached_statistics(tmp_path, {}, compute) == first
    assert compute.calls == 2
    stored = {item.name for item in (tmp_path / "statistics").iterdir()} - {f"{file.name}.lock"}
    assert stored == {file.name}, "no temporary files stay"


def test_folder_that_cannot_be_written_is_no_error(tmp_path, compute, caplog):
    (tmp_path / "statistics").write_text("a file in the way")
    assert cached_statistics(tmp_path, {}, compute)["forces_rms"] == 1 / 3
    assert "statistics are not kept" in caplog.text


WORKER = """
import sys, time
from pathlib import Path
from equipot.data._statistics_cache import cached_statistics

folder, name, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])

def compute():
    (folder / name).touch()
    time.sleep(seconds)
    return {"computed_by": name}

print(cached_statistics(folder, {}, compute))
"""


def start(folder, name, seconds=0.0):
    command = [sys.executable, "-c", WORKER, str(folder), name, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.02)


def test_a_killed_process_blocks_nobody(tmp_path):
    first = start(tmp_path, "first", seconds=60)
    try:
        wait_for(tmp_path / "first")
        second = start(tmp_path, "second")
        with pytest.raises(subprocess.TimeoutExpired):
            second.communicate(timeout=3)
        assert not (tmp_path / "second").exists(), "it waits for the first"
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    assert second.communicate(timeout=60)[0] == "{'computed_by': 'second'}\n", "a killed process blocks nobody"
    assert start(tmp_path, "third").communicate(timeout=60)[0] == "{'computed_by': 'second'}\n"
    assert not (tmp_path / "third").exists()


def test_many_processes_compute_once(tmp_path):
    """All want the same at the same time, as the processes of a run do."""
    processes = [start(tmp_path, f"process{number}", seconds=0.5) for number in range(3)]
    printed = {process.communicate(timeout=120)[0] for process in processes}
    assert len(printed) == 1
    assert len(list(tmp_path.glob("process*"))) == 1
