"""Callbacks that training adds by itself."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch

from equipot.errors import DataError
from equipot.train._launcher import GRACE

if TYPE_CHECKING:
    from equipot.train._module import LightningModule

__all__ = ["LoopState", "RandomState", "Refusal"]


class RandomState(lightning.Callback):
    """Saves the random number generators with each checkpoint and restores them on resume.

    They are restored where the run goes on: at the start of an epoch, before a validation that is due, or before
    a batch.
    """

    def __init__(self) -> None:
        """Start without a state to restore."""
        self._restore: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """States of torch, numpy and Python, as tensors and plain containers."""
        if self._restore is not None:
            return self._restore
        # numpy's global state is what libraries draw from
        name, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
        version, internal, gauss_next = random.getstate()
        return {
            "torch": torch.get_rng_state(),
            "cuda": list(torch.cuda.get_rng_state_all()) if torch.cuda.is_available() else [],
            "numpy": [
                str(name),
                torch.from_numpy(np.asarray(keys, dtype=np.int64)),
                int(position),
                int(has_gauss),
                float(gauss),
            ],
            "python": [version, list(internal), gauss_next],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until the first batch."""
        self._restore = state_dict

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Restore the states of a run that was between two epochs."""
        self._set()

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Restore the states of a run that was before a validation."""
        self._set()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Restore the states of a run that was between two batches."""
        self._set()

    def _set(self) -> None:
        if self._restore is None:
            return
        state, self._restore = self._restore, None
        torch.set_rng_state(state["torch"].cpu())
        if state["cuda"]:
            torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])
        name, keys, position, has_gauss, gauss = state["numpy"]
        np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
        version, internal, gauss_next = state["python"]
        random.setstate((version, tuple(internal), gauss_next))


class Refusal(lightning.Callback):
    """Stops all processes of a run, once they are connected, if the first of them has refused the data.

    Attributes:
        text: What the first process has to say; empty if it has refused nothing, and in all others.
    """

    def __init__(self) -> None:
        self.text = ""

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Ask the first process.

        Raises:
            DataError: In the first process, if it has refused the data.
            SystemExit: In the others, then; they say nothing, and not sooner than the first.
        """
        if text := trainer.strategy.broadcast(self.text):
            if trainer.is_global_zero:
                raise DataError(text)
            time.sleep(GRACE)
            raise SystemExit(2)


class LoopState(lightning.Callback):
    """Lets a resumed run go on where it was, before any other callback is called."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: LightningModule) -> None:  # type: ignore[override]
        """Set the loops."""
        pl_module.resume_loops()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: LightningModule) -> None:  # type: ignore[override]
        """Put back what was set aside to come to the end of the epoch."""
        pl_module.close_resumed_epoch()
