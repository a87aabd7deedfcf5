"""A frame that was cut off is not lost, or read in part, without a word."""

import gzip

import pytest

from equipot.data._frame_count import MARKS
from equipot.data._readers import read_atoms
from equipot.errors import DataError
from equipot_test_support.data_files import castep, runner


def twice(path):
    """The lines of a file of two frames."""
    lines = path.read_text().splitlines(keepends=True)
    if "castep" not in path.name and path.suffix != ".md":
        return lines[:20]
    return lines + lines[4:]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("make", [runner, castep])
def test_files_cut_after_any_line(tmp_path, make, packed):
    path = make(tmp_path)
    lines = twice(path)
    for number in range(len(lines) // 2, len(lines)):
        text = "".join(lines[:number]).encode()
        target = path.with_name(f"{path.name}.gz") if packed else path
        target.write_bytes(gzip.compress(text) if packed else text)
        try:
            found = read_atoms(target)
        except DataError:
            continue
        assert all(len(atoms) == 3 for atoms in found)
        assert len(found) == sum("begin" in line or "<-- E" in line for line in lines[:number]), "none is lost"


@pytest.mark.parametrize("make", [runner, castep])
def test_whole_files_are_read(tmp_path, make):
    path = make(tmp_path)
    path.write_text("".join(twice(path)))
    assert [len(atoms) for atoms in read_atoms(path)] == [3, 3]


def test_the_message_says_how_many(tmp_path):
    path = runner(tmp_path)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:19]))
    with pytest.raises(DataError, match="input.data: has 2 frames, of which only 1 are whole; it was cut off"):
        read_atoms(path)
    assert len(read_atoms(path, {"index": ":1"})) == 1, "what is asked for is whole"
    assert "castep-geom" in MARKS
