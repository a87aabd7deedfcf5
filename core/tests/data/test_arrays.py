"""NPZ archives without the toolbox: the names of rMD17 and sGDML."""

import gzip

import numpy as np
import pytest

from equipot.data import ArrayFrames, ASEDataModule, read_atoms, read_npz
from equipot.data._npz import read_npy
from equipot.errors import DataError
from equipot_test_support import data_files


def revised(path, **more):
    """An archive with the names of rMD17, in kcal/mol."""
    arrays, names = data_files.arrays(), {"R": "coords", "z": "nuclear_charges", "E": "energies", "F": "forces"}
    np.savez(path, **{names[name]: array for name, array in arrays.items()}, old_energies=arrays["E"] + 1, **more)
    return path


def test_all_numbers(tmp_path):
    found = read_atoms(revised(tmp_path / "ethanol.npz"))
    for ours, theirs in zip(found, data_files.frames(), strict=True):
        assert ours.numbers.tolist() == theirs.numbers.tolist()
        assert np.array_equal(ours.positions, theirs.positions)
        assert ours.info["energy"] == theirs.calc.results["energy"]
        assert ours.info["old_energies"] == theirs.calc.results["energy"] + 1
        assert np.array_equal(ours.arrays["forces"], theirs.calc.results["forces"])
        assert not ours.pbc.any()


def test_training_in_kcal_per_mol(tmp_path):
    path = str(revised(tmp_path / "ethanol.npz"))
    module = ASEDataModule(1, units="real", train_file_path=path, train_dataloader={"batch_size": 1})
    assert "kcal/mol/Å" in str(module.census())
    assert module.census().sets["train"].labels["forces"].sources == {"arrays:forces": 3}


def test_other_names_are_for_the_toolbox(tmp_path):
    np.savez(tmp_path / "a.npz", xyz=np.zeros((1, 1, 3)))
    with pytest.raises(
        DataError, match="no array is the positions; give key_mapping to a data set of the toolbox; arrays: xyz"
    ):
        read_atoms(tmp_path / "a.npz")


def test_two_names_for_one_thing(tmp_path):
    with pytest.raises(DataError, match="more than one array is the energy"):
        ArrayFrames(
            read_npz(str(revised(tmp_path / "a.npz", E=np.zeros(3)))), {"energies": "energy", "E": "energy"}, "a", "a"
        )


def test_a_compressed_archive_is_not_compressed_again(tmp_path):
    (tmp_path / "a.npz.gz").write_bytes(gzip.compress(revised(tmp_path / "a.npz").read_bytes()))
    with pytest.raises(DataError, match=r"a.npz.gz: is a compressed database; decompress it"):
        read_atoms(tmp_path / "a.npz.gz")


def test_npy_files(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3.0))
    assert read_npy(tmp_path / "a.npy").tolist() == [0, 1, 2]
    (tmp_path / "b.npy").write_bytes(b"text")
    with pytest.raises(DataError, match="b.npy: cannot be read: .*; it must be an NPY file of numbers"):
        read_npy(tmp_path / "b.npy")
