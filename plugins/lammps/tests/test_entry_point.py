"""What LAMMPS asks for at every start."""

import subprocess
import sys

import pytest

from equipot_lammps import _entry_point
from equipot_lammps._errors import LammpsError
from equipot_test_support import ROOT


@pytest.fixture
def folder(tmp_path, monkeypatch):
    made = tmp_path / "lammps" / "build"
    made.mkdir(parents=True, mode=0o700)
    monkeypatch.setattr(_entry_point, "build_folder", lambda: made)
    return made


def test_the_folder_of_the_build(folder):
    assert _entry_point.plugin_folder() == str(folder)


@pytest.mark.parametrize("place", ["build", "lammps"])
def test_code_that_others_can_write_is_not_loaded(folder, place):
    (folder if place == "build" else folder.parent).chmod(0o777)
    assert _entry_point.plugin_folder() == _entry_point.NOWHERE


def test_lammps_starts_without_a_build(folder, monkeypatch):
    folder.rmdir()
    assert _entry_point.plugin_folder() == _entry_point.NOWHERE

    def fail():
        raise LammpsError("no torch")

    monkeypatch.setattr(_entry_point, "build_folder", fail)
    assert _entry_point.plugin_folder() == _entry_point.NOWHERE


def test_it_is_declared():
    text = (ROOT / "plugins/lammps/pyproject.toml").read_text()
    assert '[project.entry-points."lammps.plugins"]\nequipot = "equipot_lammps._entry_point:plugin_folder"' in text


def test_it_imports_neither_torch_nor_numpy():
    look = "print({'torch', 'numpy', 'ase'} & {*sys.modules})"
    code = f"import sys, equipot_lammps._entry_point as entry; entry.plugin_folder(); {look}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
