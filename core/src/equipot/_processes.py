"""Which of several processes of a run this is."""

from __future__ import annotations

import os
import sys
from typing import Any

_RANKS = ("RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
"""Number among all processes, as torchrun, SLURM and IBM's launcher give it."""


def rank() -> int:
    """Number of this process among those of the run, 0 for the only or first one.

    Lightning's own launcher numbers processes by machine (``NODE_RANK``) and on each machine (``LOCAL_RANK``); the one
    that the user started has no ``LOCAL_RANK`` yet.
    """
    if (group := _group()) is not None:
        return int(group.get_rank())
    for name in _RANKS:
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return max(int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("NODE_RANK", "0")))


def share() -> tuple[int, int]:
    """Number of this process and of all that share the batches of an epoch; (0, 1) before they are connected."""
    group = _group()
    return (0, 1) if group is None else (int(group.get_rank()), int(group.get_world_size()))


def _group() -> Any:
    """``torch.distributed`` once it connects processes, without importing it."""
    distributed = sys.modules.get("torch.distributed")
    connected = distributed is not None and distributed.is_available() and distributed.is_initialized()
    return distributed if connected else None


def is_first() -> bool:
    """Whether this process prints, and writes what all of them share."""
    return rank() == 0


def say(text: str) -> None:
    """Print a text on the first process only."""
    if is_first():
        print(text, flush=True)  # noqa: T201 - command line output
