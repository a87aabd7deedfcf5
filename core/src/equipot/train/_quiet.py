"""Warnings of Lightning that a user of equipot cannot act on."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_HARMLESS: Sequence[str] = (
    r".*does not have many workers.*",
    r".*Skipping val loop.*",
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*Experiment logs directory .* exists and is not empty.*",
    r".*is smaller than the logging interval.*",
    r".*LeafSpec.*is deprecated.*",
    r".*callbacks used to create the checkpoint need to be provided.*",  # --allow has listed what differs
    r".*lr_scheduler.step.*before .optimizer.step.*",  # a step made up for right after a resume
)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide warnings and notes that a user cannot act on."""
    loggers = [logging.getLogger(f"lightning.{name}") for name in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for pattern in _HARMLESS:
            warnings.filterwarnings("ignore", message=pattern)
        try:
            for logger in loggers:
                logger.setLevel(logging.WARNING)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
