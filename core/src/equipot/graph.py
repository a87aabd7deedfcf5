"""Frames and batches: plain dicts of tensors (see ``equipot.fields``), joined and split here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from equipot.errors import DataError
from equipot.fields import FIELDS, LABELS, PerWhat, mask_key

if TYPE_CHECKING:
    from collections.abc import Sequence

Graph = dict[str, torch.Tensor]
"""A frame or batch at run time."""

EDGE_SET_SEPARATOR = ":"
"""``edge_index:NAME`` and ``edge_cell_shift:NAME`` hold the further edge set NAME."""


def edge_set_key(key: str, edge_set: str) -> str:
    """Key of an edge field in a named edge set; the model's own set has the empty name.

    Example:
        >>> edge_set_key("edge_index", "dispersion")
        'edge_index:dispersion'
    """
    return f"{key}{EDGE_SET_SEPARATOR}{edge_set}" if edge_set else key


def per_what(key: str) -> PerWhat:
    """Whether a key is per frame, atom or edge.

    Args:
        key: A field, a label's mask or an edge field of a named edge set.

    Raises:
        DataError: If the key is in no table.
    """
    base = key.split(EDGE_SET_SEPARATOR, maxsplit=1)[0]
    if base.endswith("_mask") and base.removesuffix("_mask") in LABELS:
        base = base.removesuffix("_mask")
    if base not in FIELDS:
        raise DataError(f"{key}: unknown data field; fields are listed in equipot.fields")
    return FIELDS[base].per


def num_atoms(graph: Graph) -> int:
    """Number of atoms of a frame or batch."""
    return graph["positions"].shape[0]


def num_frames(graph: Graph) -> int:
    """Number of frames of a batch."""
    return graph["num_atoms"].shape[0]


def non_finite(graph: Graph) -> str:
    """Names of the fields that hold NaN or infinity, comma-separated."""
    return ", ".join(key for key, value in graph.items() if value.is_floating_point() and not value.isfinite().all())


def collate(frames: Sequence[Graph]) -> Graph:
    """Join frames to one batch.

    A label that only some frames have is filled with zeros and masked out for the others.

    Args:
        frames: Frames or batches, at least one.

    Returns:
        The batch; atom indices in ``edge_index`` and frame indices in ``batch`` are shifted.

    Raises:
        DataError: If there is no frame, or keys other than labels differ.
    """
    if not frames:
        raise DataError("collate: a batch needs at least one frame, got none")
    frames = _with_all_labels(frames)
    keys = frames[0].keys()
    for index, frame in enumerate(frames):
        if frame.keys() != keys:
            differing = sorted(frame.keys() ^ keys)
            raise DataError(f"collate: frame {index} differs from frame 0 in the fields {differing}")
    joined = {key: torch.cat([frame[key] for frame in frames], dim=_joined_axis(key)) for key in keys}
    atom_start, frame_start = 0, 0
    batch: list[torch.Tensor] = []
    edges: dict[str, list[torch.Tensor]] = {key: [] for key in keys if key.startswith("edge_index")}
    for frame in frames:
        batch.append(frame["batch"] + frame_start)
        for key, parts in edges.items():
            parts.append(frame[key] + atom_start)
        atom_start += num_atoms(frame)
        frame_start += num_frames(frame)
    joined["batch"] = torch.cat(batch)
    for key, parts in edges.items():
        joined[key] = torch.cat(parts, dim=1)
    return joined


def _joined_axis(key: str) -> int:
    return 1 if key.startswith("edge_index") else 0


def _with_all_labels(frames: Sequence[Graph]) -> list[Graph]:
    """Give every frame the labels that any of them has, zero and masked out where absent."""
    present = {label: frame[label] for frame in frames for label in LABELS if label in frame}
    completed = []
    for frame in frames:
        extra: Graph = {}
        for label, example in present.items():
            n = num_atoms(frame) if per_what(label) == "atom" else num_frames(frame)
            if label not in frame:
                extra[label] = example.new_zeros((n, *example.shape[1:]))
                extra[mask_key(label)] = torch.zeros(n, dtype=torch.bool)
            elif mask_key(label) not in frame:
                extra[mask_key(label)] = torch.ones(n, dtype=torch.bool)
        completed.append({**frame, **extra})
    return completed


def split(batch: Graph) -> list[Graph]:
    """Undo ``collate``: one graph per frame, with its own atom indices.

    Args:
        batch: Any batch; outputs of a model may be merged into it.

    Returns:
        The frames in order. Edges go to the frame of their centre.
    """
    starts = batch["num_atoms"].cumsum(0) - batch["num_atoms"]
    frames = []
    for index in range(num_frames(batch)):
        atoms = batch["batch"] == index
        frame: Graph = {}
        for key, value in batch.items():
            kind = per_what(key)
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
    """Vectors from the centres to their neighbours' images.

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
    # Three products of columns: a product of small matrices for each edge costs several times as much.
    first, second, third = (edge_cell_shift[:, k : k + 1] * cells[:, k] for k in range(3))
    images = first + second + third
    return positions.index_select(0, neighbour) - positions.index_select(0, centre) + images
