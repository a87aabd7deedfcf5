"""What a run says while it trains: a line after an epoch, on the terminal and in ``train.log``."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import lightning
import torch

from equipot._processes import is_first, say
from equipot.files import append_text
from equipot.quantities import REPORTED
from equipot.train._checkpoints import RunCheckpoints
from equipot.train._table import KINDS
from equipot.units import Units

try:
    import resource
except ImportError:  # on Windows
    resource = None  # type: ignore[assignment]

LOG = "train.log"
"""File in the folder of a run."""

PAUSE = 10.0
"""Seconds between two lines, at least: small sets have 20 epochs in a second."""


def note(folder: Path, text: str, show: Callable[[str], None] = say) -> None:
    """Print lines and keep them in ``train.log``, on the first process only.

    Args:
        folder: Of the run.
        text: One line or more.
        show: Prints them.
    """
    if is_first():
        show(text)
        append_text(folder / LOG, text + "\n")


class EpochLines(lightning.Callback):
    """Says how far training is: after the first epoch and the last, and between them at most every ``PAUSE`` seconds.

    What an epoch that says nothing has logged is in ``metrics.csv``.

    Args:
        folder: Of the run.
        units: Unit system of the data.
        checkpoints: Which know the best epoch, if there are any.
    """

    def __init__(self, folder: Path, units: Units, checkpoints: RunCheckpoints | None) -> None:
        self.folder, self.units, self.checkpoints = folder, units, checkpoints
        self._begun = (0.0, 0)
        self._said: float | None = None
        self._waiting = ""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock."""
        del pl_module
        self._begun = (time.monotonic(), trainer.global_step)
        self._said, self._waiting = None, ""

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Say it, unless the last line is too new."""
        del pl_module
        self._waiting = self._line(trainer)
        if self._said is None or time.monotonic() - self._said >= PAUSE:
            self._say(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Say what the last epoch was."""
        del pl_module
        self._say(trainer)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Say how far training came."""
        del pl_module, exception
        self._say(trainer)

    def _say(self, trainer: lightning.Trainer) -> None:
        if self._waiting:
            bar: Any = trainer.progress_bar_callback
            note(self.folder, self._waiting, say if bar is None else bar.print)
            self._said, self._waiting = time.monotonic(), ""

    def _line(self, trainer: lightning.Trainer) -> str:
        number = f"epoch {trainer.current_epoch + 1}"
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            number += f"/{trainer.max_epochs}"
        parts = [number, *errors(trainer.callback_metrics, self.units)]
        parts += [f"lr {rate:.3g}" for rate in _rates(trainer)]
        best = {} if self.checkpoints is None else self.checkpoints.best
        if best.get("score") is not None:
            parts.append(f"best {best['score']:.4g} (epoch {best['epoch'] + 1})")
        parts.append(memory())
        if left := self._left(trainer):
            parts.append(f"{left} left")
        return "  ".join(part for part in parts if part)

    def _left(self, trainer: lightning.Trainer) -> str:
        """Time to the last epoch or step, from what this process has needed so far."""
        begun, before = self._begun
        done = trainer.global_step - before
        an_epoch = trainer.global_step / (trainer.current_epoch + 1)
        ends = [float(trainer.max_steps)] if trainer.max_steps > 0 else []
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            ends.append(trainer.max_epochs * an_epoch)
        steps = min(ends, default=0.0) - trainer.global_step
        return duration((time.monotonic() - begun) / done * steps) if steps > 0 < done else ""


def _rates(trainer: lightning.Trainer) -> Iterable[float]:
    """Learning rates, each once."""
    return dict.fromkeys(float(group["lr"]) for one in trainer.optimizers for group in one.param_groups)


def errors(metrics: Mapping[str, Any], units: Units) -> list[str]:
    """Errors of the validation sets in the units of tables: mean absolute ones where there are some, else rms.

    Args:
        metrics: As logged.
        units: Unit system of the data.
    """
    parts = []
    for name in dict.fromkeys(key.split("_epoch/")[0] for key in metrics if key.startswith("val")):
        for kind in KINDS:
            found = [(one, metrics.get(f"{name}_epoch/{one.name}_{kind}")) for one in REPORTED]
            shown = [
                f"{one.title} {float(value) * one.factor(units):.4g} {one.unit}"
                for one, value in found
                if value is not None
            ]
            if shown:
                parts.append(f"{name} {kind.upper()} {', '.join(shown)}")
                break
    return parts


def memory() -> str:
    """The most memory that this process has used, of the computer and of a GPU.

    Example:
        >>> memory().startswith("memory ")
        True
    """
    parts = []
    if resource is not None:
        # Linux counts in kB, macOS in bytes
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        parts.append(f"{peak / 1e9:.2f} GB")
    if torch.cuda.is_initialized():
        parts.append(f"{torch.cuda.max_memory_allocated() / 1e9:.2f} GB of the GPU")
    return f"memory {', '.join(parts)}" if parts else ""


def duration(seconds: float) -> str:
    """A time to be read: the two largest units that count.

    Example:
        >>> duration(59.2), duration(125), duration(7260), duration(200000)
        ('1 min', '2 min 5 s', '2 h 1 min', '2 d 7 h')
    """
    rest = math.ceil(seconds)
    texts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not texts):
            texts.append(f"{count} {unit}")
    return " ".join(texts[:2])


def ending(folder: Path, checkpoints: RunCheckpoints | None) -> str:
    """What a run that trained ends with: the best epoch, where its files are, and what to do next.

    Args:
        folder: Of the run.
        checkpoints: None if none were written.
    """
    if checkpoints is None or checkpoints.best_path is None:
        return f"results: {folder / 'results.json'}"
    best = checkpoints.best
    score = "" if best["score"] is None else f" ({best['score']:.4g})"
    path = checkpoints.best_path
    return "\n".join(
        [
            f"best epoch: {best['epoch'] + 1}{score}, {path}",
            f"last epoch: {folder / 'last.ckpt'}",
            f"results: {folder / 'results.json'}",
            f"next: equipot package build '{path}' model.equipot.zip",
        ]
    )
