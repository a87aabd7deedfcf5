"""What Python's audit hook sees while a test runs.

A hook cannot be removed, and each one makes everything in its process slower: there is one for all tests.
"""

import contextlib
import functools
import sys

EVENTS = frozenset(
    ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind")
)
_watchers = []


@contextlib.contextmanager
def started(never_imported="antigravity"):
    """A list that gets the processes and connections that the block starts, and imports of a module nobody needs."""
    _install()
    seen = []
    _watchers.append((seen, never_imported))
    try:
        yield seen
    finally:
        _watchers.pop()


@functools.cache
def _install():
    sys.addaudithook(_hook)


def _hook(event, args):
    if not _watchers:
        return
    for seen, module in _watchers:
        if event in EVENTS or (event == "import" and args[0] == module):
            seen.append((event, args))
