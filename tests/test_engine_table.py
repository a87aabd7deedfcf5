"""The table of engines holds what tests recorded, and nothing else."""

import json

import pytest

from equipot_test_support.engines import FOLDER, record_capability
from equipot_test_support.scripts import load_script

tool = load_script("tools/engine_table.py")


def test_the_page_is_made_from_the_records():
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(), "python tools/engine_table.py"


def test_a_record_becomes_a_line(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    record_capability("LAMMPS", "NVE, 2 ranks", version="22Jul2025", command="mpirun -n 2 lmp", deviation="3e-12 eV/Å")
    record_capability("ASE", "energy | forces", version="3.29.0", command="atoms.get_forces()")
    assert {path.name for path in tmp_path.iterdir()} == {"lammps--nve-2-ranks.json", "ase--energy-forces.json"}
    lines = tool.page(tmp_path).splitlines()[-2:]
    assert lines == [
        r"| ASE | energy \| forces | 3.29.0 | `atoms.get_forces()` | – |",
        "| LAMMPS | NVE, 2 ranks | 22Jul2025 | `mpirun -n 2 lmp` | 3e-12 eV/Å |",
    ]


def test_nothing_is_recorded_unasked(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    record_capability("ASE", "energy", version="3.29.0", command="atoms.get_potential_energy()")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"version": ""}, {"command": "a\nb"}, {"deviation": 1e-12}, {"deviation": "small"}])
def test_a_record_must_say_something(wrong, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    good = {"version": "3.29.0", "command": "atoms.get_forces()"}
    with pytest.raises(ValueError, match="record_capability: "):
        record_capability("ASE", "forces", **{**good, **wrong})


def test_a_later_record_replaces_an_earlier_one(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    for version in ("1", "2"):
        record_capability("ASE", "forces", version=version, command="atoms.get_forces()")
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text(encoding="utf-8"))["version"] == "2"
