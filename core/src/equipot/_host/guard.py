"""What a plugin may not do to the process while it is imported: seen, undone and reported.

Declaring must be free of side effects: nothing printed, no environment, filters or seeds changed.
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
"""What a module of declarations must not import: listing plugins stays fast."""

State = tuple[Any, "Callable[[Any], object]"]
"""A value, and the function that sets it."""


@contextlib.contextmanager
def guarded(notes: list[str], *, declaring: bool) -> Iterator[None]:
    """Undo what the block does to global state.

    Args:
        notes: Gets one text for each thing that was done, starting with "importing it".
        declaring: Whether only declarations are imported: then libraries, the environment, the
            warning filters and the current folder are looked at as well.
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
        notes.extend(f"importing it changed {name}; undone" for name in _undo(before, declaring=declaring))


def _undo(before: dict[str, State], *, declaring: bool) -> list[str]:
    """Set back what differs; its names."""
    changed = []
    for name, (value, put) in _states(declaring=declaring).items():
        old = before[name][0] if name in before else _fresh(name, value)
        if value != old:
            put(old)
            changed.append(_named(name, old, value))
    return changed


def _fresh(name: str, value: Any) -> Any:
    """What a library that was only just imported starts with."""
    if name == "torch's default dtype":
        return sys.modules["torch"].float32
    return value


def _named(name: str, old: Any, new: Any) -> str:
    if name != "the environment":
        return name
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return f"{name} ({', '.join(keys)})"


def _states(*, declaring: bool) -> dict[str, State]:
    """Global state by its name in words; libraries count once they are imported."""
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
    with warnings.catch_warnings():  # entering it makes Python look at the filters again
        pass
