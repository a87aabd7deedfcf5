"""ASE's databases are read as ASE reads them, and never changed."""

import ase.db
import numpy as np
import pytest

from equipot.data import read_atoms
from equipot.data._databases import array_of, decoded
from equipot.errors import DataError
from equipot.files import file_digest


@pytest.fixture
def database(water, tmp_path):
    def make(name):
        with ase.db.connect(tmp_path / name, use_lock_file=False) as made:
            for number, atoms in enumerate(water(3, cell=[4, 5, 6])):
                made.write(
                    atoms,
                    {"dft_energy": -1.5 - number, "kind": "bulk"},
                    data={"more": np.arange(3.0), "deep": {"list": [1, [2]]}},
                )
        return tmp_path / name

    return make


@pytest.mark.parametrize("name", ["a.db", "a.json"])
def test_rows_are_those_of_ase(database, name):
    path = database(name)
    rows = [row.toatoms(add_additional_information=True) for row in ase.db.connect(path).select()]
    for ours, theirs in zip(read_atoms(path), rows, strict=True):
        assert ours == theirs
        assert ours.info["key_value_pairs"] == theirs.info["key_value_pairs"]
        np.testing.assert_array_equal(ours.info["data"]["more"], theirs.info["data"]["more"])
        assert ours.info["data"]["deep"] == theirs.info["data"]["deep"]
        np.testing.assert_array_equal(ours.calc.results["forces"], theirs.calc.results["forces"])


@pytest.mark.parametrize("name", ["a.db", "a.json"])
def test_reading_changes_nothing(database, name, tmp_path):
    path = database(name)
    before, files = file_digest(path), sorted(tmp_path.iterdir())
    path.chmod(0o444)
    assert len(read_atoms(path)) == 3
    assert (file_digest(path), sorted(tmp_path.iterdir())) == (before, files)


def test_an_empty_file_stays_empty(tmp_path):
    (tmp_path / "a.db").touch()
    with pytest.raises(DataError, match=r"a.db: is not a database of ASE: it is not an SQLite file"):
        read_atoms(tmp_path / "a.db")
    assert (tmp_path / "a.db").stat().st_size == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]


def test_constraints_are_not_made(water, tmp_path):
    from ase.constraints import FixAtoms

    (atoms,) = water(1)
    atoms.set_constraint(FixAtoms([0]))
    ase.db.connect(tmp_path / "a.db", use_lock_file=False).write(atoms)
    (read,) = read_atoms(tmp_path / "a.db")
    assert not read.constraints
    np.testing.assert_array_equal(read.calc.results["forces"], atoms.calc.results["forces"])


def test_arrays_hold_what_is_there():
    assert array_of([2, 2], "float64", [1, 2, 3, 4]).tolist() == [[1, 2], [3, 4]]
    assert array_of([1], "complex128", [1.0, 2.0]).tolist() == [1 + 2j]
    assert array_of([1], "<U3", ["abc"]) == ["abc"]
    with pytest.raises(ValueError, match="cannot reshape"):
        array_of([10**9], "float64", [1.0])
    assert decoded('{"__ase_objtype__": "bandpath", "labelseq": "GX"}') == {
        "__ase_objtype__": "bandpath",
        "labelseq": "GX",
    }


def test_a_database_that_is_being_written(database):
    path = database("a.db")
    path.with_name("a.db-wal").write_bytes(b"changes")
    with pytest.raises(DataError, match=r"has changes that are not written yet, in a.db-wal"):
        read_atoms(path)
