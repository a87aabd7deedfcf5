"""The benchmark of ``equipot fit``: what its table shows, and how a peer's errors are counted."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
FOLDERS = ("speed", "pareto", "one_command")


@pytest.fixture
def suite(monkeypatch):
    """A module of the benchmark by its name."""
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(str(BENCHMARKS / folder))
    own = {path.stem for folder in FOLDERS for path in (BENCHMARKS / folder).glob("[!_]*.py")}
    for name in own & sys.modules.keys():
        monkeypatch.delitem(sys.modules, name)
    yield __import__
    for name in own & sys.modules.keys():
        del sys.modules[name]


def result(program, seed, energy, forces, seconds=170.0):
    errors = {"test": {"energy_mae": energy, "forces_mae": forces}}
    machine = {"cpu": "a CPU", "date": "2026-01-01"}
    return {
        "set": "our_ethanol", "program": program, "minutes": 3.0, "seed": seed, "seconds": seconds,
        "errors": errors, "machine": machine, "threads": 2,
    }  # fmt: skip


def test_the_table_has_medians_and_ranges_over_seeds(suite, tmp_path):
    table = suite("table")
    assert table.write(tmp_path / "nothing", tmp_path / "docs") == []
    for seed, (energy, forces) in enumerate([(1.0, 30.0), (3.0, 20.0), (2.0, 40.0)]):
        (tmp_path / f"{seed}.json").write_text(json.dumps(result("fit", seed, energy, forces)))
    (tmp_path / "peer.json").write_text(json.dumps(result("nequip", 0, 9.0, 90.0)))
    (path,) = table.write(tmp_path, tmp_path / "docs")
    made = json.loads(path.read_text())
    fit, peer = made["rows"]
    assert fit[1:] == ["test", "equipot fit", "3", "2.00 (1.00-3.00)", "30.0 (20.0-40.0)", "170 (170-170)", "3"]
    assert peer[2:6] == ["nequip, tutorial", "3", "9.00", "90.0"]
    assert "our_water" in made["description"]
    assert "our_ethanol" not in made["description"]


def test_the_table_of_many_sets_has_what_a_person_could_have_chosen(suite, tmp_path):
    table = suite("table")
    runs = (("fit", 1, 2.0, 30.0), ("fit", 2, 4.0, 32.0), ("S", 1, 3.0, 20.0), ("allegro", 1, 1.0, 40.0))
    for program, seed, energy, forces in runs:
        one = {**result(program, seed, energy, forces, 118.4), "minutes": 2.0, "cpu": True}
        one |= {"trivial": {"test": {"energy_mae": 50.0, "forces_mae": 700.0}}}
        one |= {"fit": {"step_seconds": {"frames": {"train": 40, "val": 8, "test": 0}}}}
        (tmp_path / f"{program}_{seed}.json").write_text(json.dumps(one))
    (path,) = table.write(tmp_path, tmp_path / "docs")
    made = json.loads(path.read_text())
    (row,) = made["rows"]
    assert path.name == "many.json"
    assert row[1:4] == ["test", "48", "118 (118-118)"]
    assert row[4:8] == ["3.00 (2.00-4.00)", "50.0", "31.0 (30.0-32.0)", "700.0"]
    assert row[8:] == ["1.00 (allegro)", "20.0 (S)", "2"]
    assert "`--model allegro`" in made["description"]
    assert made["machine"] == "a CPU, 2 threads, 2026-01-01"


def test_what_compositions_alone_give(suite, tmp_path):
    def frame(symbols, energy, **forces):
        atoms = Atoms(symbols, np.arange(3 * len(Atoms(symbols))).reshape(-1, 3))
        atoms.calc = SinglePointCalculator(atoms, energy=energy, **forces)
        return atoms

    write(tmp_path / "train.extxyz", [frame("HO", 3.0), frame("H2O", 4.0), frame("H", 9.0)])  # not the atom
    test = [frame("H2O2", 6.4), frame("OH", 3.0)]
    write(tmp_path / "test.extxyz", test)
    found = suite("programs").trivial(tmp_path / "train.extxyz", tmp_path / "test.extxyz")
    assert found == {"energy_mae": pytest.approx(1e3 * (0.4 / 4) / 2)}  # 1 eV for H and 2 eV for O
    write(tmp_path / "test.extxyz", [frame("HO", 3.0, forces=np.full((2, 3), -0.2))])
    found = suite("programs").trivial(tmp_path / "train.extxyz", tmp_path / "test.extxyz")
    assert found == {"energy_mae": pytest.approx(0.0, abs=1e-9), "forces_mae": pytest.approx(200.0)}


def test_a_set_that_is_made(suite, tmp_path, monkeypatch):
    data = suite("data")
    monkeypatch.setattr(data, "MADE", data.ROOT / ".cache" / "nothing")
    with pytest.raises(FileNotFoundError, match=r"make it, .*make_sets.py .cache/nothing --only argon_lj"):
        data.write_files("argon", tmp_path / "files")
    monkeypatch.setattr(data, "MADE", tmp_path)
    frames = [Atoms("Ar", [[index, 0, 0]]) for index in range(10)]
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, energy=1.0)
    write(tmp_path / "argon_lj.xyz", frames, format="extxyz")
    files = data.write_files("argon", tmp_path / "files")
    places = [{float(one.positions[0, 0]) for one in read(files[part], ":")} for part in ("train", "test")]
    assert [len(part) for part in places] == [8, 2]
    assert not places[0] & places[1]


def test_errors_of_a_peer(suite, tmp_path):
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 1]])
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.zeros((2, 3)))
    write(tmp_path / "test.extxyz", [atoms, atoms])
    forces = np.array([[0.3, 0, 0]] * 4)
    np.savez(tmp_path / "predicted.npz", energies=[1.2, 0.6], forces=forces)
    found = suite("programs")._errors(tmp_path / "test.extxyz", tmp_path / "predicted.npz")
    assert found["energy_mae"] == pytest.approx(150.0)
    assert found["energy_rmse"] == pytest.approx(1e3 * np.sqrt((0.1**2 + 0.2**2) / 2))
    assert found["forces_mae"] == pytest.approx(100.0)
    assert found["forces_rmse"] == pytest.approx(300.0 / np.sqrt(3))


def test_a_peer_without_a_finished_epoch_is_a_row_without_errors(suite, tmp_path, monkeypatch):
    programs, models, data, table = suite("programs"), suite("models"), suite("data"), suite("table")
    monkeypatch.setattr(programs, "_trained", lambda command, job: 60.0)
    files = data.write_files("our_water", tmp_path / "files")
    split = {}
    for part in ("train", "val"):
        split[part] = tmp_path / f"{part}.extxyz"
        write(split[part], read(files["train"], ":"))
    job = programs.Job(data.SETS["our_water"], files, tmp_path, 1.0, 1, pythons={"nequip": sys.executable})
    found = programs.run_peer(programs.PEERS["nequip"], job, split)
    assert found["epochs"] == 0
    assert all(len(one) > 1 for one in read(split["train"], ":"))  # the isolated atoms have no stress
    with pytest.raises(models.NoEpochError):
        models.RECIPES["mace"].finish(tmp_path, sys.executable)
    row = {**result("nequip", 1, 1.0, 1.0), "set": "our_water", "errors": found["errors"]}
    (tmp_path / "row.json").write_text(json.dumps(row))
    (path,) = table.write(tmp_path, tmp_path / "docs")
    assert json.loads(path.read_text())["rows"][0][4:6] == ["no epoch was finished", ""]


def test_training_and_test_frames_of_our_sets_differ(suite, tmp_path):
    data = suite("data")
    files = data.write_files("our_water", tmp_path)
    train, test = (read(files[part], ":") for part in ("train", "test"))
    assert sum(len(one) == 1 for one in train) == 2
    known = {one.positions.tobytes() for one in train}
    assert test
    assert not any(one.positions.tobytes() in known for one in test)


def test_a_peer_without_an_interpreter_is_refused(suite, tmp_path):
    programs, data = suite("programs"), suite("data")
    job = programs.Job(data.SETS["our_ethanol"], {}, tmp_path, 0.1, 1)
    with pytest.raises(ValueError, match="needs --python mace=INTERPRETER"):
        programs.run_peer(programs.PEERS["mace"], job, {})
