"""Undo and report side effects of importing a plugin.

Declarations must not print, change the environment or warning filters, or set seeds.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HEAVY = ("torch", "e3nn", "lightning", "numpy", "ase")
"""Libraries that a module of declarations must not import, so that listing plugins stays fast."""

State = tuple[Any, "Callable[[Any], object]"]
"""A value and the function that sets it."""


@contextlib.contextmanager
def guarded(notes: list[str], *, declaring: bool) -> Iterator[None]:
    """Undo what the block does to global state, and append a note on each side effect.

    With ``declaring``, the block must only import declarations: then imported libraries, the environment, the
    warning filters and the current folder are checked as well.
    """
    loaded = {name for name in HEAVY if name in sys.modules}
    printed = io.StringIO()
    before = _states(declaring=declaring)
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        if text := " ".join(printed.getvalue().split()):
            notes.append(f"importing it printed {text[:60]!r}")
        heavy = [name for name in HEAVY if name in sys.modules and name not in loaded]
        if heavy:
            before.pop("the warning filters", None)  # libraries add filters of their own
        if declaring and heavy:
            notes.append(f"importing it imported {', '.join(heavy)}; declarations must stay light")
        lightnings = ("Python's random generator",) if "lightning" in heavy else ()  # it draws when it is imported
        changed = [name for name in _undo(before, declaring=declaring) if name not in lightnings]
        notes.extend(f"importing it changed {name}; undone" for name in changed)


def _undo(before: dict[str, State], *, declaring: bool) -> list[str]:
    """Restore what differs, and return its names."""
    changed = []
    for name, (value, put) in _states(declaring=declaring).items():
        fresh = sys.modules["torch"].float32 if name == "torch's default dtype" else value
        old = before[name][0] if name in before else fresh  # its library has just been imported
        if value == old:
            continue
        put(old)
        if name == "the environment":
            keys = sorted(key for key in old.keys() | value.keys() if old.get(key) != value.get(key))
            name = f"{name} ({', '.join(keys)})"  # noqa: PLW2901 - with what has changed
        changed.append(name)
    return changed


def _states(*, declaring: bool) -> dict[str, State]:
    """Global state by a readable name; that of libraries only if they are imported."""
    states: dict[str, State] = {"Python's random generator": (random.getstate(), random.setstate)}
    if torch := sys.modules.get("torch"):
        states["torch's default dtype"] = (torch.get_default_dtype(), torch.set_default_dtype)
        states["torch's random generator"] = (torch.get_rng_state().numpy().tobytes(), _set_torch_rng)
    if numpy := sys.modules.get("numpy.random"):
        kind, keys, *rest = numpy.get_state()
        states["numpy's random generator"] = ((kind, tuple(keys.tolist()), *rest), numpy.set_state)
    if declaring:
        states["the environment"] = (dict(os.environ), _set_environment)
        states["the warning filters"] = (list(warnings.filters), _set_filters)
        states["the current folder"] = (str(Path.cwd()), os.chdir)
    return states


def _set_torch_rng(state: bytes) -> None:
    torch = sys.modules["torch"]
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _set_environment(values: dict[str, str]) -> None:
    for key in os.environ.keys() - values.keys():
        del os.environ[key]
    os.environ.update(values)


def _set_filters(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index] # a list, which the stubs call a sequence
    with warnings.catch_warnings():  # resets the cache of filters
        pass
