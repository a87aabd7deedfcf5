"""Keep freed memory in the process: what large tensors cost on Linux is mostly getting pages again and again."""

from __future__ import annotations

import ctypes
import os
import sys

SWITCH = "EQUIPOT_MALLOC"
"""Environment variable: ``default`` leaves the allocator alone."""

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_LARGEST_INT = 2**31 - 1


def keep_memory() -> bool:
    """Tell glibc's allocator to serve large blocks from the heap and not to give it back.

    Without it each tensor above a few MB is mapped and unmapped anew, and every page of it is
    cleared by the kernel on first touch. The commands ``train`` and ``eval`` call this; call it in
    scripts of your own before the first model is made. Peak memory hardly changes, but what is
    freed stays with the process. Nothing happens with another C library, with a value of
    ``EQUIPOT_MALLOC`` of ``default``, or where a ``MALLOC_…`` variable sets the allocator already.

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
