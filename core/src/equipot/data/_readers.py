"""Read labelled frames from files of the formats of ``equipot.data._formats``."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from equipot._progress import progress
from equipot.data._arrays import read_npz_frames
from equipot.data._databases import read_json, read_lmdb_rows, read_sqlite
from equipot.data._deepmd import folder_size, is_deepmd, read_deepmd
from equipot.data._extxyz import read_extxyz
from equipot.data._formats import FORMATS, check_arguments, format_of, selection
from equipot.data._frame_count import MARKS, CountedText
from equipot.data._outputs._aims import read_aims
from equipot.data._outputs._castep import say_unconverged
from equipot.data._outputs._cp2k import read_cp2k
from equipot.data._outputs._cp2k_trajectory import read_cp2k_trajectory
from equipot.data._outputs._espresso import read_espresso
from equipot.data._outputs._molecules import read_gaussian, read_orca
from equipot.data._outputs._vasp import read_outcar, read_vasprun
from equipot.data._streams import ALLOWANCE, EXPANSION, OutputText, compression, largest, opened, reading
from equipot.data._trajectories import read_trajectory
from equipot.errors import ArtifactError, DataError, did_you_mean, problem
from equipot.files import require_regular

if TYPE_CHECKING:
    from ase import Atoms

_HEAD = 50_000
_IN_FOLDERS = ("db", "aselmdb", "npz")
_OUTPUTS = {
    "vasp-out": read_outcar,
    "gaussian-out": read_gaussian,
    "orca-output": read_orca,
    "cp2k-output": read_cp2k,
    "aims-output": read_aims,
}


def read_atoms(
    path: str | Path, ase_args: Mapping[str, Any] | None = None, species: Mapping[Any, str] | None = None
) -> list[Atoms]:
    """All frames of a file.

    Args:
        path: The file, which may be compressed (``.gz``, ``.bz2``, ``.xz``), or a folder of DeePMD-kit.
        ase_args: ``format``, ``index`` and further arguments that the format allows, e.g.
            ``{"format": "extxyz", "index": ":100"}``; all frames by default.
        species: Element of each name of atoms in extended XYZ that is not a symbol, e.g. ``{"OW": "O", 1: "Si"}``.

    Returns:
        At least one structure, as ASE reads it. Constraints may be attached, but are never applied.

    Raises:
        ConfigError: If an argument is unknown or has the wrong type.
        DataError: If the file is missing, empty, cut off or not readable; the message names file and frame.
    """
    check_arguments(ase_args)
    file = Path(path)
    if not is_deepmd(file):
        check_file(file)
    chosen = selection(ase_args)
    names = {str(name): symbol for name, symbol in (species or {}).items()}
    if frames := list(_selected(_within_size(_frames(file, ase_args or {}, names), file), chosen)):
        return frames
    raise DataError(problem(str(file), "has no frames" if chosen == slice(None) else "has no such frames"))


def read_placed(
    files: Iterable[str], ase_args: Mapping[str, Any] | None = None, species: Mapping[Any, str] | None = None
) -> Iterator[tuple[str, Atoms]]:
    """All frames of several files, each with its place for messages: the file and the index from 0.

    Args:
        files: Paths.
        ase_args: As for ``read_atoms``.
        species: As for ``read_atoms``.

    Raises:
        DataError: As for ``read_atoms``.
    """
    for file in files:
        for index, atoms in enumerate(read_atoms(file, ase_args, species)):
            yield f"{file}, frame {index}", atoms


def check_file(path: str | Path) -> None:
    """Check that a path is a regular file, which can be read without waiting.

    Raises:
        DataError: If it is not; if it is missing, the message suggests a file with a similar name.
    """
    file = Path(path)
    if not os.path.lexists(file):
        siblings = [item.name for item in file.parent.iterdir()] if file.parent.is_dir() else []
        hint = did_you_mean(file.name, siblings) or f"relative paths start from {Path.cwd()}"
        raise DataError(problem(str(file), "no such file", hint=hint))
    try:
        require_regular(file)
    except ArtifactError as error:
        raise DataError(str(error)) from None


def _frames(file: Path, arguments: Mapping[str, Any], species: Mapping[str, str]) -> Iterator[Atoms]:
    """The frames of a file, with errors that name file and frame."""
    number = 0

    def place() -> str:
        return f"{file}, frame {number} (counted from 0)"

    if is_deepmd(file):
        with reading(place):
            for atoms in read_deepmd(file):
                yield atoms
                number += 1
        return
    with reading(place), opened(file) as stream:
        name = arguments.get("format") or format_of(file, head_of(stream))
        if name in _IN_FOLDERS and compression(file):
            raise DataError(problem(str(file), "is a compressed database", hint="decompress it"))
        further = {key: value for key, value in arguments.items() if key in FORMATS[name]}
        with _shown(name, file, stream) as show:
            for atoms in _read(name, file, stream, further, species):
                yield atoms
                number += 1
                show()


@contextlib.contextmanager
def _shown(name: str, file: Path, stream: BinaryIO) -> Iterator[Callable[[], object]]:
    """The progress of reading outputs of programs, by the position in the file; other readers show their own."""
    if name in (*_IN_FOLDERS, "extxyz") or compression(file):
        yield lambda: None
        return
    with progress(f"reading {file.name}", file.stat().st_size) as update:
        yield lambda: None if stream.closed else update(stream.tell())


def head_of(stream: Any) -> bytes:
    """The first bytes, which stay there to be read."""
    if not stream.seekable():
        return bytes(stream.peek(_HEAD)[:_HEAD])
    found: bytes = stream.read(_HEAD)
    stream.seek(0)
    return found


def _read(
    name: str, file: Path, stream: BinaryIO, further: Mapping[str, Any], species: Mapping[str, str]
) -> Iterator[Atoms]:
    """The frames of an open file of a format."""
    if name == "extxyz":
        with io.TextIOWrapper(stream, encoding="utf-8-sig") as lines:
            yield from read_extxyz(lines, str(file), species)
    elif name == "traj":
        yield from read_trajectory(stream, str(file))
    elif name == "json":
        yield from read_json(stream.read().decode("utf-8-sig"), str(file))
    elif name == "db":
        yield from read_sqlite(file)
    elif name == "aselmdb":
        yield from read_lmdb_rows(file)
    elif name == "npz":
        yield from read_npz_frames(str(file))
    elif name == "cp2k-trajectory":
        yield from _numbered(read_cp2k_trajectory(stream, file, species), str(file))
    elif name == "vasp-xml":
        yield from _numbered(read_vasprun(stream, str(file)), str(file))
    else:
        size = file.stat().st_size
        limit = largest(size) if compression(file) else size
        if name in MARKS:
            with CountedText(stream, str(file), limit, name) as counted:
                yield from counted.whole(_read_output(name, counted, str(file), further))
            return
        with OutputText(stream, str(file), limit) as text:
            yield from _numbered(_read_output(name, text, str(file), further), str(file))


def _read_output(name: str, text: TextIO, file: str, further: Mapping[str, Any]) -> Iterator[Atoms]:
    """The frames of a program's output."""
    if name == "espresso-out":
        return read_espresso(text, file, **further)
    if name in _OUTPUTS:
        return _OUTPUTS[name](text, file)
    if name.startswith("castep"):
        say_unconverged(Path(file))
    from ase.io.formats import ioformats

    if name not in ioformats:
        what = f"has the format {name}, which the installed version of ASE does not read"
        raise DataError(problem(file, what, hint="pip install --upgrade ase"))
    frames: Iterator[Atoms] = ioformats[name].read(text, slice(None))
    return frames


def _numbered(frames: Iterator[Atoms], file: str) -> Iterator[Atoms]:
    """The frames of an output; an error about the file names the frame as well."""
    number = 0
    try:
        for atoms in frames:
            yield atoms
            number += 1
    except DataError as error:
        place = f"{file}, frame {number} (counted from 0): "
        raise DataError(str(error).replace(f"{file}: ", place, 1)) from None


def _within_size(frames: Iterator[Atoms], file: Path) -> Iterator[Atoms]:
    """The frames, until they hold more than a file of this size can; parts of a file can be used many times."""
    left = 2 * EXPANSION * (folder_size(file) if file.is_dir() else file.stat().st_size) + ALLOWANCE
    for atoms in frames:
        results = getattr(atoms.calc, "results", None) or {}
        held = itertools.chain(atoms.arrays.values(), atoms.info.values(), results.values())
        left -= sum(getattr(value, "nbytes", 0) for value in held)
        if left < 0:
            what = "holds more than a file of its size can"
            raise DataError(problem(str(file), what, hint="decompress it yourself if you trust it"))
        yield atoms


def _selected(frames: Iterator[Atoms], chosen: slice | int) -> Iterable[Atoms]:
    """Some of the frames; without negative indices no more is read than needed."""
    if isinstance(chosen, int):
        chosen = slice(chosen, chosen + 1 or None)
    start, stop, step = chosen.start, chosen.stop, chosen.step
    if all(one is None or one >= 0 for one in (start, stop)) and (step is None or step > 0):
        return itertools.islice(frames, start, stop, step)
    return list(frames)[chosen]
