"""File systems of a test's own."""

import contextlib
import subprocess

import pytest


@contextlib.contextmanager
def mounted_tmpfs(path, size, *options):
    """A file system in memory, mounted on a new folder; the test is skipped where that is not allowed.

    ``size`` and further options are as ``mount`` takes them, e.g. ``400k`` and ``noexec``.
    """
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)
