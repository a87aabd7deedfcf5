"""What all kinds of data sets have in common: files that are none, and arguments of readers."""

import os

import pytest

from equipot.errors import ConfigError, DataError
from equipot_toolbox import ASEDataset, HDF5Dataset, LMDBDataset, NPZDataset


@pytest.mark.parametrize("kind", [NPZDataset, HDF5Dataset, LMDBDataset])
def test_pipes_and_folders_are_not_waited_for(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(DataError, match="is not a regular file"):
            len(kind(str(path)))


@pytest.mark.parametrize("kind", [NPZDataset, HDF5Dataset, LMDBDataset])
def test_files_that_are_missing_or_something_else(tmp_path, kind):
    made = kind(str(tmp_path / "a"))
    with pytest.raises(DataError, match="a: no such file; relative paths start from"):
        len(made)
    (tmp_path / "a").write_bytes(b"text")
    with pytest.raises(DataError, match="a: cannot be read"):
        len(made)


def test_arguments_of_ase_are_checked():
    with pytest.raises(ConfigError, match=r"ase_args.format: is not a format that is read, got 'db2'"):
        ASEDataset("a.xyz", {"format": "db2"})


def test_names_of_atoms_in_a_data_set(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text("1\nProperties=species:S:1:pos:R:3 energy=-1\nOW 0 0 0\n")
    assert ASEDataset(str(path), species={"OW": "O"}).atoms(0).get_chemical_symbols() == ["O"]
    with pytest.raises(DataError, match=r"for example species: {OW: O}"):
        ASEDataset(str(path)).atoms(0)
