"""The package that a training leaves: its best weights, with the last layer refitted where that helps."""

from __future__ import annotations

import copy
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
from equipot_fit._refit import Refit, refit
from equipot_fit._tail import NO_TIME, refit_frames
from equipot_fit.callbacks import TimeBudget

BEST = "best.ckpt"
"""The checkpoint with the smallest validation objective, in the folder of a run."""

PACKAGE, REFIT = "model.equipot.zip", "refit.json"
"""Files in the folder of a run."""

MOST_ATOMS = 1000
"""Atoms of the frames that are evaluated at once for a refit."""


class PackageBest(lightning.Callback):
    """At the end of a training, packages the best weights as ``model.equipot.zip`` in the folder of the run.

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
        """Write it; the best checkpoint is on disk by now."""
        best = Path(trainer.default_root_dir) / BEST
        if trainer.is_global_zero and best.is_file():
            result = package_best(best, self._refitted(trainer, pl_module) if self.refit else None)
            tell = getattr(pl_module, "tell", None)
            if result is not None and callable(tell):
                tell(result.line)

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


def package_best(best: Path, refitted: Callable[[GraphModel], Refit] | None = None) -> Refit | None:
    """Package a checkpoint in its folder.

    Args:
        best: The checkpoint.
        refitted: Refits a model, which is on the CPU, in place.

    Returns:
        What the refit came to; None without.
    """
    stored = read_checkpoint(best)
    model = stored.build().eval()
    result = None
    record: dict[str, Any] = {}
    if refitted is not None:
        fast, _ = apply_automatic(model)
        result = refitted(fast)
        record = {"refit": result.to_dict()}
        write_json(best.with_name(REFIT), result.to_dict())
    provenance = {**stored.manifest.provenance, **source_of(best), **record}
    write_package(model, best.with_name(PACKAGE), provenance=provenance, data=stored.manifest.data)
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
