"""Kernels that the wheel brings: libraries compiled for levels of processors, used where their source is wanted.

They lie in the folder ``_prebuilt`` of this package, ``LEVEL/NAME-KEY.so``, where the key is the digest of the source.
``tools/prebuild_kernels.py`` makes them before a wheel is built; a source tree has none. What they call, of the C
library and of OpenMP, is found among what torch has loaded, so they need no library of their own.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parents[1] / "_prebuilt"

_V3 = frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "abm", "xsave"})
LEVELS: dict[str, tuple[str, frozenset[str]]] = {
    "x86-64-v4": ("x86_64", _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
    "x86-64-v3": ("x86_64", _V3),
    "armv8-a": ("aarch64", frozenset({"asimd", "fp"})),
}
"""Name of each level, as compilers spell it: machine, and what Linux must list in /proc/cpuinfo. Fastest first."""


PORTABLE = {"x86_64": "x86-64-v3", "aarch64": "armv8-a"}
"""The level that files for other machines are made for, by machine; core compiles portable models for the same."""


@functools.lru_cache(maxsize=1)
def supported() -> tuple[str, ...]:
    """The levels that this processor supports, fastest first; none but on Linux."""
    if platform.system() != "Linux":
        return ()
    there = flags()
    machine = platform.machine()
    return tuple(name for name, (kind, needed) in LEVELS.items() if kind == machine and needed <= there)


def flags() -> frozenset[str]:
    """What Linux says that the processor has; nothing on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    listed = (line.split(":", 1)[1].split() for line in lines if line.startswith(("flags", "Features")))
    return frozenset(word for words in listed for word in words)


def available() -> dict[str, int]:
    """Number of kernels of each level that this installation has."""
    counts = {name: len(list((FOLDER / name).glob("*.so"))) for name in LEVELS}
    return {name: count for name, count in counts.items() if count}


def unloadable(level: str) -> list[str]:
    """Names and reasons of the kernels of a level that cannot be loaded; torch must be imported."""
    found = []
    for path in sorted((FOLDER / level).glob("*.so")):
        try:
            ctypes.CDLL(str(path))
        except OSError as error:
            found.append(f"{path.name}: {error}")
    return found


def load(name: str, key: str) -> tuple[ctypes.CDLL, str] | None:
    """The library of a source.

    Args:
        name: As for ``cache.load``.
        key: Digest of the source.

    Returns:
        The library and its level; None if this installation has none that runs here.
    """
    for path, level in _found(name, key, supported()):
        try:
            return ctypes.CDLL(str(path)), level
        except OSError as error:
            logger.info("%s cannot be loaded (%s)", path, error)
    return None


def contents(name: str, key: str, levels: tuple[str, ...]) -> tuple[bytes, str] | None:
    """As ``load``, but the contents of the library, for the first of these levels that there is."""
    return next(((path.read_bytes(), level) for path, level in _found(name, key, levels)), None)


def _found(name: str, key: str, levels: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    for level in levels:
        path = FOLDER / level / f"{name}-{key}.so"
        if path.is_file():
            yield path, level
