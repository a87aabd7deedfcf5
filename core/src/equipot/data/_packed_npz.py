"""Read packed NPZ archives: frames of any sizes, all rows of each value in one array.

The array ``equipot_frames`` holds JSON with the version and the texts; ``num_atoms`` and the geometry are as in a
batch, values are under ``frame/KEY`` and ``atoms/KEY``, and ``present/…`` says which frames have a value.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from equipot.data._frames import HEAVIEST
from equipot.data._npz import read_npz
from equipot.data._packed import GEOMETRY, Array
from equipot.data._stored import StoredFrame
from equipot.data._streams import reading
from equipot.errors import DataError, problem
from equipot.fields import FIELDS
from equipot.files import open_regular

if TYPE_CHECKING:
    from ase import Atoms

MARK = "equipot_frames"
PRESENT = "present/"
VERSION = 1
_PER_FRAME = ("cell", "pbc")
_RESERVED = ("atoms/numbers", "atoms/positions")
"""Names under which ASE has the geometry."""


class PackedArchive:
    """The frames of an archive.

    Args:
        arrays: Its arrays by name.
        path: The file, for messages.

    Raises:
        DataError: If the arrays do not fit together.
    """

    def __init__(self, arrays: Mapping[str, Array], path: str) -> None:
        self.path = path
        with reading(path, "convert the data again"):
            header = json.loads(arrays[MARK].tobytes())
            if header["version"] != VERSION:
                raise DataError(problem(path, "has an unknown version", got=header["version"]))
            self._counts = arrays["num_atoms"]
            self._texts = {key: [str(one) for one in known] for key, known in header["texts"].items()}
            self._codes = {key: arrays[f"texts/{key}"] for key in self._texts}
            self._geometry = {key: arrays[key] for key in GEOMETRY}
            self._values = {key: one for key, one in arrays.items() if key.startswith(("frame/", "atoms/"))}
            self._present = {
                key: arrays.get(f"{PRESENT}{key}", np.ones(len(self._counts), bool)) for key in self._values
            }
            self._check_counts()
            self._starts = {key: self._first_rows(key) for key in (*self._geometry, *self._values)}
            self._check()

    def _first_rows(self, key: str) -> Array:
        """Where the rows of each frame begin, and where the last ones end."""
        sizes = np.ones_like(self._counts) if key in _PER_FRAME or key.startswith("frame/") else self._counts
        sizes = np.where(self._present[key], sizes, 0) if key in self._present else sizes
        return np.concatenate([[0], np.cumsum(sizes)])

    def _check_counts(self) -> None:
        """What says where the rows of a frame are."""
        n, rows = len(self._counts), len(self._geometry["positions"])
        wrong = [key for key, one in self._present.items() if one.shape != (n,) or one.dtype != bool]
        if self._counts.dtype.kind != "i" or not n or not 1 <= self._counts.min() <= self._counts.max() <= rows:
            wrong.append("num_atoms")
        self._refuse(wrong)

    def _refuse(self, wrong: Sequence[str]) -> None:
        if wrong:
            what = f"has arrays that do not fit together: {', '.join(wrong)}"
            raise DataError(problem(self.path, what, hint="convert the data again"))

    def _check(self) -> None:
        n, shapes = len(self._counts), {"positions": (3,), "cell": (3, 3), "pbc": (3,), "atomic_numbers": ()}
        wrong = [key for key, shape in shapes.items() if self._geometry[key].shape[1:] != shape]
        arrays = {**self._geometry, **self._values}
        wrong += [key for key, starts in self._starts.items() if len(arrays[key]) != starts[-1]]
        wrong += [key for key, codes in self._codes.items() if not _in_range(codes, n, len(self._texts[key]))]
        wrong += [key for key, one in self._geometry.items() if one.dtype != np.dtype(FIELDS[key].dtype)]
        numbers = self._geometry["atomic_numbers"]
        wrong += ["atomic_numbers"] if len(numbers) and not 0 <= numbers.min() <= numbers.max() <= HEAVIEST else []
        wrong += [key for key in _RESERVED if key in self._values]
        self._refuse(wrong)

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._counts)

    def frame(self, index: int) -> StoredFrame:
        """One frame.

        Args:
            index: From 0.
        """
        held = {
            key: one[self._starts[key][index] : self._starts[key][index + 1]]
            for key, one in self._values.items()
            if self._present[key][index]
        }
        return StoredFrame(
            {key: one[self._starts[key][index] : self._starts[key][index + 1]] for key, one in self._geometry.items()},
            {key.removeprefix("frame/"): one.reshape(-1) for key, one in held.items() if key.startswith("frame/")},
            {key.removeprefix("atoms/"): one for key, one in held.items() if key.startswith("atoms/")},
            {key: self._texts[key][code - 1] for key, codes in self._codes.items() if (code := int(codes[index]))},
        )

    def atoms(self) -> Iterator[Atoms]:
        """All frames as ASE has them."""
        for index in range(len(self)):
            with reading(f"{self.path}, frame {index}"):
                atoms = self.frame(index).to_atoms()
            yield atoms


def _in_range(codes: Array, count: int, known: int) -> bool:
    return codes.shape == (count,) and codes.dtype.kind == "i" and codes.min() >= 0 and codes.max() <= known


def packed_archive(path: str) -> PackedArchive | None:
    """The archive, if it is a packed one.

    Args:
        path: An NPZ archive.

    Raises:
        DataError: As ``read_npz`` and ``PackedArchive``.
    """
    with reading(path, "an NPZ archive of plain arrays"), open_regular(path) as file, zipfile.ZipFile(file) as archive:
        is_packed = f"{MARK}.npy" in archive.namelist()
    return PackedArchive(read_npz(path), path) if is_packed else None
