"""Extended XYZ: what ASE would read in part, believe or refuse with an error about itself."""

import bz2
import gzip
import lzma
import time

import ase.io
import numpy as np
import pytest

from equipot.data._collection import NOTES
from equipot.data._readers import read_atoms
from equipot.errors import ConfigError, DataError

COLUMNS = "species:S:1:pos:R:3:forces:R:3"
ATOM = "H 0 0 0.5 0.1 0.2 0.3"


@pytest.fixture
def frame(tmp_path):
    """Write a frame and give the path: ``frame("energy=-1", rows=[...])``."""

    def make(comment, rows=(ATOM,), columns=COLUMNS, name="a.xyz", start=""):
        path = tmp_path / name
        lines = [str(len(rows)), f"Properties={columns} {comment}", *rows]
        path.write_text(start + "".join(f"{line}\n" for line in lines))
        return path

    return make


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.log", "a.out", "a.data", "a.xyz.gz", "a.gz", "a.bz2", "a.txt.xz"])
def test_frames_are_counted_whatever_the_name(frame, tmp_path, name):
    one = frame("energy=-1").read_text()
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get((tmp_path / name).suffix, bytes)
    path = tmp_path / name
    path.write_bytes(pack((one * 3).encode()))
    assert len(read_atoms(path)) == 3
    path.write_bytes(pack((one * 2 + "\n" + one).encode()))
    with pytest.raises(DataError, match=r"frame 2 \(line 8\): follows a blank line \(line 7\)"):
        read_atoms(path)


def test_a_key_with_two_values(frame):
    path = frame("energy=-1.5 free=F energy=-2.5")
    assert ase.io.read(path).get_potential_energy() == -2.5, "ASE believes the last"
    with pytest.raises(DataError, match=r"frame 0 \(line 1\): energy is there twice, as -1.5 and as -2.5; remove"):
        read_atoms(path)


@pytest.mark.parametrize(
    "comment", ["energy=-1.5 energy=-1.50", 'a="1 2" energy = -1.5 a={1.0 2.0}', 'note="energy=3 = x" energy=-1.5']
)
def test_equal_values_and_quoted_text_are_no_repetition(frame, comment):
    (atoms,) = read_atoms(frame(comment))
    assert atoms.get_potential_energy() == -1.5


def test_a_lattice_that_is_there_twice(frame):
    with pytest.raises(DataError, match=r"Lattice is there twice, as 4 0 0 0 4 0 0 0 4 and as 4 0 0 0 4 0 0 0 5"):
        read_atoms(frame('Lattice="4 0 0 0 4 0 0 0 4" energy=1 Lattice="4 0 0 0 4 0 0 0 5"'))


@pytest.mark.parametrize("text", ["{ ", "a={ ", "stress={ ", "a=1 " + " " * 40, '" '])
def test_hostile_comments_take_no_time(frame, text):
    start = time.process_time()
    with pytest.raises(DataError, match=r"frame 0 \(line 1\): "):
        read_atoms(frame("energy=1 energy=2 " + text * (1_000_000 // len(text))))
    assert time.process_time() - start < 5


def test_symbols_against_atomic_numbers(frame):
    columns = "species:S:1:pos:R:3:Z:I:1"
    path = frame("energy=-1", ["H 0 0 0 1", "H 0 0 1 8"], columns)
    assert ase.io.read(path).numbers.tolist() == [1, 8], "ASE believes Z"
    with pytest.raises(DataError, match=r"species 'H' and Z=8 contradict each other; remove the column"):
        read_atoms(path)
    agreeing = frame("energy=-1", ["H 0 0 0 1", "OW 0 0 1 8", "CA 0 0 2 6", "D 0 0 3 1"], columns)
    assert read_atoms(agreeing)[0].numbers.tolist() == [1, 8, 6, 1], "Z says what these names are"


@pytest.mark.parametrize("opening", ['"', "{", "["])
@pytest.mark.parametrize("key", ["stress", "virial"])
def test_six_numbers(frame, key, opening):
    closing = {'"': '"', "{": "}", "[": "]"}[opening]
    (atoms,) = read_atoms(frame(f"energy=-1 {key}={opening}1 2 3, 4 5 6{closing} pbc=T"))
    found = atoms.calc.results[key] if key == "stress" else atoms.info[key]
    assert found.tolist() == [1, 2, 3, 4, 5, 6]
    assert atoms.get_potential_energy() == -1


def test_nine_numbers_are_those_of_ase(frame):
    path = frame('energy=-1 stress="1 2 3 2 4 5 3 5 6"')
    assert read_atoms(path)[0].calc.results["stress"].tolist() == [1, 4, 6, 5, 3, 2]
    assert np.array_equal(ase.io.read(path).calc.results["stress"], read_atoms(path)[0].calc.results["stress"])


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ('stress="1 2 3"', "stress must have 6 .* or 9 numbers, got '\"1 2 3\"'"),
        ('virial="1 2 3 4 5 x"', "virial does not consist of numbers"),
    ],
)
def test_other_stress(frame, comment, message):
    with pytest.raises(DataError, match=message):
        read_atoms(frame(comment))


NAMES = {
    "D": "H",
    "T": "H",
    "H1": "H",
    "OW": "O",
    "HW2": "H",
    "C_a": "C",
    "Na+": "Na",
    "Cl1": "Cl",
    "8": "O",
    "MW": "?",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_no_elements(frame, name):
    path = frame("energy=-1", [f"{name} 0 0 0 0 0 0"])
    with pytest.raises(DataError) as caught:
        read_atoms(path)
    assert f"species '{name}' are not symbols of elements" in str(caught.value)
    assert f"for example species: {{{name}: {NAMES[name]}}}" in str(caught.value)
    (atoms,) = read_atoms(path, species={name: "Si"})
    assert atoms.get_chemical_symbols() == ["Si"]
    assert atoms.calc.results["forces"].tolist() == [[0, 0, 0]]


def test_type_numbers(frame):
    path = frame("energy=-1", ["1 0 0 0", "2 0 0 1", "1 0 0 2"], "species:I:1:pos:R:3")
    with pytest.raises(DataError, match="numbers may be those of types or of elements"):
        read_atoms(path)
    (atoms,) = read_atoms(path, species={"1": "O", "2": "Si"})
    assert atoms.get_chemical_symbols() == ["O", "Si", "O"]
    assert atoms.positions[2].tolist() == [0, 0, 2]


def test_names_in_capitals_are_noted(frame):
    (atoms,) = read_atoms(frame("energy=-1", ["CA 0 0 0 0 0 0", "c 0 0 1 0 0 0"]))
    assert atoms.get_chemical_symbols() == ["Ca", "C"]
    assert atoms.info[NOTES] == [("species-case", "species CA is read as the element Ca")]
    (atoms,) = read_atoms(frame("energy=-1", ["CA 0 0 0 0 0 0"]), species={"CA": "C"})
    assert atoms.get_chemical_symbols() == ["C"]
    assert NOTES not in atoms.info


def test_ghost_atoms(frame):
    from equipot.data import ASEDataModule
    from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper

    path = str(frame("energy=-1", [ATOM, "X 0 0 9 0 0 0"]))
    types = [ChemicalSpeciesToAtomTypeMapper(["H"])]
    with pytest.raises(
        DataError, match=r"without a type: X .*; X marks ghost atoms: remove them, or say what they are"
    ):
        ASEDataModule(1, train_file_path=path, transforms=types).setup()
    data = ASEDataModule(1, train_file_path=path, transforms=types, species={"X": "H"})
    assert data.dataset().raw(0)["atomic_numbers"].tolist() == [1, 1]


def test_species_of_a_data_section(frame):
    from equipot.data import ASEDataModule

    data = ASEDataModule(1, train_file_path=str(frame("energy=-1", ["7 0 0 0 0 0 0"])), species={7: "Si"})
    assert data.dataset().raw(0)["atomic_numbers"].tolist() == [14]
    with pytest.raises(ConfigError, match=r"species.OW: must be the symbol of an element, got 'Ox'; for example"):
        ASEDataModule(1, train_file_path="a.xyz", species={"OW": "Ox"})


def test_other_encodings(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_bytes("1\nProperties=species:S:1:pos:R:3 by=Andr\xe9\nH 0 0 0\n".encode("latin1"))
    with pytest.raises(DataError, match=r"a.xyz: is not text in UTF-8, as extended XYZ must be; save it again"):
        read_atoms(path)


def test_byte_order_mark(frame):
    (atoms,) = read_atoms(frame("energy=-1", name="a", start="\ufeff"))
    assert atoms.get_potential_energy() == -1


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([ATOM, "H 0 0 0 0 0 x"], COLUMNS, "forces of atom 1 must be a number, got 'x'"),
        ([ATOM, "H 0 0 0 0 0"], COLUMNS, "atom 1 has 6 columns, where Properties states 7"),
        ([ATOM], "species:S:1:pos:R:3:move:I:3", "move of atom 0 must be a whole number, got '0.1'"),
        ([ATOM], "species:S:1:pos:R:3:pos:R:3", "Properties names pos twice"),
        ([ATOM], "species:S:1:forces:R:3", "Properties names no column pos"),
        ([ATOM], "element:S:1:pos:R:3", "Properties names no column species or Z"),
        ([ATOM], "species:S:1:pos:Q:3", "types in Properties must be S, R, I or L, got 'Q'"),
        ([ATOM], "species:S:1:pos:R", "Properties must be like species:S:1:pos:R:3"),
    ],
)
def test_errors_are_not_those_of_ase(frame, rows, columns, message):
    with pytest.raises(DataError, match=message) as caught:
        read_atoms(frame("energy=-1", rows, columns))
    assert "Error:" not in str(caught.value)
