"""Options of commands that work on many structures: how many processes, or which cluster."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from equipot.errors import ConfigError, problem


@dataclass(frozen=True, kw_only=True)
class Many:
    """Where many structures are computed."""

    workers: int
    """Processes on this machine."""

    scheduler: str | None
    """Address of a Dask cluster instead."""


def many_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that ``many_of`` takes to a command."""
    for decorator in (
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="Compute many structures on a Dask cluster, e.g. tcp://10.0.0.1:8786, or a scheduler file.",
        ),
        click.option("--workers", type=int, metavar="N", help="Processes for many structures (default: one per core)."),
    ):
        function = decorator(function)
    return function


def many_of(given: dict[str, Any]) -> Many:
    """Take these options out of what click parsed.

    Raises:
        ConfigError: If both are given, or there is no worker.
    """
    workers, scheduler = given.pop("workers"), given.pop("scheduler")
    if workers is not None and scheduler is not None:
        raise ConfigError(problem("--workers", "cannot be given together with --scheduler"))
    if workers is not None and workers < 1:
        raise ConfigError(problem("--workers", "must be at least 1", got=workers))
    return Many(workers=workers or _cores(), scheduler=scheduler)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
