"""Files are bounded in size, and every failure of a reader names the file."""

import gzip
import io
import os

import pytest

from equipot.data import check_file, read_atoms
from equipot.data._streams import ALLOWANCE, OutputText, largest, opened, reading
from equipot.errors import ArtifactError, DataError


@pytest.mark.parametrize(
    "error",
    [KeyError("R"), MemoryError(), RecursionError("deep"), OverflowError("x"), AssertionError(), UnicodeError("x")],
)
def test_every_failure_names_the_file(error):
    with (
        pytest.raises(DataError, match=rf"a.npz: cannot be read: {type(error).__name__}.*; copy it again"),
        reading("a.npz", "copy it again"),
    ):
        raise error


def test_messages_that_are_already_good_stay():
    with pytest.raises(DataError, match="^frame 3: has no atoms$"), reading("a.npz"):
        raise DataError("frame 3: has no atoms")
    with pytest.raises(DataError, match="^a: is not a regular file$"), reading("a.npz"):
        raise ArtifactError("a: is not a regular file")
    with pytest.raises(DataError, match=r"a: cannot be read: ValueError: x{200}") as caught, reading("a"):
        raise ValueError("x" * 10**6)
    assert len(str(caught.value)) < 400


def test_an_interrupt_passes():
    with pytest.raises(KeyboardInterrupt), reading("a"):
        raise KeyboardInterrupt


def test_a_bomb_is_not_expanded(tmp_path):
    path = tmp_path / "a.xyz.gz"
    path.write_bytes(gzip.compress(bytes(2 * ALLOWANCE)))
    with pytest.raises(DataError, match="a.xyz.gz: expands to more than 25 times its size"), opened(path) as stream:
        list(iter(lambda: stream.read(2**20), b""))
    assert largest(path.stat().st_size) < 2 * ALLOWANCE


def test_last_line_without_an_end_is_left_out(caplog):
    text = OutputText(io.BytesIO(b"energy = -76.4\nenergy = -7"), "a.out", 9)
    assert list(text) == ["energy = -76.4\n"]
    assert caplog.messages == ["a.out: the last line has no end and is left out; the file was cut off"]
    assert list(OutputText(io.BytesIO(b"end"), "input.data", 9, whole_lines=False)) == ["end"]


def test_output_that_ends_too_early():
    text = OutputText(io.BytesIO(b"one line\n"), "OUTCAR", 9)
    with pytest.raises(DataError, match="OUTCAR: is cut off"):
        list(iter(text.readline, None))


@pytest.mark.parametrize(
    "line", ["ions per type =  900000000 2", "number of atoms/cell      =  1000000000000", "NKPTS = 99999 NBANDS= 12"]
)
def test_numbers_that_the_file_cannot_hold(line):
    with pytest.raises(DataError, match="OUTCAR: states more than a file of this size can have"):
        OutputText(io.BytesIO(f"{line}\n".encode()), "OUTCAR", 5000).readline()
    assert OutputText(io.BytesIO(b"number of electron 63.9999995 magnetization\n"), "OUTCAR", 99).readline()


@pytest.mark.parametrize("suffix", ["extxyz", "db", "json", "traj", "aselmdb"])
def test_pipes_and_folders_are_not_waited_for(tmp_path, suffix):
    os.mkfifo(tmp_path / f"pipe.{suffix}")
    (tmp_path / f"folder.{suffix}").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(DataError, match=f"{name}.{suffix}: is not a regular file"):
            read_atoms(tmp_path / f"{name}.{suffix}")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(DataError, match="dangling: there is no such file"):
        check_file(tmp_path / "dangling")
