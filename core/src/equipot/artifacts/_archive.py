"""Zip files as containers of named members: read without trust, written atomically.

Members are stored, not compressed, so no file can unpack to more than its own size; nothing is
ever extracted to a path. Standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from equipot.errors import ArtifactError, problem
from equipot.files import atomic

MAX_JSON_BYTES = 16 * 1024**2
"""Largest manifest or config that is read."""

MAX_MEMBERS = 4096
"""Most members a file may have."""

TIME = (1980, 1, 1, 0, 0, 0)
"""Time stamp of every member, so that equal contents give equal files."""

_TRUNCATED = "the file is truncated, damaged or of another kind: get it again"


def sha256(raw: bytes) -> str:
    """Hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(raw).hexdigest()


def file_digest(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces.

    Raises:
        ArtifactError: If it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise ArtifactError(_unreadable(path, error)) from None
    return digest.hexdigest()


def write_members(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a zip file of stored members with fixed time stamps, atomically.

    Args:
        path: The file; replaced if there is one.
        members: Name to contents, written in this order.
    """
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, raw in members.items():
            archive.writestr(zipfile.ZipInfo(name, TIME), raw)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an untrusted zip file for reading.

    Raises:
        ArtifactError: If there is no such file, or it cannot be read as a zip file with sane members.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ArtifactError(problem(str(path), f"cannot be read as a zip file ({error})", hint=_TRUNCATED)) from None
    except OSError as error:
        raise ArtifactError(_unreadable(path, error)) from None
    with archive:
        _check_members(path, archive)
        yield archive


def _unreadable(path: Path, error: OSError) -> str:
    reason = "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
    return problem(str(path), reason)


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    """Names are unique, relative and plain; nothing is compressed, encrypted or larger than the file."""
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
    """Read one member.

    Args:
        path: The file, for messages.
        archive: As given by ``opened``.
        name: The member.
        limit: Largest size accepted, bytes.

    Raises:
        ArtifactError: If the member is missing, too large or damaged.
    """
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


def check_digest(path: Path, name: str, raw: bytes, digests: Mapping[str, str]) -> None:
    """Compare a member with its digest in the manifest.

    Raises:
        ArtifactError: If they differ or there is none.
    """
    if digests.get(name) != sha256(raw):
        what, hint = (
            "does not have the SHA-256 that the manifest states",
            "the file was edited or damaged: get it again",
        )
        raise ArtifactError(problem(f"{path}: {name}", what, hint=hint))
