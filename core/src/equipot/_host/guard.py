"""Undo and report side effects of importing a plugin.

Declarations must not print, change the environment or warning filters, or set seeds. No import may replace functions of
torch and numpy, take over signals, redirect standard output, or leave behind what makes it unsafe to fork.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from equipot._host.libraries import LibraryWatch
from equipot._host.output import CaughtOutput
from equipot._host.owners import EnvironmentWatch, new_threads

HEAVY = ("torch", "e3nn", "lightning", "numpy", "ase")
"""Libraries that a module of declarations must not import, so that listing plugins stays fast."""

SLOW = 2.0
"""Seconds that an import may take, the time of required libraries not counted, before a note says so."""

_SIGNALS = tuple(
    one
    for one in signal.Signals
    if one.name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGABRT", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGUSR1")
    or one.name in ("SIGUSR2", "SIGCHLD", "SIGPIPE", "SIGCONT", "SIGTSTP", "SIGSEGV", "SIGFPE", "SIGWINCH", "SIGXCPU")
)
"""Signals that programs and batch systems use."""

_MOST = 5
"""Names that a note shows."""

State = tuple[Any, "Callable[[Any], object]"]
"""A value and the function that sets it."""

_WATCHING = threading.RLock()


@contextlib.contextmanager
def guarded(notes: list[str], *, declaring: bool, package: str) -> Iterator[None]:
    """Undo what the block does to global state, and append a note on each side effect.

    Imports of other threads meanwhile are not watched, so that nobody is blamed for what they do.

    Args:
        notes: Side effects are appended to it, one sentence each.
        declaring: The block must only import declarations: then imported libraries, the warning filters, the current
            folder, and what libraries do to the environment are checked as well.
        package: The plugin's top-level package.
    """
    if not _WATCHING.acquire(blocking=False):
        yield
        return
    try:
        with _watched(notes, declaring=declaring, package=package):
            yield
    finally:
        _WATCHING.release()


@contextlib.contextmanager
def _watched(notes: list[str], *, declaring: bool, package: str) -> Iterator[None]:
    loaded = {name for name in HEAVY if name in sys.modules}
    threads, cuda = set(threading.enumerate()), _uses_cuda()
    before = _states(declaring=declaring)
    libraries, environment, output = LibraryWatch(), EnvironmentWatch(), CaughtOutput()
    start = time.perf_counter()
    try:
        with libraries, environment, output:
            yield
    finally:
        seconds = time.perf_counter() - start - libraries.seconds
        owner = "" if declaring else package
        if text := " ".join(output.text.split()):
            notes.append(f"importing it printed {text[:60]!r}")
        heavy = [name for name in HEAVY if name in sys.modules and name not in loaded]
        if heavy:
            before.pop("the warning filters", None)  # libraries add filters of their own
        if declaring and heavy:
            notes.append(f"importing it imported {', '.join(heavy)}; declarations must stay light")
        notes.extend(f"importing it redirected {stream}; undone" for stream in output.redirected)
        lightnings = ("Python's random generator",) if "lightning" in heavy else ()  # it draws when it is imported
        changed = [name for name in _undo(before, declaring=declaring) if name not in lightnings]
        if replaced := libraries.undo():  # after the default dtype, which torch.Storage follows
            notes.append(f"importing it replaced {_listed(replaced)}; undone")
        if variables := environment.undo(owner):
            changed.insert(0, f"the environment ({_listed(variables)})")
        notes.extend(f"importing it changed {name}; undone" for name in changed)
        if running := new_threads(threads, owner):
            notes.append(f"importing it left threads running ({_listed(running)}), so that forking is unsafe")
        if _uses_cuda() and not cuda:
            notes.append("importing it initialised CUDA, so that forking is unsafe")
        if seconds > SLOW:
            notes.append(f"importing it took {seconds:.1f} s")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more


def _uses_cuda() -> bool:
    """Whether CUDA is initialised, which forked processes cannot repair."""
    cuda = sys.modules.get("torch.cuda")
    return cuda is not None and bool(cuda.is_initialized())


def _undo(before: dict[str, State], *, declaring: bool) -> list[str]:
    """Restore what differs, and return its names."""
    changed = []
    for name, (value, put) in _states(declaring=declaring).items():
        old = before[name][0] if name in before else _fresh(name, value)
        if value == old:
            continue
        put(old)
        if name == _HANDLERS:
            signals = sorted(number.name for number in value if value[number] != old[number])
            name = f"{name} {_listed(signals)}"  # noqa: PLW2901 - with what has changed
        changed.append(name)
    return changed


_DTYPE, _START, _HANDLERS = "torch's default dtype", "the start method of processes", "the handlers of"


def _fresh(name: str, value: Any) -> Any:
    """The value of a library that has just been imported."""
    if name == _DTYPE:
        return sys.modules["torch"].float32
    return None if name == _START else value


def _states(*, declaring: bool) -> dict[str, State]:
    """Global state by a readable name; that of libraries only if they are imported."""
    states: dict[str, State] = {"Python's random generator": (random.getstate(), random.setstate)}
    if torch := sys.modules.get("torch"):
        states[_DTYPE] = (torch.get_default_dtype(), torch.set_default_dtype)
        states["torch's random generator"] = (torch.get_rng_state().numpy().tobytes(), _set_torch_rng)
    if numpy := sys.modules.get("numpy.random"):
        kind, keys, *rest = numpy.get_state()
        states["numpy's random generator"] = ((kind, tuple(keys.tolist()), *rest), numpy.set_state)
    if processes := sys.modules.get("multiprocessing"):
        method = processes.get_start_method(allow_none=True)
        states[_START] = (method, lambda old: processes.set_start_method(old, force=True))
    if threading.current_thread() is threading.main_thread():
        states[_HANDLERS] = (dict(zip(_SIGNALS, map(signal.getsignal, _SIGNALS), strict=True)), _set_handlers)
    if declaring:
        states["the warning filters"] = (list(warnings.filters), _set_filters)
        states["the current folder"] = (os.getcwd(), os.chdir)  # noqa: PTH109 - a fifth of the time
    return states


def _set_torch_rng(state: bytes) -> None:
    torch = sys.modules["torch"]
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _set_handlers(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        if signal.getsignal(number) != handler:
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _set_filters(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index] # a list, which the stubs call a sequence
    with warnings.catch_warnings():  # resets the cache of filters
        pass
