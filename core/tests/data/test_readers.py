import logging

import ase.io
import numpy as np
import pytest

from equipot.data._readers import read_atoms
from equipot.errors import DataError
from equipot.files import file_digest


@pytest.fixture
def text(water, write, tmp_path):
    return (tmp_path / write("whole.extxyz", water(3))).read_text()


@pytest.fixture
def broken(tmp_path):
    def make(content, name="broken.extxyz"):
        path = tmp_path / name
        path.write_text(content)
        return path

    return make


def test_all_frames_are_read(text, broken):
    assert len(read_atoms(broken(text))) == 3
    assert len(read_atoms(broken(text, "other.xyz"))) == 3
    assert len(read_atoms(broken(text), {"index": "1:"})) == 2
    assert len(read_atoms(broken(text + "\n \n"))) == 3, "blank lines at the end are harmless"


def cut(text, lines):
    return "".join(text.splitlines(keepends=True)[:lines])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (14, r"broken.extxyz, frame 2 \(line 11\): is cut off: 2 of 3 atoms"),
        (12, r"broken.extxyz, frame 2 \(line 11\): is cut off: 0 of 3 atoms"),
        (11, r"broken.extxyz, frame 2 \(line 11\): is cut off: 0 of 3 atoms"),
        (7, r"broken.extxyz, frame 1 \(line 6\): is cut off: 0 of 3 atoms"),
    ],
)
def test_file_cut_between_lines(text, broken, lines, message):
    with pytest.raises(DataError, match=message):
        read_atoms(broken(cut(text, lines)))


def test_file_cut_in_a_line(text, broken):
    with pytest.raises(DataError, match=r"broken.extxyz: cannot be read beyond frame 2 \(counted from 0\): ValueError"):
        read_atoms(broken(text[:-20]))


def test_file_cut_in_its_last_number_is_reported(text, broken, caplog):
    with caplog.at_level(logging.WARNING):
        assert len(read_atoms(broken(text[:-4]))) == 3
    assert "the last line has no line end" in caplog.text


def test_frames_after_a_blank_line_are_not_lost(text, broken):
    path = broken(text + "\n" + text)
    assert len(ase.io.read(path, ":")) == 3, "ASE alone drops the second half"
    with pytest.raises(DataError, match=r"frame 3: follows a blank line \(line 16\), where ASE stops reading"):
        read_atoms(path)


def test_rubbish_between_frames(text, broken):
    with pytest.raises(DataError, match=r"frame 3 \(line 16\): must start with the number of atoms, got 'rubbish'"):
        read_atoms(broken(text + "rubbish\n"))


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_empty_file(broken, content):
    with pytest.raises(DataError, match=r"broken.extxyz: is empty"):
        read_atoms(broken(content))


def test_missing_file_offers_the_nearest_name(text, broken, tmp_path):
    broken(text, "train.extxyz")
    with pytest.raises(DataError, match=r"trian.extxyz: no such file; did you mean 'train.extxyz'\?"):
        read_atoms(tmp_path / "trian.extxyz")
    with pytest.raises(DataError, match="no such file; relative paths start from"):
        read_atoms(tmp_path / "nowhere" / "x.extxyz")


def test_unknown_format(broken):
    with pytest.raises(DataError, match="notes.dat: cannot be read beyond frame 0"):
        read_atoms(broken("hello world\n", "notes.dat"))


def test_path_with_at_sign_and_spaces(text, broken):
    assert len(read_atoms(broken(text, "a @ 300 K.xyz"))) == 3


@pytest.mark.parametrize("name", ["frames.db", "frames.traj", "frames.json"])
def test_other_formats_of_ase(water, tmp_path, name):
    frames = water(2)
    ase.io.write(tmp_path / name, frames)
    read = read_atoms(tmp_path / name)
    assert len(read) == 2
    assert np.allclose(read[1].calc.results["forces"], frames[1].calc.results["forces"])


def test_outcar(extra_data):
    atoms = read_atoms(extra_data / "small_mixed" / "OUTCAR_1_1")
    assert len(atoms) == 1
    assert len(atoms[0]) == 96


def test_compressed_file(water, tmp_path):
    path = tmp_path / "frames.xyz.gz"
    ase.io.write(path, water(2), format="extxyz")
    assert len(read_atoms(path)) == 2


def test_hash_depends_on_content_only(broken, tmp_path):
    first, second = broken("same", "a"), broken("same", "b")
    assert file_digest(first) == file_digest(second)
    assert file_digest(first) != file_digest(broken("other", "c"))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "x").write_text("1")
    before = file_digest(folder)
    (folder / "x").rename(folder / "y")
    assert file_digest(folder) != before
