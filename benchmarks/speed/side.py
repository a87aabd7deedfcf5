"""What all sides have in common."""

from __future__ import annotations

import abc
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch


class BaseSide(abc.ABC):
    """One program that is timed.

    Args:
        case: The case of ``cases.py``.
        batch: Positions, edges and labels.
        folder: Where files of this run go.
    """

    DISTRIBUTIONS: ClassVar[tuple[str, ...]]
    """What the program consists of, besides torch."""

    def __init__(self, case: dict[str, Any], batch: dict[str, np.ndarray], folder: Path) -> None:
        self.case, self.batch, self.folder = case, batch, folder

    def versions(self) -> dict[str, str]:
        """Versions of what runs here, and the number of threads."""
        found = {name: importlib.metadata.version(name) for name in ("torch", *self.DISTRIBUTIONS)}
        return {**found, "threads": str(torch.get_num_threads())}

    @abc.abstractmethod
    def prepare(self, mode: str) -> Callable[[], Any]:
        """A function that evaluates once in a mode."""
