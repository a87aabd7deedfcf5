import json

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
    (file,) = (tmp_path / "statistics").iterdir()
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
    (file,) = (tmp_path / "statistics").iterdir()
    file.write_text('{"values": {"for')
    assert cached_statistics(tmp_path, {}, compute) == first
    assert "is not readable" in caplog.text
    assert cached_statistics(tmp_path, {}, compute) == first
    assert compute.calls == 2
    assert len(list((tmp_path / "statistics").iterdir())) == 1, "no temporary files stay"


def test_folder_that_cannot_be_written_is_no_error(tmp_path, compute, caplog):
    (tmp_path / "statistics").write_text("a file in the way")
    assert cached_statistics(tmp_path, {}, compute)["forces_rms"] == 1 / 3
    assert "statistics are not kept" in caplog.text


def test_other_processes_read_what_the_first_wrote(tmp_path, compute, monkeypatch):
    first = cached_statistics(tmp_path, {}, compute)
    monkeypatch.setenv("RANK", "1")
    assert cached_statistics(tmp_path, {}, compute) == first
    assert compute.calls == 1


def test_other_processes_do_not_wait_forever(tmp_path, compute, monkeypatch):
    import equipot.data._statistics_cache as module

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0.0)
    assert cached_statistics(tmp_path, {}, compute)
    assert compute.calls == 1
