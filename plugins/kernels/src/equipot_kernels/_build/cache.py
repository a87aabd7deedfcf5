"""Compiled kernels on disk, one shared library for each source, and how they are loaded.

A kernel that the wheel brings (see ``prebuilt``) is used before all others. The others are stored in ``kernels/`` of the user's cache folder (``EQUIPOT_CACHE_DIR``, else
``$XDG_CACHE_HOME/equipot``, else ``~/.cache/equipot``). Their names contain the digests of the source,
the processor, the compiler and their own contents. Files appear by an atomic rename, so several processes
may build at once; a file whose contents do not match its name is built again.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import ctypes
import functools
import hashlib
import logging
import platform
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from equipot import caches
from equipot.errors import ArtifactError, problem
from equipot.files import atomic, cache_folder, no_code
from equipot_kernels._build import prebuilt, toolchain
from equipot_kernels._build.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

CACHED, BUILT = "built here before", "built here now"
"""Origins of kernels that are not prebuilt; the origin of those is their level."""

_loaded: dict[str, ctypes.CDLL] = {}
_origins: dict[str, str] = {}
_lock = threading.Lock()


def load(source: str, name: str) -> ctypes.CDLL:
    """The library of a source: loaded already, brought by the wheel, cached on disk, or compiled now.

    Args:
        source: C++ text without headers whose functions are ``extern "C"``. They must not keep any state,
            because calls release Python's global lock.
        name: First part of the file's name, for human readers; letters, digits and underscores.

    Raises:
        KernelError: If it has to be built and cannot be.
    """
    key = key_of(source)
    with _lock:
        found = _loaded.get(key)
    if found is not None:
        return found
    library, origin = prebuilt.load(name, key) or _native(name, key, source)
    with _lock:
        _origins.setdefault(key, origin)
        return _loaded.setdefault(key, library)


def key_of(source: str) -> str:
    """The part of a library's name that says which source it is made of."""
    return hashlib.sha256(source.encode()).hexdigest()[:32]


def origins() -> dict[str, int]:
    """Where the kernels that this process has loaded come from: how many are prebuilt for a level, cached, or new."""
    with _lock:
        return dict(collections.Counter(_origins.values()))


def folder() -> Path:
    """Where kernels are kept that were built on this machine."""
    return cache_folder() / "kernels"


def contents(source: str, name: str, *, portable: bool = False) -> tuple[bytes, str]:
    """The library of a source as a file holds it, which other processes can load.

    Args:
        source: As for ``load``.
        name: As for ``load``.
        portable: Make it for other machines of this kind too.

    Returns:
        The library, and the level of processors that it is for; empty: processors like this one.

    Raises:
        KernelError: If it has to be built and cannot be.
    """
    key, level = key_of(source), portable_level() if portable else ""
    brought = prebuilt.contents(name, key, (level,) if portable else prebuilt.supported())
    if brought is not None:
        return brought
    place, stem = _safe_folder(), f"{name}-{key}-{level or toolchain.processor()}"
    for path in matching(place, stem):
        return path.read_bytes(), level
    compiler = toolchain.find_compiler(level)
    made = compiler.compile(source)
    store(place, stem, compiler, made)
    return made, level


def portable_level() -> str:
    """The level of processors that portable kernels are made for.

    Raises:
        KernelError: If there is none on this kind of machine.
    """
    machine = platform.machine()
    if machine not in prebuilt.PORTABLE:
        what = f"portable kernels are made on {sorted(prebuilt.PORTABLE)}"
        raise KernelError(problem("kernels", what, got=machine, hint="compile without --portable"))
    return prebuilt.PORTABLE[machine]


def _native(name: str, key: str, source: str) -> tuple[ctypes.CDLL, str]:
    folder = _safe_folder()
    stem = f"{name}-{key}-{toolchain.processor()}"
    found = _from_disk(folder, stem)
    return (found, CACHED) if found is not None else (_build(folder, stem, source), BUILT)


def _from_disk(folder: Path, stem: str) -> ctypes.CDLL | None:
    """A library that an earlier process built, with any compiler."""
    for path in matching(folder, stem):
        try:
            return ctypes.CDLL(str(path))
        except OSError as error:
            logger.info("%s cannot be loaded (%s)", path, error)
            _remove(path)
    return None


def matching(folder: Path, stem: str) -> Iterator[Path]:
    """Files that ``store`` wrote whose contents are those that their names state; others are removed.

    Args:
        folder: Where they are kept.
        stem: As for ``store``.
    """
    for path in sorted(folder.glob(f"{stem}-*.so")):
        contents = caches.own_bytes(path)
        if contents is not None and path.stem.rsplit("-", 1)[1] == _digest(contents):
            yield path
        else:
            _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _build(folder: Path, stem: str, source: str) -> ctypes.CDLL:
    compiler = toolchain.find_compiler()
    path = store(folder, stem, compiler, compiler.compile(source))
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        what = f"what {compiler.command[0]} made cannot be loaded ({error})"
        raise KernelError(problem("kernels", what, hint="set CXX to another compiler")) from None


def store(folder: Path, stem: str, compiler: toolchain.Compiler, contents: bytes) -> Path:
    """Write a library to a file that only this user can use, under a name that states its contents.

    Args:
        folder: Where; it must exist.
        stem: What the name begins with: what the library is made of.
        compiler: What made it.
        contents: The library.

    Raises:
        KernelError: If it cannot be written.
    """
    path = folder / f"{stem}-{compiler.identity}-{_digest(contents)}.so"
    try:
        with atomic(path) as temporary:
            temporary.write_bytes(contents)
            temporary.chmod(0o700)
    except (OSError, ArtifactError) as error:
        hint = "EQUIPOT_CACHE_DIR names another folder"
        raise KernelError(problem("kernels", f"{folder} cannot hold kernels ({error})", hint=hint)) from None
    return path


def _digest(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()[:32]


def _safe_folder() -> Path:
    """The cache folder, or a temporary one if others could write to it, or code in it cannot run."""
    try:
        folder = cache_folder() / "kernels"
    except ArtifactError as error:
        return _folder_of_process(str(error))
    if reason := caches.refusal(folder) or no_code(folder):
        return _folder_of_process(f"{folder}: {reason}")
    return folder


@functools.lru_cache(maxsize=4)
def _folder_of_process(reason: str) -> Path:
    logger.warning("kernels are not cached: %s; EQUIPOT_CACHE_DIR names another folder", reason)
    made = tempfile.mkdtemp(prefix="equipot-kernels-", dir=toolchain.scratch())
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)
