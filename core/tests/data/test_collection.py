"""Frames that did not converge, which energy is taken where a calculation gave two, and compositions."""

import ase.db
import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.data import ASEDataModule, ConvergedFrames, _collection, collect_frames, read_atoms, read_placed
from equipot.data._collection import (
    DROPPED,
    FORCE_CONSISTENT,
    NOTES,
    UNCONVERGED,
    composition_of,
    compositions_of,
    notes_of,
)
from equipot.data._frames import label_contract, without_force_consistent
from equipot.errors import ConfigError, DataError
from equipot_test_support import data_files


def module(path, **options):
    return ASEDataModule(1, train_file_path=str(path), train_dataloader={"batch_size": 1}, **options)


def energies(module):
    return [float(module.dataset("train").raw(index)["total_energy"]) for index in range(len(module.dataset("train")))]


def test_frames_that_did_not_converge_are_refused_by_default(tmp_path):
    path = data_files.outcar(tmp_path, failed=[0, 2])
    with pytest.raises(DataError) as caught:
        module(path).setup()
    reason = "(the electronic loop ended before EDIFF was reached)"
    assert str(caught.value) == (
        f"data.unconverged: 2 of 3 frames did not converge: {path}, frame 0 {reason}, {path}, frame 2 {reason}; "
        "data.unconverged: drop leaves them out, data.unconverged: use takes them as they are"
    )


def unconverged(path):
    """Numbers of the frames that the reader says did not converge."""
    frames = enumerate(read_placed([str(path)]))
    return [index for index, (_, atoms) in frames if any(code == UNCONVERGED for code, _ in atoms.info.get(NOTES, ()))]


def test_the_last_step_that_is_allowed_may_converge(tmp_path):
    """In vasprun.xml all NELM steps passed in all frames; in frame 1 the last changed the energy by less than EDIFF."""
    path = data_files.vasprun(tmp_path, failed=[0, 2], last_step=[1])
    assert [text.count("<scstep>") for text in path.read_text().split("</calculation>")[:3]] == [4, 4, 4]
    assert unconverged(path) == [0, 2]
    text = path.read_text()
    path.write_text(text.replace('<i name="EDIFF">      0.00010000</i>', '<i name="EDIFF">      0.00001000</i>'))
    assert unconverged(path) == [0, 1, 2]
    path.write_text(text.replace('<i name="EDIFF">      0.00010000</i>', ""))
    assert unconverged(path) == [0, 1, 2], "without a threshold nothing says that it was reached"
    assert unconverged(data_files.vasprun(tmp_path)) == []


@pytest.mark.parametrize(
    "line",
    [
        " *Warning* max. SCF cycles performed but system has not reached the groundstate.",
        "  Warning: electronic minimisation did not converge when finding ground state.",
    ],
)
def test_the_output_beside_a_trajectory_of_castep(tmp_path, caplog, line):
    path = data_files.castep(tmp_path)
    assert read_atoms(path)
    assert not caplog.text
    (tmp_path / "a.castep").write_text(f"Welcome\n{line}\nFinal energy\n{line}\n")
    assert read_atoms(path)
    assert f"{path}: a.castep says that 2 self-consistent cycles did not converge" in caplog.text


def test_frames_that_did_not_converge_are_dropped_and_counted(tmp_path, caplog):
    path = data_files.outcar(tmp_path, failed=[0, 2])
    found = collect_frames(read_placed([str(path)]), label_contract(None), unconverged="drop")
    assert found.places == [f"{path}, frame 1"]
    (note,) = found.notes[0]
    assert note.code == DROPPED
    assert note.text.startswith(f"2 frames did not converge and are left out: {path}, frame 0")
    assert "2 of 3 frames did not converge" in caplog.text
    assert len(energies(module(path, unconverged="drop"))) == 1


def test_frames_that_did_not_converge_are_used_with_a_note(tmp_path):
    path = data_files.outcar(tmp_path, failed=[1], version=5)
    found = collect_frames(read_placed([str(path)]), label_contract(None), unconverged="use")
    assert [[note.code for note in notes] for notes in found.notes] == [[], [UNCONVERGED], []]
    assert found.notes[1][0].text == "all 4 electronic steps (NELM) passed without reaching EDIFF"
    assert len(energies(module(path, unconverged="use"))) == 3


def test_all_frames_dropped(tmp_path):
    path = data_files.outcar(tmp_path, failed=[0, 1, 2])
    with pytest.raises(DataError, match="data.unconverged: 3 of 3 frames did not converge"):
        module(path, unconverged="drop").setup()


def test_many_are_counted_but_not_all_named():
    atoms = data_files.frames(1)[0]
    atoms.info[NOTES] = [(UNCONVERGED, "no")]
    with pytest.raises(DataError, match=r"9 of 9 frames did not converge: 0 \(no\), .*4 \(no\) and 4 more; data.unc"):
        list(ConvergedFrames((str(number), atoms) for number in range(9)))


def test_unknown_choice():
    with pytest.raises(ConfigError, match="unconverged"):
        module("a.extxyz", unconverged="ignore")


@pytest.mark.parametrize("given", ["text", 5, [1, 2], [("code",)], {"a": 1}, None, [("a", "b", "c")]])
def test_the_key_of_notes_in_a_file_is_no_note(given):
    atoms = data_files.frames(1)[0]
    atoms.info[NOTES] = given
    assert notes_of(atoms) == ()
    assert collect_frames([("a", atoms)], label_contract(None)).notes == [()]


@pytest.mark.parametrize("make", [data_files.outcar, data_files.vasprun])
def test_the_energy_that_forces_belong_to(make, tmp_path):
    path, expected = make(tmp_path, smearing=0.03), [atoms.calc.results["energy"] for atoms in data_files.frames()]
    free = module(path)
    assert energies(free) == pytest.approx([one - 0.03 for one in expected], abs=1e-7)
    census = free.census().sets["train"].labels["total_energy"]
    assert census.sources == {"results:free_energy": 3}
    assert census.instead_of == {"energy": 3}
    assert census.difference == pytest.approx(0.01, abs=1e-7)
    (note,) = collect_frames(read_placed([str(path)]), label_contract(None)).notes[0]
    assert note.text == "results:free_energy is taken, of which forces are the derivatives, not energy"
    assert "up to 0.01 eV/atom" in " ".join(str(free.census()).replace("│", " ").split())
    named = module(path, labels={"total_energy": "energy", "forces": "forces"})
    assert energies(named) == pytest.approx(expected, abs=1e-7)
    chosen = module(
        path, labels={"total_energy": {"key": "energy", "force_consistent": "free_energy"}, "forces": "forces"}
    )
    assert energies(chosen) == energies(free)


@pytest.mark.parametrize(
    ("used", "shift"), [({"forces"}, 0.03), ({"stress"}, 0.03), (set(), 0.0), ({"total_energy", "total_charge"}, 0.0)]
)
def test_a_training_on_energies_alone_takes_the_energy(used, shift, tmp_path):
    one = module(data_files.outcar(tmp_path, smearing=0.03))
    one.use_labels(used)
    expected = [atoms.calc.results["energy"] - shift for atoms in data_files.frames()]
    assert energies(one) == pytest.approx(expected, abs=1e-7)


def taken(atoms):
    """Where the energy comes from, by default, and the notes."""
    found = collect_frames([("a", atoms)], label_contract(None))
    return found.reports[0]["total_energy"].source, [note.code for note in found.notes[0]]


def labelled(**results):
    atoms = data_files.frames(1)[0]
    atoms.calc = SinglePointCalculator(atoms, **{**atoms.calc.results, **results})
    return atoms


def test_when_the_free_energy_is_taken():
    energy = data_files.frames(1)[0].calc.results["energy"]
    assert taken(labelled(free_energy=energy - 0.01)) == ("results:free_energy", [FORCE_CONSISTENT])
    assert taken(labelled()) == ("results:energy", [])
    assert taken(labelled(free_energy=energy)) == ("results:energy", [])
    assert taken(labelled(free_energy=energy + 1e-12)) == ("results:energy", [])
    assert taken(labelled(free_energy=np.nan)) == ("results:energy", [])
    without = labelled(free_energy=energy - 0.01)
    del without.calc.results["forces"]
    assert taken(without) == ("results:energy", [])
    only = labelled(free_energy=energy - 0.01)
    del only.calc.results["energy"]
    assert taken(only) == (None, [])


def test_free_energies_of_other_kinds_are_left_alone(tmp_path):
    gibbs = data_files.frames(1)[0]
    gibbs.info["free_energy"] = 7.0
    assert taken(gibbs) == ("results:energy", [])
    with ase.db.connect(tmp_path / "qm9.db", use_lock_file=False) as database:
        database.write(data_files.frames(1)[0], data={"free_energy": 7.0, "gap": 1.0})
    ((_, row),) = read_placed([str(tmp_path / "qm9.db")])
    assert taken(row) == ("results:energy", [])


def test_the_option_is_for_the_energy_and_not_empty():
    with pytest.raises(ConfigError, match="labels.forces.force_consistent: is for the label total_energy only"):
        label_contract({"forces": {"key": "forces", "force_consistent": "x"}}, "labels")
    with pytest.raises(ConfigError, match="force_consistent: must not be empty"):
        label_contract({"total_energy": {"key": "energy", "force_consistent": ""}}, "labels")
    assert without_force_consistent(label_contract(None))["total_energy"].force_consistent is None


@pytest.mark.parametrize("at_once", [1, 7, 10_000])
def test_compositions_of_many_frames(monkeypatch, at_once):
    monkeypatch.setattr(_collection, "_AT_ONCE", at_once)
    random = np.random.default_rng(0)
    frames = [
        {"atomic_numbers": torch.from_numpy(random.choice([1, 6, 79], size))} for size in random.integers(1, 6, 40)
    ]
    numbers = np.concatenate([one["atomic_numbers"].numpy() for one in frames])
    counts = np.array([len(one["atomic_numbers"]) for one in frames])
    assert compositions_of(numbers, counts) == [composition_of(one) for one in frames]
