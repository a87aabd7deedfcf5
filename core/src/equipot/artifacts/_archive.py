"""Zip files as containers of named members: untrusted when read, written atomically.

Members are stored without compression, so that a file cannot unpack to more than its own size, and nothing is
ever extracted to a path. Only the standard library is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from equipot.errors import ArtifactError, problem
from equipot.files import atomic, open_regular

MAX_JSON_BYTES = 16 * 1024**2
"""Largest manifest or config that is read, bytes."""

MAX_GOLDEN_BYTES = 256 * 1024**2
"""Largest golden frames that are read, bytes."""

MAX_MEMBERS = 4096
"""Largest number of members that a package or compiled file may have."""

MAX_DIRECTORY = 16 * 1024**2
"""Largest list of members that is read, bytes."""

TIME = (1980, 1, 1, 0, 0, 0)
"""Time stamp of every member: equal contents then give equal files."""

_END = 22 + 2**16 + 100
"""At most so many bytes from its end a zip file states the size of its list of members."""

DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,  # NotImplementedError is one
    ValueError,
    struct.error,
    zlib.error,
)
"""What the standard library raises for damaged zip files."""

TRUNCATED = "the file is truncated, damaged or of another kind: get it again"


def sha256(raw: bytes) -> str:
    """Hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(raw).hexdigest()


def write_members(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a zip file of members, stored in the given order with a fixed time stamp, atomically."""
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, raw in members.items():
            archive.writestr(zipfile.ZipInfo(name, TIME), raw)


@contextlib.contextmanager
def opened(path: Path, kind: str = "zip file", max_members: int = MAX_MEMBERS) -> Iterator[zipfile.ZipFile]:
    """Open an untrusted zip file for reading; one that is damaged or has suspicious members raises ArtifactError."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            _check_directory(path, file)
            archive = zipfile.ZipFile(file)
        except DAMAGE as error:
            what = f"cannot be read as a {kind} ({error})"
            raise ArtifactError(problem(str(path), what, hint=TRUNCATED)) from None
        with archive:
            _check_members(path, archive, size, max_members)
            yield archive


def _check_directory(path: Path, file: BinaryIO) -> None:
    """Refuse a list of members that would take long to read, whatever it states of itself."""
    file.seek(max(os.fstat(file.fileno()).st_size - _END, 0))
    end = file.read(_END)
    place = end.rfind(b"PK\x05\x06")
    size = int.from_bytes(end[place + 12 : place + 16], "little") if place >= 0 else 0
    if size == 2**32 - 1:  # stated in the record for large files then, whose place is always the same
        start = end.rfind(b"PK\x06\x06", 0, place)
        size = int.from_bytes(end[start + 40 : start + 48], "little") if start >= 0 else 0
    if size > MAX_DIRECTORY:
        raise ArtifactError(problem(str(path), f"its list of members must be at most {MAX_DIRECTORY} bytes", got=size))


def _check_members(path: Path, archive: zipfile.ZipFile, size: int, most: int) -> None:
    """Names must be unique, relative and plain; nothing may be compressed, encrypted or overlap."""
    infos, avoid = archive.infolist(), "do not use this file"
    if len(infos) > most:
        raise ArtifactError(problem(str(path), f"must have at most {most} members", got=len(infos)))
    count = Counter(info.filename for info in infos)
    for info in infos:
        parts = info.filename.split("/")
        if info.filename.startswith("/") or "\\" in info.filename or ".." in parts or count[info.filename] > 1:
            what = "has a member with a forbidden name"
            raise ArtifactError(problem(str(path), what, got=info.filename, hint=avoid))
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1:
            what = f"member {info.filename!r} is compressed or encrypted"
            raise ArtifactError(problem(str(path), what, hint=f"equipot stores members as they are; {avoid}"))
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end or info.compress_size != info.file_size:
            raise ArtifactError(problem(str(path), f"member {info.filename!r} overlaps another one", hint=avoid))
        end = info.header_offset + info.file_size
    if end > size:
        raise ArtifactError(problem(str(path), "its members are larger than the file", hint=avoid))


def read_member(path: Path, archive: zipfile.ZipFile, name: str, limit: int | None = None) -> bytes:
    """Read one member; one that is missing, damaged or larger than ``limit`` bytes raises ArtifactError."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ArtifactError(problem(str(path), f"has no member {name!r}", hint=TRUNCATED)) from None
    if limit is not None and info.file_size > limit:
        raise ArtifactError(problem(f"{path}: {name}", f"must be at most {limit} bytes", got=info.file_size))
    try:
        return archive.read(info)
    except DAMAGE as error:
        raise ArtifactError(problem(f"{path}: {name}", f"cannot be read ({error})", hint=TRUNCATED)) from None


def check_digests(path: Path, members: Mapping[str, bytes], digests: Mapping[str, str]) -> None:
    """Refuse members whose SHA-256 is not the one in the manifest."""
    for name, raw in members.items():
        if digests.get(name) != sha256(raw):
            what = "does not have the SHA-256 that the manifest states"
            raise ArtifactError(problem(f"{path}: {name}", what, hint="the file was edited or damaged: get it again"))
