"""Keep freed memory in the process, because requesting pages for large tensors again is slow on Linux."""

from __future__ import annotations

import ctypes
import os
import sys

SWITCH = "EQUIPOT_MALLOC"
"""Environment variable: ``default`` leaves the allocator alone."""

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_LARGEST_INT = 2**31 - 1


def keep_memory() -> bool:
    """Make glibc's allocator take large blocks from the heap and keep them when they are freed.

    By default each tensor above a few MB is mapped and unmapped again, and the kernel clears each of its pages on first
    use. The commands ``train`` and ``eval`` call this function; in your own scripts, call it before the first model is
    made. Peak memory hardly changes, but freed memory stays with the process. Nothing happens with another C library,
    with ``EQUIPOT_MALLOC=default``, or if a variable ``MALLOC_…`` already sets the allocator.

    Returns:
        Whether the allocator was set.
    """
    chosen = os.environ.get(SWITCH) == "default" or any(name.startswith("MALLOC_") for name in os.environ)
    if chosen or not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _LARGEST_INT), (_TOP_PAD, 64 * 1024**2))
    return all(bool(library.mallopt(name, value)) for name, value in settings)
