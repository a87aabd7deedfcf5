"""Zip files as containers of named members: untrusted when read, written atomically.

Members are stored without compression, so that a file cannot unpack to more than its own size, and nothing is
ever extracted to a path. Only the standard library is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from equipot.errors import ArtifactError, problem
from equipot.files import atomic, unreadable

MAX_JSON_BYTES = 16 * 1024**2
"""Largest manifest or config that is read, bytes."""

MAX_MEMBERS = 4096
"""Largest number of members that a file may have."""

TIME = (1980, 1, 1, 0, 0, 0)
"""Time stamp of every member: equal contents then give equal files."""

_TRUNCATED = "the file is truncated, damaged or of another kind: get it again"


def sha256(raw: bytes) -> str:
    """Hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(raw).hexdigest()


def write_members(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a zip file of members, stored in the given order with a fixed time stamp, atomically."""
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, raw in members.items():
            archive.writestr(zipfile.ZipInfo(name, TIME), raw)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an untrusted zip file for reading; one that is damaged or has suspicious members raises ArtifactError."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ArtifactError(problem(str(path), f"cannot be read as a zip file ({error})", hint=_TRUNCATED)) from None
    except OSError as error:
        raise ArtifactError(unreadable(path, error)) from None
    with archive:
        _check_members(path, archive)
        yield archive


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    """Names must be unique, relative and plain; nothing may be compressed, encrypted or larger than the file."""
    infos, avoid = archive.infolist(), "do not use this file"
    if len(infos) > MAX_MEMBERS:
        raise ArtifactError(problem(str(path), f"must have at most {MAX_MEMBERS} members", got=len(infos)))
    count = Counter(info.filename for info in infos)
    for info in infos:
        parts = info.filename.split("/")
        if info.filename.startswith("/") or "\\" in info.filename or ".." in parts or count[info.filename] > 1:
            what = "has a member with a forbidden name"
            raise ArtifactError(problem(str(path), what, got=info.filename, hint=avoid))
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1:
            what = f"member {info.filename!r} is compressed or encrypted"
            raise ArtifactError(problem(str(path), what, hint=f"equipot stores members as they are; {avoid}"))
    if sum(info.file_size for info in infos) > path.stat().st_size:
        raise ArtifactError(problem(str(path), "its members are larger than the file", hint=avoid))


def read_member(path: Path, archive: zipfile.ZipFile, name: str, limit: int | None = None) -> bytes:
    """Read one member; one that is missing, damaged or larger than ``limit`` bytes raises ArtifactError."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ArtifactError(problem(str(path), f"has no member {name!r}", hint=_TRUNCATED)) from None
    if limit is not None and info.file_size > limit:
        raise ArtifactError(problem(f"{path}: {name}", f"must be at most {limit} bytes", got=info.file_size))
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise ArtifactError(problem(f"{path}: {name}", f"cannot be read ({error})", hint=_TRUNCATED)) from None


def check_digests(path: Path, members: Mapping[str, bytes], digests: Mapping[str, str]) -> None:
    """Refuse members whose SHA-256 is not the one in the manifest."""
    for name, raw in members.items():
        if digests.get(name) != sha256(raw):
            what = "does not have the SHA-256 that the manifest states"
            raise ArtifactError(problem(f"{path}: {name}", what, hint="the file was edited or damaged: get it again"))
