"""The package that a training leaves: its best or last weights, with the last layer refitted where that helps."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import lightning
import torch
from pydantic import Field

from equipot.artifacts import read_checkpoint, source_of, write_package
from equipot.data import DataModule
from equipot.files import write_json
from equipot.graph import Graph, collate
from equipot.model import GraphModel, apply_automatic
from equipot_fit import _rules as rules
from equipot_fit._refit import Refit, refit
from equipot_fit._tail import NO_TIME, refit_frames
from equipot_fit.callbacks import OBJECTIVE, TimeBudget, has_declined

BEST, LAST = "best.ckpt", "last.ckpt"
"""The checkpoints with the smallest validation objective and with the last weights, in the folder of a run."""

PACKAGE, REFIT = "model.equipot.zip", "refit.json"
"""Files in the folder of a run."""

MOST_ATOMS = 1000
"""Atoms of the frames that are evaluated at once for a refit."""


class PackageBest(lightning.Callback):
    """At the end of a training, packages its best weights as ``model.equipot.zip`` in the folder of the run.

    These are the last ones, if the learning rate has come down (``equipot_fit.WarmupDecay``) and their validation
    objective is at most 20 %, divided by the root of the number of validation frames, above the smallest: that is the
    smallest of many numbers and owes part of its size to luck. Else they are those of ``best.ckpt``.

    Before, the last linear layer and the shifts are refitted in closed form on energies and forces of the training set;
    the result is kept only if the validation improves. ``refit.json`` and the package's provenance say what came out.

    Args:
        refit: Whether to refit.
        max_frames: Number of training frames that the refit uses at most, evenly spread over the set: it takes as many
            evaluations of each as the last layer has weights. With a ``TimeBudget`` there are fewer, or there is no
            refit, if that takes too long.
    """

    def __init__(self, *, refit: bool = True, max_frames: Annotated[int, Field(ge=1)] = 1000) -> None:
        self.refit, self.max_frames = refit, max_frames

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write it; the checkpoints are on disk by now."""
        folder = Path(trainer.default_root_dir)
        if not trainer.is_global_zero or not (folder / BEST).is_file():
            return
        tell = getattr(pl_module, "tell", None)
        said = tell if callable(tell) else _silent
        best, last = _objectives(trainer)
        frames = _luck_frames(trainer, best, last)
        if frames:
            values = f"{last:.4g} is not clearly above the smallest, {best:.4g}"
            said(f"the last weights are packaged: their objective on {frames} validation frames, {values}")
        chosen = folder / (LAST if frames else BEST)
        result = package_checkpoint(chosen, self._refitted(trainer, pl_module) if self.refit else None)
        if result is not None:
            said(result.line)

    def _refitted(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> Callable[[GraphModel], Refit]:
        """The refit of a model to the data of the training."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        module: Any = pl_module
        device = trainer.strategy.root_device
        interruption = getattr(module, "interruption", None)

        def run(model: GraphModel) -> Refit:
            if not isinstance(data, DataModule) or "val0" not in data.set_names or module.val_metrics is None:
                return Refit(reason="there is no validation set")
            train, val = data.dataset("train"), data.dataset("val0")
            most = self._most(trainer, model, len(train), len(val))
            if not most:
                return Refit(reason=NO_TIME)
            used = range(0, len(train), max(-(-len(train) // most), 1))
            result = refit(
                model,
                batches(train, used, device),
                _Again(lambda: batches(val, range(len(val)), device)),
                coefficients=module.loss.coefficients,
                metrics=copy.deepcopy(module.val_metrics).to(device),
                fixed_shifts=isolated_types(train, model),
                check=lambda: None if interruption is None else interruption.check(trainer),
            )
            result.max_frames = most
            return result

        return run

    def _most(self, trainer: lightning.Trainer, model: GraphModel, train: int, val: int) -> int:
        """Number of training frames: as many as there is time for, by what validations took."""
        budgets = [one for one in trainer.callbacks if isinstance(one, TimeBudget)]  # type: ignore[attr-defined]
        weights = model.energy.last_layer()
        if not budgets or weights is None:
            return self.max_frames
        frame = budgets[0].frame_seconds
        return min(self.max_frames, refit_frames(budgets[0].total, weights.numel(), frame, train, val))


class _Again:
    """An iterable that can be gone through several times."""

    def __init__(self, make: Callable[[], Iterator[Graph]]) -> None:
        self.make = make

    def __iter__(self) -> Iterator[Graph]:
        return self.make()


def _objectives(trainer: lightning.Trainer) -> tuple[float, float]:
    """The smallest validation objective, as the best checkpoint has it, and that of the last weights."""
    scores = [getattr(one, "best", {}).get("score") for one in trainer.checkpoint_callbacks]
    known = [float(score) for score in scores if score is not None]
    return min(known, default=math.inf), float(trainer.callback_metrics.get(OBJECTIVE, math.inf))


def _luck_frames(trainer: lightning.Trainer, best: float, last: float) -> int:
    """Number of validation frames, if the last weights are as good as the best for all that they tell, else 0."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    if not has_declined(trainer) or not isinstance(data, DataModule) or "val0" not in data.set_names:
        return 0
    frames = len(data.dataset("val0"))
    luck = rules.LUCK / math.sqrt(max(frames, 1))
    there = (Path(trainer.default_root_dir) / LAST).is_file()
    return frames if there and best < last <= best * (1.0 + luck) else 0


def _silent(text: str) -> None:
    """Where a module cannot say anything."""


def package_checkpoint(checkpoint: Path, refitted: Callable[[GraphModel], Refit] | None = None) -> Refit | None:
    """Package a checkpoint in its folder.

    Args:
        checkpoint: The file.
        refitted: Refits a model, which is on the CPU, in place.

    Returns:
        What the refit came to; None without.
    """
    stored = read_checkpoint(checkpoint)
    model = stored.build().eval()
    result = None
    record: dict[str, Any] = {}
    if refitted is not None:
        fast, _ = apply_automatic(model)
        result = refitted(fast)
        record = {"refit": result.to_dict()}
        write_json(checkpoint.with_name(REFIT), result.to_dict())
    provenance = {**stored.manifest.provenance, **source_of(checkpoint), **record}
    write_package(model, checkpoint.with_name(PACKAGE), provenance=provenance, data=stored.manifest.data)
    return result


def batches(dataset: Any, indices: Sequence[int], device: torch.device) -> Iterator[Graph]:
    """Frames of a set in batches of at most ``MOST_ATOMS`` atoms, or of one frame."""
    waiting: list[Graph] = []
    atoms = 0
    for index in indices:
        frame = dataset[index]
        size = int(frame["num_atoms"].sum())
        if waiting and atoms + size > MOST_ATOMS:
            yield _moved(collate(waiting), device)
            waiting, atoms = [], 0
        waiting.append(frame)
        atoms += size
    if waiting:
        yield _moved(collate(waiting), device)


def _moved(batch: Graph, device: torch.device) -> Graph:
    return {key: value.to(device) for key, value in batch.items()}


def isolated_types(dataset: Any, model: GraphModel) -> Iterable[str]:
    """Types of which the set has the isolated atom: their shifts are known."""
    alone = [index for index, isolated in enumerate(dataset.isolated_atoms()) if isolated]
    return {model.info.type_names[int(dataset[index]["atom_types"][0])] for index in alone}
