"""Frames and batches are plain dicts of tensors (see ``equipot.fields``); this module joins and splits them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import torch

from equipot.errors import DataError
from equipot.fields import FIELDS, LABELS, PerWhat, mask_key, weight_key

Graph = dict[str, torch.Tensor]
"""A frame or batch at run time."""

EDGE_SET_SEPARATOR = ":"
"""Separates a field from the name of a further edge set: ``edge_index:NAME`` and ``edge_cell_shift:NAME``."""


def edge_set_key(key: str, edge_set: str) -> str:
    """Key of an edge field in a named edge set; the name of the model's own set is empty.

    Example:
        >>> edge_set_key("edge_index", "dispersion")
        'edge_index:dispersion'
    """
    return f"{key}{EDGE_SET_SEPARATOR}{edge_set}" if edge_set else key


def per_what(key: str) -> PerWhat:
    """Whether a field, a label's mask or weights, or an edge field of a named edge set is per frame, atom or edge.

    Raises:
        DataError: If ``equipot.fields`` does not list the key.
    """
    base = key.split(EDGE_SET_SEPARATOR, maxsplit=1)[0]
    field = FIELDS.get(base) or LABELS.get(base.removesuffix("_mask")) or LABELS.get(base.removesuffix("_weight"))
    if field is None:
        raise DataError(f"{key}: unknown data field; fields are listed in equipot.fields")
    return field.per


def num_atoms(graph: Graph) -> int:
    """Number of atoms of a frame or batch."""
    return graph["positions"].shape[0]


def num_frames(graph: Graph) -> int:
    """Number of frames of a batch."""
    return graph["num_atoms"].shape[0]


def non_finite(graph: Graph) -> str:
    """Names of the fields that hold NaN or infinity, comma-separated."""
    return ", ".join(key for key, value in graph.items() if value.is_floating_point() and not _finite(value))


def _finite(value: torch.Tensor) -> bool:
    """Whether all numbers are; of a small calculation the exact check takes several percent, so a sum comes first."""
    return math.isfinite(float(value.sum())) or bool(value.isfinite().all())


def collate(frames: Sequence[Graph]) -> Graph:
    """Join frames into one batch.

    A label that only some of the frames have is filled with zeros and masked out in the others; frames without weights
    of a label that others have get the weight 1.

    Args:
        frames: Frames or batches, at least one.

    Returns:
        The batch; atom indices in ``edge_index`` and frame indices in ``batch`` are shifted.

    Raises:
        DataError: If the list is empty, or the frames differ in fields other than labels.
    """
    if not frames:
        raise DataError("collate: a batch needs at least one frame, got none")
    present = [label for label in LABELS if any(label in frame for frame in frames)]
    weighted = [label for label in present if any(weight_key(label) in frame for frame in frames)]
    frames = [with_labels(frame, present, weighted) for frame in frames]
    keys = frames[0].keys()
    for index, frame in enumerate(frames):
        if frame.keys() != keys:
            differing = sorted(frame.keys() ^ keys)
            raise DataError(f"collate: frame {index} differs from frame 0 in the fields {differing}")
    atoms = list(itertools.accumulate(map(num_atoms, frames), initial=0))
    earlier = list(itertools.accumulate(map(num_frames, frames), initial=0))
    joined: Graph = {}
    for key in keys:
        parts = [frame[key] for frame in frames]
        if key == "batch":
            parts = [part + start for part, start in zip(parts, earlier, strict=False)]
        elif key.startswith("edge_index"):
            parts = [part + start for part, start in zip(parts, atoms, strict=False)]
        joined[key] = torch.cat(parts, dim=1 if key.startswith("edge_index") else 0)
    return joined


def with_labels(frame: Graph, labels: Iterable[str], weighted: Iterable[str] = ()) -> Graph:
    """A frame with all of these labels and their masks; labels that it lacks are zero and masked out.

    Args:
        frame: A frame or batch.
        labels: Labels that it must have.
        weighted: Labels that must have weights; where it lacks them, they are 1.
    """
    extra: Graph = {}
    for label in labels:
        n = num_atoms(frame) if per_what(label) == "atom" else num_frames(frame)
        if label not in frame:
            extra[label] = frame["positions"].new_zeros((n, *FIELDS[label].shape[1:]), dtype=torch.float64)  # type: ignore[arg-type]
            extra[mask_key(label)] = torch.zeros(n, dtype=torch.bool)
        elif mask_key(label) not in frame:
            extra[mask_key(label)] = torch.ones(n, dtype=torch.bool)
    full = {**frame, **extra}
    ones = {weight_key(label): torch.ones(len(full[label]), dtype=torch.float64) for label in weighted}
    return {**ones, **full}


def split(batch: Graph) -> list[Graph]:
    """Undo ``collate``.

    Args:
        batch: A batch, which may also hold the outputs of a model.

    Returns:
        One graph per frame, in order, with its own atom indices. Edges belong to the frame of their centre.
    """
    starts = batch["num_atoms"].cumsum(0) - batch["num_atoms"]
    frames, kinds = [], {key: per_what(key) for key in batch}
    for index in range(num_frames(batch)):
        atoms = batch["batch"] == index
        frame: Graph = {}
        for key, value in batch.items():
            kind = kinds[key]
            if kind == "frame":
                frame[key] = value[index : index + 1]
            elif kind == "atom":
                frame[key] = value[atoms]
            else:
                edge_set = key.split(EDGE_SET_SEPARATOR)[1] if EDGE_SET_SEPARATOR in key else ""
                edges = atoms[batch[edge_set_key("edge_index", edge_set)][0]]
                frame[key] = value[:, edges] - starts[index] if key.startswith("edge_index") else value[edges]
        frame["batch"] = torch.zeros_like(frame["batch"])
        frames.append(frame)
    return frames


def compute_edge_vectors(
    positions: torch.Tensor,
    cell: torch.Tensor,
    edge_index: torch.Tensor,
    edge_cell_shift: torch.Tensor,
    batch: torch.Tensor,
) -> torch.Tensor:
    """Vectors from the centres of edges to the periodic images of their neighbours.

    Args:
        positions: Å, shape [n_atoms, 3].
        cell: Cell vectors as rows, Å, shape [n_frames, 3, 3].
        edge_index: Centre and neighbour, shape [2, n_edges].
        edge_cell_shift: Integer shifts S, shape [n_edges, 3].
        batch: Frame of each atom, shape [n_atoms].

    Returns:
        ``positions[neighbour] + S @ cell - positions[centre]`` in Å, shape [n_edges, 3].
    """
    centre, neighbour = edge_index[0], edge_index[1]
    cells = cell.index_select(0, batch.index_select(0, centre))
    # Three products of columns are several times faster than one small matrix product per edge.
    first, second, third = (edge_cell_shift[:, k : k + 1] * cells[:, k] for k in range(3))
    images = first + second + third
    return positions.index_select(0, neighbour) - positions.index_select(0, centre) + images
