"""Compiled kernels on disk, one shared library for each source, and how they are loaded.

They are stored in ``kernels/`` of the user's cache folder (``EQUIPOT_CACHE_DIR``, else
``$XDG_CACHE_HOME/equipot``, else ``~/.cache/equipot``). Their names contain the digests of the source,
the processor, the compiler and their own contents. Files appear by an atomic rename, so several processes
may build at once; a file whose contents do not match its name is built again.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import hashlib
import logging
import shutil
import tempfile
import threading
from pathlib import Path

from equipot import caches
from equipot.errors import ArtifactError, problem
from equipot.files import atomic, cache_folder, no_code
from equipot_kernels._build import toolchain
from equipot_kernels._build.errors import KernelError

logger = logging.getLogger(__name__)

_loaded: dict[str, ctypes.CDLL] = {}
_lock = threading.Lock()


def load(source: str, name: str) -> ctypes.CDLL:
    """The library of a source: loaded already, cached on disk, or compiled now.

    Args:
        source: C++ text without headers whose functions are ``extern "C"``. They must not keep any state,
            because calls release Python's global lock.
        name: First part of the file's name, for human readers; letters, digits and underscores.

    Raises:
        KernelError: If it has to be built and cannot be.
    """
    key = hashlib.sha256(source.encode()).hexdigest()[:32]
    with _lock:
        found = _loaded.get(key)
    if found is not None:
        return found
    folder = _safe_folder()
    stem = f"{name}-{key}-{toolchain.processor()}"
    library = _from_disk(folder, stem) or _build(folder, stem, source)
    with _lock:
        return _loaded.setdefault(key, library)


def _from_disk(folder: Path, stem: str) -> ctypes.CDLL | None:
    """A library that an earlier process built, with any compiler."""
    for path in sorted(folder.glob(f"{stem}-*.so")):
        contents = caches.own_bytes(path)
        try:
            if contents is not None and path.stem.rsplit("-", 1)[1] == _digest(contents):
                return ctypes.CDLL(str(path))
        except OSError as error:
            logger.info("%s cannot be loaded (%s)", path, error)
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    return None


def _build(folder: Path, stem: str, source: str) -> ctypes.CDLL:
    compiler = toolchain.find_compiler()
    contents = compiler.compile(source)
    path = folder / f"{stem}-{compiler.identity}-{_digest(contents)}.so"
    try:
        with atomic(path) as temporary:
            temporary.write_bytes(contents)
            temporary.chmod(0o700)
    except (OSError, ArtifactError) as error:
        hint = "EQUIPOT_CACHE_DIR names another folder"
        raise KernelError(problem("kernels", f"{folder} cannot hold kernels ({error})", hint=hint)) from None
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        what = f"what {compiler.command[0]} made cannot be loaded ({error})"
        raise KernelError(problem("kernels", what, hint="set CXX to another compiler")) from None


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
