"""Checkpoints of a run: written whole or not at all, ``best.ckpt`` and ``last.ckpt`` always there."""

from __future__ import annotations

import copy
import io
import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import lightning
import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from equipot._processes import say
from equipot.artifacts._checkpoint import load_plain
from equipot.errors import ArtifactError, ConfigError, problem
from equipot.files import atomic

OBJECTIVE = "val0_epoch/weighted_sum"
"""What ``best.ckpt`` has the smallest of, and what a sweep minimises."""

BEST, LAST = "best.ckpt", "last.ckpt"
"""File names in the folder of a run."""

REQUEUED = "hpc_ckpt_*.ckpt"
"""Files that Lightning's own handling of SLURM wrote."""

PAUSE = 50.0
"""After ``last.ckpt`` was written, the next one waits this many times as long as writing took, that of a ``best.ckpt``
that waited included. So checkpoints cost 2 % of the time of a run whose epochs take milliseconds, and a run that is
killed has lost no more than this pause."""


class AtomicCheckpoints(CheckpointIO):
    """Writes checkpoints next to their target and renames them, and reads plain data only.

    Lightning's own writes them to ``$TMPDIR`` and copies them over the only good file. A ``best.ckpt`` that is not
    due is kept in memory, and written before the next file, or by ``flush``.

    Args:
        folder: Of the run, which is not made again if it was removed; folders for further checkpoints are made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._due = 0.0
        self._waiting: dict[str, Any] | None = None

    @property
    def due(self) -> bool:
        """Whether ``last.ckpt`` was written long enough ago, see ``PAUSE``."""
        return time.monotonic() >= self._due

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a file, or leave the one that is there as it is; keep a ``best.ckpt`` that is not due.

        Args:
            checkpoint: Tensors and plain containers.
            path: The file.
            storage_options: Not used.

        Raises:
            ArtifactError: If the disk is full, or the folder is gone or read-only.
        """
        path = Path(path)
        if path == self.folder / BEST:
            self._waiting = None if self.due else _held(checkpoint)
            if self._waiting is not None:
                return
        begun = time.monotonic()
        self.flush()
        if path.parent != self.folder:
            if not self.folder.is_dir():
                raise ArtifactError(problem(str(self.folder), "the folder of the run is gone"))
            path.parent.mkdir(parents=True, exist_ok=True)
        self._write(checkpoint, path)
        if path == self.folder / LAST:
            now = time.monotonic()
            self._due = now + PAUSE * (now - begun)

    def flush(self) -> None:
        """Write the ``best.ckpt`` that waits, if any: no later checkpoint may know of one that is not there."""
        if self._waiting is not None:
            self._write(self._waiting, self.folder / BEST)
            self._waiting = None

    def _write(self, checkpoint: Mapping[str, Any], path: Path) -> None:
        with atomic(path) as temporary, temporary.open("wb") as file:
            _save(checkpoint, file)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any = "cpu",
        weights_only: bool | None = None,  # noqa: FBT001 - Lightning's signature
    ) -> dict[str, Any]:
        """Read a file; nothing in it is executed, even with ``weights_only=False``."""
        loaded: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        return loaded

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a file, or the folder that some strategies write instead."""
        path = Path(path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _held(value: Any) -> Any:
    """A copy of a checkpoint's contents; ``copy.deepcopy`` takes several times as long for a small model's."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        copied = copy.copy(value)  # of its own class, with the attribute in which torch keeps versions
        copied.update((key, _held(item)) for key, item in value.items())
        return copied
    if type(value) in {list, tuple}:
        if _FIXED.issuperset(map(type, value)):  # as the hundreds of numbers in a state of random
            return value if type(value) is tuple else value.copy()
        return type(value)([_held(item) for item in value])
    return value if type(value) in _FIXED else copy.deepcopy(value)


_FIXED = frozenset({str, int, float, bool, type(None)})
"""Types of values that cannot change."""


class _Target(io.RawIOBase):
    """A file that remembers why it could not be written, which ``torch.save`` hides behind a RuntimeError."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()

    def writable(self) -> bool:
        return True


def _save(checkpoint: Mapping[str, Any], file: IO[bytes]) -> None:
    target: Any = _Target(file)
    try:
        torch.save(checkpoint, target)
    except (RuntimeError, OSError):
        if target.error is not None:
            raise target.error from None
        raise


class RunCheckpoints(Checkpoint):
    """Keeps ``best.ckpt`` and ``last.ckpt``.

    The best one has the smallest objective of all validations; before the first one, or without any, it is the
    newest. What is known of it is part of each checkpoint, so that a resumed run goes on comparing. The last one is
    written after an epoch, unless that would take much of the time (see ``PAUSE``), and at the end of training.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.best: dict[str, Any] = {}

    @property
    def best_path(self) -> Path | None:
        """The file to evaluate, None before there is one."""
        path = self.folder / BEST
        return path if self.best and path.is_file() else None

    def state_dict(self) -> dict[str, Any]:
        """Score, epoch, step and file name of the best one."""
        return {"best": dict(self.best)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on comparing with the best one of the resumed run, if its file is here."""
        self.best = best_record(self.folder / BEST) or {}
        if state_dict["best"].get("score") is not None and not self.best:
            epoch = state_dict["best"]["epoch"] + 1
            say(f"  {BEST} of the interrupted run (epoch {epoch}) is not there; the best from now on is kept")

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Keep the resumed state as the best one if it is and was not written as such."""
        del pl_module
        if trainer.global_step:
            self._compare(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write ``best.ckpt`` if the objective is smaller than ever."""
        del pl_module
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._compare(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write ``last.ckpt``, and ``best.ckpt`` as long as there was no validation."""
        del pl_module
        if not _writes(trainer):
            return
        if self.best.get("score") is None:
            self._save_best(trainer, None)
        self.save_last(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Leave nothing in memory only."""
        del pl_module
        _flush(trainer)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Leave nothing in memory only."""
        del pl_module, exception
        _flush(trainer)

    def save_last(self, trainer: lightning.Trainer) -> None:
        """Write ``last.ckpt`` of the present state."""
        trainer.save_checkpoint(self.folder / LAST)

    def _compare(self, trainer: lightning.Trainer) -> None:
        value = trainer.callback_metrics.get(OBJECTIVE)
        if value is not None and float(value) < _score(self.best):
            self._save_best(trainer, float(value))

    def _save_best(self, trainer: lightning.Trainer, score: float | None) -> None:
        self.best = {"score": score, "epoch": trainer.current_epoch, "step": trainer.global_step, "file": BEST}
        trainer.save_checkpoint(self.folder / BEST)


def _writes(trainer: lightning.Trainer) -> bool:
    """Whether a checkpoint is due after an epoch: always after the last one, and with several processes."""
    writer = trainer.strategy.checkpoint_io
    if trainer.world_size > 1 or not isinstance(writer, AtomicCheckpoints):
        return True
    epochs, steps = trainer.max_epochs, trainer.max_steps
    ends = trainer.should_stop or trainer.current_epoch + 1 == epochs or trainer.global_step == steps
    return ends or writer.due


def _flush(trainer: lightning.Trainer) -> None:
    writer = trainer.strategy.checkpoint_io
    if isinstance(writer, AtomicCheckpoints):
        writer.flush()


def carry_best(resumed: Path, folder: Path, step: int) -> None:
    """Copy ``best.ckpt`` from next to the resumed checkpoint into another folder, unless a better one lies there.

    Args:
        resumed: The checkpoint.
        folder: Of the run that goes on.
        step: Of the checkpoint; a file of later steps belongs to what the run did after it.
    """
    source, target = resumed.parent / BEST, folder / BEST
    found, there = best_record(source), best_record(target)
    if found is None or found["step"] > step or (target.exists() and source.samefile(target)):
        return
    if there is None or _score(found) < _score(there):
        with atomic(target) as temporary:
            shutil.copyfile(source, temporary)


def carry_last(resumed: Path, folder: Path) -> None:
    """Copy the resumed checkpoint into another folder, as the last one there until a later one is written.

    Args:
        resumed: The checkpoint.
        folder: Of the run that goes on.
    """
    target = folder / LAST
    if not target.exists() or not (folder.samefile(resumed.parent) or target.samefile(resumed)):
        with atomic(target) as temporary:
            shutil.copyfile(resumed, temporary)


def _score(best: Mapping[str, Any]) -> float:
    """The smallest objective so far, infinite before the first validation."""
    score = best.get("score")
    return math.inf if score is None else float(score)


def best_record(path: Path) -> dict[str, Any] | None:
    """What a ``best.ckpt`` says of itself, None if there is no such file or it is not one of ours."""
    try:
        return dict(load_plain(path)["callbacks"][RunCheckpoints.__qualname__]["best"])
    except (ArtifactError, ValueError, KeyError, TypeError):
        return None


def checkpoint_to_load(path: str | None, trainer: lightning.Trainer) -> str | None:
    """The given checkpoint; without one Lightning must not find any: on SLURM it loads what it wrote for a requeue.

    Args:
        path: What is to be loaded, None for nothing.
        trainer: With the folder of the run.

    Raises:
        ConfigError: If there is such a file.
    """
    found = sorted(Path(trainer.default_root_dir).glob(REQUEUED)) if path is None else []
    if found:
        what = "was written by Lightning for a requeued job, and would be loaded on SLURM without a word"
        raise ConfigError(problem(str(found[-1]), what, hint="name it after --resume, or move it away"))
    return path


def best_checkpoint(trainer: lightning.Trainer) -> str | None:
    """The best checkpoint by what the config monitors, else ``best.ckpt``, else None: the weights as they are.

    Args:
        trainer: After training.
    """
    for callback in trainer.checkpoint_callbacks:
        path = getattr(callback, "best_model_path", "")
        if getattr(callback, "monitor", None) and path and Path(path).is_file():
            return str(path)
    ours = next((one for one in trainer.checkpoint_callbacks if isinstance(one, RunCheckpoints)), None)
    return None if ours is None or ours.best_path is None else str(ours.best_path)
