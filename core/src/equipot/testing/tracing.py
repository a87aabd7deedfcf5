"""Export a model the way compiled artifacts are made: make_fx of energy and derivatives, then export.

Slow compilers are left out; what traces wrongly shows here within seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.fx.experimental.proxy_tensor import make_fx

if TYPE_CHECKING:
    from collections.abc import Callable

    from equipot.graph import Graph
    from equipot.model.graph_model import GraphModel


def exported(model: GraphModel, batch: Graph) -> Callable[[Graph], Graph]:
    """The model as an exported program with dynamic sizes.

    Args:
        model: In eval mode; not changed.
        batch: Example with at least 3 atoms and edges and 2 frames, all numbers different.

    Returns:
        Batch to outputs, for any sizes from 1 atom, 0 edges and 1 frame.
    """
    keys = list(model.info.inputs)
    outputs = sorted(model(batch))
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def flat(*values: torch.Tensor) -> list[torch.Tensor]:
        output = model(dict(zip(keys, values, strict=True)))
        return [output[key] for key in outputs]

    example = tuple(batch[key] for key in keys)
    try:
        for parameter in trainable:
            parameter.requires_grad_(False)
        traced = make_fx(flat, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*example)
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
    program = torch.export.export(traced, example, dynamic_shapes=_dynamic_shapes(keys), strict=False).module()

    def run(graph: Graph) -> Graph:
        return dict(zip(outputs, program(*(graph[key] for key in keys)), strict=True))

    return run


def _dynamic_shapes(keys: list[str]) -> tuple[dict[int, torch.export.Dim], ...]:
    """Which axis of each input is which size."""
    dims = {"frame": torch.export.Dim("n_frames", min=1), "atom": torch.export.Dim("n_atoms", min=1)}
    edges: dict[str, torch.export.Dim] = {}
    per_frame = ("cell", "pbc", "num_atoms", "total_charge", "spin_multiplicity")
    shapes = []
    for key in keys:
        if key.startswith("edge_"):
            name = key.partition(":")[2]
            dim = edges.setdefault(name, torch.export.Dim(f"n_edges_{len(edges)}", min=0))
            shapes.append({1 if key.startswith("edge_index") else 0: dim})
        else:
            shapes.append({0: dims["frame" if key in per_frame else "atom"]})
    return tuple(shapes)
