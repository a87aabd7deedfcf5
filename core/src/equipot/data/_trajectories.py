"""Read ASE's trajectories, after checking that the arrays that they state are in the file."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from equipot.data._databases import decoded
from equipot.errors import DataError, problem

if TYPE_CHECKING:
    from ase import Atoms

_MAGIC = (b"- of Ulm", b"AFFormat")
_LARGEST_ITEM = 16


def read_trajectory(stream: BinaryIO, file: str) -> Iterator[Atoms]:
    """The frames of a trajectory, without constraints: ASE would make objects of any of its classes.

    Args:
        stream: The file; if it cannot seek, it is read into memory.
        file: Its name, for messages.

    Raises:
        DataError: If it is not a trajectory, or states arrays that it does not hold.
    """
    from ase.io.trajectory import TrajectoryReader

    if not stream.seekable():
        stream = io.BytesIO(stream.read())
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = stream.read(48)
    if head[:8] not in _MAGIC or len(head) < 48:
        raise DataError(problem(file, "is not a trajectory of ASE"))
    _, items, offsets = (int(one) for one in np.frombuffer(head, "<i8", 3, 24))
    if not (0 <= items <= size // 8 and 0 <= offsets <= size - 8 * items):
        raise DataError(problem(file, "is cut off or damaged", got=f"{items} frames in {size} bytes"))
    stream.seek(offsets)
    if len(np.unique(np.frombuffer(stream.read(8 * items), "<i8"))) < items:
        raise DataError(problem(file, "is damaged: two frames are in one place"))
    if not items:
        return
    yield from _reader(TrajectoryReader, size, file)(stream)


def _reader(base: Any, size: int, file: str) -> Any:
    from ase.io import ulm

    class Checked(ulm.Reader):
        """Items whose contents are checked before they are used."""

        def _read_data(self, index: int) -> dict[str, Any]:
            self._fd.seek(self._offsets[index])
            length = int(ulm.readints(self._fd, 1)[0])
            if not 0 <= length <= size:
                raise DataError(problem(file, "is cut off or damaged", got=f"an item of {length} bytes"))
            data: dict[str, Any] = decoded(self._fd.read(length).decode())
            _check_arrays(data, size, file)
            data.pop("constraints", None)
            self._little_endian = data.pop("_little_endian", True)
            return data

    class Reader(base):
        """ASE's reader of trajectories on checked items."""

        def _open(self, filename: Any) -> None:
            self.backend: Any = Checked(filename)  # type: ignore[no-untyped-call]
            self._read_header()

    return Reader


def _check_arrays(data: Mapping[str, Any], size: int, file: str) -> None:
    for name, value in data.items():
        if not (name.endswith(".") and isinstance(value, Mapping)):
            continue
        if "ndarray" not in value:
            _check_arrays(value, size, file)
            continue
        shape, dtype, offset = value["ndarray"]
        kind, count = np.dtype(dtype), 1
        for one in shape:
            count *= max(int(one), -1)
        needed = int(offset) + count * kind.itemsize
        if kind.hasobject or kind.itemsize > _LARGEST_ITEM or count < 0 or not 0 <= int(offset) <= needed <= size:
            what = f"states an array that is not in the file: {name.rstrip('.')} {json.dumps(shape)}"
            raise DataError(problem(file, what, hint="copy the file again"))
