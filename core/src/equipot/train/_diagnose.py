"""Say which step, term and frames made a loss NaN or infinite."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from equipot.fields import LABELS, mask_key
from equipot.graph import Graph, num_frames
from equipot.train._measures import WEIGHTED_SUM


def not_finite(terms: Mapping[str, torch.Tensor], outputs: Graph, batch: Graph, step: int, batch_idx: int) -> str:
    """The message that names the optimizer step, the terms of the loss and up to five frames of the batch."""
    names = [name for name, value in terms.items() if name != WEIGHTED_SUM and not bool(torch.isfinite(value))]
    frames = _frames_not_finite(outputs, batch)
    shown = ", ".join(_formula(batch, index) for index in frames[:5]) + (", …" if len(frames) > 5 else "")
    what = f"the loss is not finite ({', '.join(names) or WEIGHTED_SUM})"
    got = f"frames {frames[:5]} of batch {batch_idx}: {shown}" if frames else f"batch {batch_idx}"
    return f"training step {step}: {what}, got {got}; lower the learning rate, or look at these frames"


def _frames_not_finite(outputs: Graph, batch: Graph) -> list[int]:
    """Frames of a batch with a prediction or a present label that is NaN or infinite."""
    wrong = torch.zeros(num_frames(batch), dtype=torch.bool, device=batch["num_atoms"].device)
    for key, field in LABELS.items():
        for source in (outputs, batch):
            if key not in source:
                continue
            # squared, as in the loss: a finite error may overflow
            rows = ~torch.isfinite(source[key].square()).reshape(source[key].shape[0], -1).all(1)
            if source is batch and mask_key(key) in batch:
                rows = rows & batch[mask_key(key)]
            if field.per == "atom":
                wrong[batch["batch"][rows]] = True
            else:
                wrong |= rows
    return [int(index) for index in wrong.nonzero().flatten()]


def _formula(batch: Graph, index: int) -> str:
    """The chemical formula of a frame, or its number where the batch has no elements."""
    from ase.symbols import Symbols

    numbers = batch["atomic_numbers"][batch["batch"] == index].tolist() if "atomic_numbers" in batch else []
    return str(Symbols(numbers).get_chemical_formula()) if numbers else f"frame {index}"
