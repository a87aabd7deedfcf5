"""The number of this process among those of a run."""

from __future__ import annotations

import os
import sys
from typing import Any

_RANKS = ("RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
"""Environment variables with the rank, as set by torchrun, SLURM and IBM's launcher."""


def rank() -> int:
    """The rank of this process in the run, 0 for the first or only one.

    Lightning's launcher sets ``NODE_RANK`` and, for all processes but the one that the user started, ``LOCAL_RANK``.
    """
    if (group := _group()) is not None:
        return int(group.get_rank())
    for name in _RANKS:
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return max(int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("NODE_RANK", "0")))


_SIZES = ("WORLD_SIZE", "SLURM_NTASKS", "JSM_NAMESPACE_SIZE")
"""Environment variables with the number of processes, as set by the same and by Lightning."""


def has_peers() -> bool:
    """Whether other processes of the run may be at work already, before they are connected."""
    sizes = [os.environ.get(name, "") for name in _SIZES]
    return any(size.isdigit() and int(size) > 1 for size in sizes) or "NODE_RANK" in os.environ


def share() -> tuple[int, int]:
    """Rank of this process, and number of processes that share the batches; (0, 1) before they are connected."""
    group = _group()
    return (0, 1) if group is None else (int(group.get_rank()), int(group.get_world_size()))


def _group() -> Any:
    """The module ``torch.distributed`` if it connects processes; does not import it."""
    distributed = sys.modules.get("torch.distributed")
    connected = distributed is not None and distributed.is_available() and distributed.is_initialized()
    return distributed if connected else None


def is_first() -> bool:
    """Whether this process prints messages and writes the shared files."""
    return rank() == 0


def say(text: str) -> None:
    """Print a text on the first process only."""
    if is_first():
        print(text, flush=True)  # noqa: T201 - command line output
