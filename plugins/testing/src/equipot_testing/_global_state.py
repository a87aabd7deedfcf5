"""State of the process that plugins must not change."""

from __future__ import annotations

import contextlib
import os
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


def global_state() -> dict[str, Any]:
    """Global settings that influence results, by name."""
    return {
        "the default dtype": torch.get_default_dtype(),
        "the default device": torch.get_default_device(),
        "the number of threads": torch.get_num_threads(),
        "autograd": torch.is_grad_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "the precision of float32 products": torch.get_float32_matmul_precision(),
        "torch's random generator": torch.get_rng_state().tolist(),
        "Python's random generator": random.getstate(),
        "numpy's random generator": str(np.random.get_state()),  # noqa: NPY002 - what plugins might use
        "the current folder": os.getcwd(),  # noqa: PTH109 - compared only
    }


def changes(before: dict[str, Any]) -> list[str]:
    """The settings that have changed, in words, with their values where these are short."""
    now = global_state()
    changed = [name for name in before if before[name] != now[name]]
    return [name if "generator" in name else f"{name} ({before[name]} to {now[name]})" for name in changed]


@contextlib.contextmanager
def check_global_state_kept(what: str) -> Iterator[None]:
    """Fail if the block changes global state; dtype, threads, precision and autograd are restored.

    Args:
        what: Starts the message.

    Raises:
        AssertionError: Naming what changed.
    """
    before = global_state()
    try:
        yield
        changed = changes(before)
    finally:
        torch.set_default_dtype(before["the default dtype"])
        torch.set_num_threads(before["the number of threads"])
        torch.set_float32_matmul_precision(before["the precision of float32 products"])
        torch.set_grad_enabled(before["autograd"])
    if changed:
        raise AssertionError(f"{what} must not change {'; '.join(changed)}")
