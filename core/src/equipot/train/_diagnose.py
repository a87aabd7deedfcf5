"""Say which step, term and frames made a loss NaN or infinite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from equipot.fields import mask_key
from equipot.graph import num_frames
from equipot.train._measures import WEIGHTED_SUM

if TYPE_CHECKING:
    from equipot.graph import Graph


def not_finite(terms: Mapping[str, torch.Tensor], outputs: Graph, batch: Graph, step: int, batch_idx: int) -> str:
    """Say which step, term and frames made a loss NaN or infinite.

    Args:
        terms: Of the loss.
        outputs: Of the model.
        batch: The batch.
        step: Optimizer steps done.
        batch_idx: Number of the batch in the epoch.
    """
    names = [name for name, value in terms.items() if name != WEIGHTED_SUM and not bool(torch.isfinite(value))]
    frames = _frames_not_finite(outputs, batch)
    shown = ", ".join(_formula(batch, index) for index in frames[:5]) + (", …" if len(frames) > 5 else "")
    where = f"training step {step}"
    what = f"the loss is not finite ({', '.join(names) or WEIGHTED_SUM})"
    got = f"frames {frames[:5]} of batch {batch_idx}: {shown}" if frames else f"batch {batch_idx}"
    return f"{where}: {what}, got {got}; lower the learning rate, or look at these frames"


def _frames_not_finite(outputs: Graph, batch: Graph) -> list[int]:
    """Frames of a batch with a prediction or label that is not finite."""
    wrong = torch.zeros(num_frames(batch), dtype=torch.bool, device=batch["num_atoms"].device)
    for key in ("total_energy", "forces", "stress"):
        for source in (outputs, batch):
            if key not in source:
                continue
            rows = ~torch.isfinite(source[key].square()).reshape(source[key].shape[0], -1).all(1)
            if source is batch and mask_key(key) in batch:
                rows = rows & batch[mask_key(key)]
            if rows.shape[0] == wrong.shape[0] and key != "forces":
                wrong |= rows
            else:
                wrong[batch["batch"][rows]] = True
    return [int(index) for index in wrong.nonzero().flatten()]


def _formula(batch: Graph, index: int) -> str:
    from ase.symbols import Symbols

    numbers = batch["atomic_numbers"][batch["batch"] == index].tolist() if "atomic_numbers" in batch else []
    return str(Symbols(numbers).get_chemical_formula()) if numbers else f"frame {index}"
