"""Write labelled frames: extended XYZ with all digits, databases of ASE, and packed NPZ archives."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from equipot.data._packed import Array
from equipot.data._packed_npz import MARK, PRESENT, VERSION
from equipot.data._stored import StoredFrame
from equipot.errors import DataError, problem

_BARE = re.compile(r"[A-Za-z0-9_.+\-:/]+")
_FULL = (0, 5, 4, 5, 1, 3, 4, 3, 2)
"""The matrix of a stress with six numbers, which ASE reads from extended XYZ only if there are nine."""

_UNWRITABLE = re.compile(r"[\"\\\n\r]")


def write_extxyz(path: Path, frames: Iterable[StoredFrame]) -> None:
    """Write extended XYZ, each number with the digits that give it back exactly.

    Args:
        path: The file.
        frames: In order.

    Raises:
        DataError: If the text of a frame cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for frame in frames:
            file.writelines(_extxyz_lines(frame))


def _extxyz_lines(frame: StoredFrame) -> Iterator[str]:
    from ase.data import chemical_symbols

    geometry, columns = frame.geometry, {"pos": frame.geometry["positions"], **frame.atoms}
    widths = [f"{key}:R:{value[0].size}" for key, value in columns.items()]
    pairs = [f'Lattice="{_numbers(geometry["cell"])}"'] if geometry["cell"].any() else []
    pairs.append(":".join(["Properties=species:S:1", *widths]))
    for key, value in frame.frame.items():
        text = _numbers(value[list(_FULL)] if key == "stress" else value)
        pairs.append(f'{key}="{text}"' if value.size > 1 else f"{key}={text}")
    pairs.append(f'pbc="{" ".join("T" if one else "F" for one in geometry["pbc"].ravel())}"')
    pairs += [f"{key}={_quoted(text)}" for key, text in frame.texts.items()]
    rows = np.concatenate([value.reshape(len(value), -1) for value in columns.values()], axis=1).tolist()
    yield f"{len(rows)}\n{' '.join(pairs)}\n"
    for number, row in zip(geometry["atomic_numbers"].tolist(), rows, strict=True):
        yield f"{chemical_symbols[number]} {' '.join(map(repr, row))}\n"


def _numbers(value: Array) -> str:
    return " ".join(map(repr, value.ravel().tolist()))


def _quoted(text: str) -> str:
    if _UNWRITABLE.search(text):
        what = "text with quotes, backslashes or line ends cannot be written as extended XYZ"
        raise DataError(problem("config_type", what, got=text[:40], hint="write .npz or .db"))
    return text if _BARE.fullmatch(text) else f'"{text}"'


def write_database(path: Path, frames: Iterable[StoredFrame]) -> None:
    """Write a database of ASE (SQLite); other values than results of a calculation are in the ``data`` of the rows.

    Args:
        path: The file.
        frames: In order.
    """
    from ase.db import connect

    path.unlink(missing_ok=True)  # an empty file is not a database yet
    with connect(str(path), type="db", use_lock_file=False) as database:
        for frame in frames:
            atoms = frame.to_atoms()
            held = dict(atoms.info)
            others = {key: value for key, value in atoms.arrays.items() if key not in ("numbers", "positions")}
            atoms.info = {}
            for key in others:
                del atoms.arrays[key]
            database.write(atoms, data={**held, **others})


def write_packed(path: Path, frames: Iterable[StoredFrame]) -> None:
    """Write a packed NPZ archive: all rows of each value in one array, not compressed.

    Args:
        path: The file.
        frames: In order.
    """
    rows: dict[str, list[Array]] = {}
    has: dict[str, list[int]] = {}
    texts: dict[str, list[str]] = {}
    codes: dict[str, list[int]] = {}
    number = 0
    for number, frame in enumerate(frames, 1):
        values = {"num_atoms": np.array([len(frame.geometry["atomic_numbers"])]), **frame.geometry}
        values |= {f"frame/{key}": value[None] for key, value in frame.frame.items()}
        values |= {f"atoms/{key}": value for key, value in frame.atoms.items()}
        for key, text in frame.texts.items():
            known = texts.setdefault(key, [])
            code = codes.setdefault(key, [0] * (number - 1))
            known += [] if text in known[-1:] else [text]
            code += [0] * (number - 1 - len(code)) + [len(known)]
        for key, value in values.items():
            rows.setdefault(key, []).append(value)
            has.setdefault(key, []).append(number - 1)
    arrays = {key: np.concatenate(rows.pop(key)) for key in list(rows)}
    for key, indices in has.items():
        if len(indices) < number:
            arrays[f"{PRESENT}{key}"] = np.isin(np.arange(number), indices)
    for key, code in codes.items():
        arrays[f"texts/{key}"] = np.array(code + [0] * (number - len(code)), np.int64)
    arrays[MARK] = np.frombuffer(json.dumps({"version": VERSION, "texts": texts}).encode(), np.uint8)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


WRITERS: dict[str, Callable[[Path, Iterable[StoredFrame]], None]] = {
    ".extxyz": write_extxyz,
    ".xyz": write_extxyz,
    ".db": write_database,
    ".npz": write_packed,
}
"""What writes a file, by its suffix."""
