"""Folders of DeePMD-kit: every number, the sign of the virial, mixed types, and what is refused."""

import shutil

import numpy as np
import pytest

from equipot.data import ASEDataModule, read_atoms, read_placed
from equipot.errors import DataError
from equipot_test_support import data_files


@pytest.mark.parametrize("mixed", [False, True])
def test_all_numbers(mixed, tmp_path):
    found = read_atoms(data_files.deepmd(tmp_path, mixed=mixed))
    for ours, theirs in zip(found, data_files.frames(), strict=True):
        results, expected = ours.calc.results, theirs.calc.results
        assert ours.numbers.tolist() == theirs.numbers.tolist()
        assert np.array_equal(ours.positions, theirs.positions)
        assert np.array_equal(ours.cell.array, theirs.cell.array)
        assert ours.pbc.all()
        assert results["energy"] == expected["energy"]
        assert np.array_equal(results["forces"], expected["forces"])
        assert results["stress"] == pytest.approx(expected["stress"], rel=1e-14)


def test_virial_of_a_compressed_crystal_is_positive(tmp_path):
    folder = data_files.deepmd(tmp_path)
    np.save(folder / "set.000/virial.npy", np.tile(np.diag([3.0, 2.0, 1.0]).ravel(), (2, 1)))
    atoms = read_atoms(folder)[0]
    assert atoms.calc.results["stress"] * atoms.get_volume() == pytest.approx([-3, -2, -1, 0, 0, 0])


def test_without_periodicity(tmp_path):
    atoms = read_atoms(data_files.deepmd(tmp_path, periodic=False))[0]
    assert not atoms.pbc.any()
    assert not atoms.cell.array.any()
    assert set(atoms.calc.results) == {"energy", "forces"}


def test_energies_of_atoms(tmp_path):
    folder = data_files.deepmd(tmp_path)
    np.save(folder / "set.000/atom_ener.npy", np.arange(6.0).reshape(2, 3))
    assert read_atoms(folder)[1].calc.results["energies"].tolist() == [3.0, 4.0, 5.0]


def test_places_and_training(tmp_path):
    folder = data_files.deepmd(tmp_path)
    assert [place for place, _ in read_placed([str(folder)])] == [f"{folder}, frame {n}" for n in range(3)]
    assert len(read_atoms(folder, {"index": "1:"})) == 2
    module = ASEDataModule(1, train_file_path=str(folder), train_dataloader={"batch_size": 1})
    assert module.census().sets["train"].labels["stress"].present == 3
    assert len(module.file_hashes()[str(folder)]) == 64


def change(name, array):
    return lambda folder: np.save(folder / f"set.000/{name}.npy", array)


def text(name, content):
    return lambda folder: (folder / name).write_text(content)


WRONG = {
    "no names": (lambda folder: (folder / "type_map.raw").unlink(), "type_map.raw: there is no such file"),
    "no elements": (text("type_map.raw", "H\nOW\n"), "type_map.raw: has names that are not elements, got 'OW'"),
    "words": (text("type.raw", "0 1 x"), "type.raw: cannot be read: ValueError"),
    "nothing": (text("type.raw", ""), "type.raw: must have a type from 0 to 1 for each atom"),
    "another type": (text("type.raw", "0 1 2"), "type.raw: must have a type from 0 to 1 for each atom.*got"),
    "negative": (text("type.raw", "0 1 -1"), "type.raw: must have a type from 0 to 1"),
    "fewer atoms": (text("type.raw", "0 1"), r"coord.npy: must have 6 numbers for each of 2 frames \(2 atoms\)"),
    "no sets": (lambda folder: [shutil.rmtree(one) for one in folder.glob("set.*")], r"has no set.\* folder"),
    "no box": (lambda folder: (folder / "set.000/box.npy").unlink(), "box.npy: there is no such file"),
    "no coordinates": (lambda folder: (folder / "set.000/coord.npy").unlink(), "coord.npy: there is no such file"),
    "other frames": (change("energy", np.zeros(3)), "energy.npy: must have 1 numbers for each of 2 frames"),
    "shape": (change("force", np.zeros((2, 8))), r"force.npy: must have 9 numbers for each of 2 frames .*got \(2, 8\)"),
    "number": (change("coord", np.float64(1)), "coord.npy: must have 9 numbers for each of 0 frames"),
    "no frames": (change("coord", np.zeros((0, 9))), "coord.npy: must have 9 numbers for each of 0 frames"),
    "text": (change("energy", np.array(["a", "b"])), "energy.npy: is not an array of numbers"),
    "objects": (
        change("energy", np.array([{}, {}], dtype=object)),
        "energy.npy: cannot be read: it has Python objects",
    ),
    "cut off": (lambda folder: cut(folder / "set.000/force.npy"), r"force.npy: states an array of shape \(2, 9\)"),
    "link": (lambda folder: link(folder, "set.000/energy.npy"), "energy.npy: is a link, which is not followed"),
    "linked set": (lambda folder: link(folder, "set.000"), "set.000: is a link, which is not followed"),
    "linked types": (lambda folder: link(folder, "type_map.raw"), "type_map.raw: is a link, which is not followed"),
    "set that is a file": (lambda folder: (folder / "set.002").touch(), "set.002: is not a folder"),
    "mixed type": (
        change("real_atom_types", np.full((2, 3), 7)),
        "a type without a name in real_atom_types.npy, got 7",
    ),
}


def cut(path):
    path.write_bytes(path.read_bytes()[:-8])


def link(folder, name):
    (folder / name).rename(folder / "elsewhere")
    (folder / name).symlink_to(folder / "elsewhere")


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_named(kind, tmp_path):
    spoil, message = WRONG[kind]
    folder = data_files.deepmd(tmp_path)
    spoil(folder)
    with pytest.raises(DataError, match=message):
        read_atoms(folder)


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match="is not a regular file"):
        read_atoms(tmp_path)
