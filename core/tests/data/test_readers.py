import bz2
import gzip
import logging
import lzma

import ase
import ase.db
import ase.io
import numpy as np
import pytest

from equipot import _progress
from equipot.data._collection import NOTES
from equipot.data._readers import read_atoms
from equipot.errors import DataError
from equipot.files import file_digest
from equipot_test_support import data_files


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
    with pytest.raises(DataError, match=r"frame 2 \(line 11\): atom 2 has 6 columns, where Properties states 7"):
        read_atoms(broken(text[:-18]))


@pytest.mark.parametrize("name", ["broken.extxyz", "broken.extxyz.gz", "broken"])
def test_file_cut_in_its_last_number(text, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text[:-4].encode()) if name.endswith("gz") else text[:-4].encode())
    with pytest.raises(
        DataError, match=r"frame 2 \(line 11\): is cut off: its last number has fewer digits.*got '0.42"
    ):
        read_atoms(path)


def test_last_line_without_an_end_is_reported(text, broken, caplog):
    with caplog.at_level(logging.WARNING):
        *others, last = read_atoms(broken(text[:-1]))
    assert len(others) == 2
    assert "the last line has no line end" in caplog.text
    assert [code for code, _ in last.info[NOTES]] == ["no-line-end"]
    assert not any(NOTES in one.info for one in others)


def test_last_number_may_be_short_where_others_are(text, broken):
    shorter = text.replace("0.39512206", "0.3951")
    assert len(read_atoms(broken(shorter[:-4]))) == 3


def test_frames_after_a_blank_line_are_not_lost(text, broken):
    path = broken(text + "\n" + text)
    assert len(ase.io.read(path, ":")) == 3, "ASE alone drops the second half"
    with pytest.raises(DataError, match=r"frame 3 \(line 17\): follows a blank line \(line 16\), where ASE stops"):
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
    with pytest.raises(DataError, match=r"notes.dat: has an unknown format.*or convert it with 'ase convert"):
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


@pytest.mark.parametrize("suffix", ["xyz.gz", "extxyz.bz2", "xyz.xz", "traj.gz"])
def test_compressed_file(water, tmp_path, suffix):
    path = tmp_path / f"frames.{suffix}"
    plain = tmp_path / f"plain.{suffix.split('.')[0]}"
    ase.io.write(plain, water(2), format="traj" if "traj" in suffix else "extxyz")
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[suffix.split(".")[1]]
    content = plain.read_bytes()
    path.write_bytes(pack(content[:100]) + pack(content[100:]))  # two streams one after the other are one file
    assert [atoms.positions.tolist() for atoms in read_atoms(path)] == [
        atoms.positions.tolist() for atoms in read_atoms(plain)
    ]


def test_frames_after_a_blank_line_in_a_compressed_file_are_not_lost(text, tmp_path):
    path = tmp_path / "a.xyz.gz"
    path.write_bytes(gzip.compress((text + "\n" + text).encode()))
    with pytest.raises(DataError, match="frame 3 .*: follows a blank line"):
        read_atoms(path)


@pytest.mark.parametrize(
    ("index", "frames"),
    [(1, [1]), (-1, [4]), (":2", [0, 1]), ("::2", [0, 2, 4]), ("-2:", [3, 4]), ("::-1", [4, 3, 2, 1, 0])],
)
def test_index(water, write, index, frames):
    path = write("five.extxyz", water(5))
    whole = [atoms.positions.tolist() for atoms in read_atoms(path)]
    assert [atoms.positions.tolist() for atoms in read_atoms(path, {"index": index})] == [whole[n] for n in frames]


def test_index_of_no_frame(water, write):
    with pytest.raises(DataError, match="has no such frames"):
        read_atoms(write("two.extxyz", water(2)), {"index": "7:"})


def test_no_more_is_read_than_asked_for(text, broken):
    assert len(read_atoms(broken(text + "rubbish"), {"index": ":3"})) == 3


def test_vectors_and_a_byte_order_mark(broken):
    text = "1\n\nH 0 0 0\nVEC1 2 0 0\nVEC2 0 3 0\n"
    first, second = read_atoms(broken(f"\ufeff{text}{text}"))
    assert first.pbc.tolist() == second.pbc.tolist() == [True, True, False]


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


def database(folder):
    path = folder / "a.db"
    with ase.db.connect(path) as rows:
        for size in (1, 2, 3):
            rows.write(ase.Atoms(f"H{size}", np.arange(3.0 * size).reshape(-1, 3)))
    return path


@pytest.mark.parametrize("make", [data_files.vasprun, data_files.deepmd, database])
def test_reading_shows_how_far_it_is(make, tmp_path, monkeypatch):
    """By the position in the file, or by the frames where their number is known."""
    steps = []

    class Steps:
        def __init__(self, what, total):
            steps.append([what, total])

        def update(self, done):
            steps[-1].append(done)

        def end(self):
            steps[-1].append("end")

    monkeypatch.setitem(_progress._state, "shown", True)
    monkeypatch.setattr(_progress, "_Lines", Steps)
    frames = read_atoms(make(tmp_path))
    assert sum(len(one) - 3 for one in steps) == len(frames)
    for what, total, *done, end in steps:
        assert what.startswith("reading ")
        assert 0 < done[0] <= done[-1] == total
        assert end == "end"
