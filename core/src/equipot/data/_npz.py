"""Read NPZ and NPY files, after checking what they state against the bytes they hold; nothing is unpickled."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from equipot.data._streams import largest, reading
from equipot.errors import DataError, problem
from equipot.files import open_regular

_NUMBERS = "fiub"
_HINT = "an NPZ archive of plain arrays"


def read_npz(path: str) -> Mapping[str, np.ndarray[Any, np.dtype[Any]]]:
    """Numeric arrays of an archive by name, without texts such as authors and licences.

    Args:
        path: The archive.

    Raises:
        DataError: If it cannot be read, contains Python objects, or states more than it holds.
    """
    arrays = {}
    with reading(path, _HINT), open_regular(path) as file, zipfile.ZipFile(file) as archive:
        members = [one for one in archive.infolist() if one.filename.endswith(".npy")]
        _check_sizes(path, members)
        for member in members:
            with archive.open(member) as stream:
                array = _array(stream, member.file_size, f"{path}:{member.filename}")
            if array is not None:
                arrays[member.filename.removesuffix(".npy")] = array
    return arrays


def read_npy(path: Path, *, follow_links: bool = True) -> np.ndarray[Any, np.dtype[Any]]:
    """The array of numbers of an NPY file.

    Args:
        path: The file.
        follow_links: Whether the file may be a symbolic link.

    Raises:
        DataError: If it cannot be read, contains anything but numbers, or states more than it holds.
    """
    with reading(str(path), "it must be an NPY file of numbers"), open_regular(path, follow_links=follow_links) as file:
        found = _array(file, path.stat().st_size, str(path))
    if found is None:
        raise DataError(problem(str(path), "is not an array of numbers"))
    return found


def _check_sizes(path: str, members: list[zipfile.ZipInfo]) -> None:
    """Refuse archives whose members share bytes, or are compressed as no data can be."""
    size = Path(path).stat().st_size
    stored, expanded = sum(one.compress_size for one in members), sum(one.file_size for one in members)
    if stored > size or expanded > largest(size):
        hint = "write it with numpy.savez, uncompressed, if you trust it"
        raise DataError(problem(path, f"states {expanded} bytes of arrays in a file of {size}", hint=hint))


def _array(stream: Any, size: int, where: str) -> np.ndarray[Any, np.dtype[Any]] | None:
    """An array of numbers; None for other data. The header is compared with the size before memory is used."""
    content = io.BytesIO(stream.read())
    version = np.lib.format.read_magic(content)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read_header(content)
    if kind.hasobject:
        raise DataError(problem(where, "cannot be read: it has Python objects", hint=_HINT))
    if math.prod(shape) * kind.itemsize != size - content.tell():
        what = f"states an array of shape {shape} and type {kind}, which is not in the file"
        raise DataError(problem(where, what, hint="copy the file again"))
    if kind.kind not in _NUMBERS:
        return None
    content.seek(0)
    found: np.ndarray[Any, np.dtype[Any]] = np.load(content, allow_pickle=False)
    return found
