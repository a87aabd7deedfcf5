"""Compare the forces of an approximate model with those of the exact one."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch

from equipot.artifacts import frame_of, random_frames
from equipot.model import Derivatives, EnergyGradients
from equipot.nn.radial_function import RadialFunction
from equipot.nn.slots import replace_slots

if TYPE_CHECKING:
    from equipot.graph import Graph
    from equipot.model import GraphModel, ModelInfo
    from equipot.nn.edges import Edges

_WORST_PLACE = 0.5 - math.sqrt(3.0) / 6.0
"""Where between two knots the slope of a cubic Hermite interpolation has its largest error."""
_SHORTEST = 0.1
"""Smallest distance of the pairs, relative to their cutoff radius."""
_MOST_PAIRS = 256


class _Forces(Derivatives):
    """Forces without stress, so that no plugin is needed."""

    provides = ("forces",)

    def forward(self, data: Graph, gradients: EnergyGradients) -> Graph:
        forces = torch.zeros_like(data["positions"], dtype=torch.float64)
        for edges in gradients.edge_sets:
            forces = forces.index_add(0, edges.edge_index[0], edges.gradient)
            forces = forces.index_add(0, edges.edge_index[1], -edges.gradient)
        return {"forces": forces}


class _Float64(RadialFunction):
    """A radial function evaluated in float64 and rounded once."""

    def __init__(self, source: RadialFunction) -> None:
        super().__init__()
        self.adopt(source)
        self.dim, self.num_pairs = source.dim, source.num_pairs
        self._source = (source,)  # in a tuple, so that its parameters are not registered twice

    def evaluate(self, x: torch.Tensor, pair_type: int = 0) -> torch.Tensor:
        return self._source[0].evaluate(x, pair_type)

    def forward(self, edges: Edges) -> torch.Tensor:
        if edges.pair_types is None or self.num_pairs == 1:
            values = self.evaluate(edges.x)
        else:
            values = edges.x.new_zeros(edges.x.shape[0], self.dim)
            for pair_type in range(self.num_pairs):
                (of_pair,) = torch.nonzero(edges.pair_types == pair_type, as_tuple=True)
                values = values.index_add(0, of_pair, self.evaluate(edges.x[of_pair], pair_type))
        return values.to(self._source[0].value_dtype())


def reference(exact: GraphModel) -> GraphModel:
    """A probe whose radial functions are evaluated in float64; it differs from the exact probe by rounding only.

    Args:
        exact: A probe.
    """
    energy = replace_slots(exact.energy, lambda slot: _Float64(slot) if isinstance(slot, RadialFunction) else None)
    return exact.replace(energy=energy)


def probe(model: GraphModel) -> GraphModel:
    """An independent copy of a model in eval mode that predicts forces, without energy terms and heads.

    Args:
        model: Any model; it is not changed.
    """
    return copy.deepcopy(model).replace(energy_terms={}, derivatives=_Forces(), outputs={}).eval()


def frames_of(info: ModelInfo, num_knots: int) -> list[Graph]:
    """The frames on which errors are measured: golden frames, and pairs of atoms between the knots.

    Args:
        info: The model's.
        num_knots: Number of knots.
    """
    return [*random_frames(info).values(), pairs_between_knots(info, num_knots)]


def largest(model: GraphModel, other: GraphModel, frames: list[Graph]) -> float:
    """Largest difference between the force components of two models.

    Args:
        model: A probe.
        other: Another probe.
        frames: The frames to compare them on.

    Returns:
        Difference in the model's unit of force.
    """
    return max(_difference(_forces(model, frame), _forces(other, frame)) for frame in frames)


def pairs_between_knots(info: ModelInfo, num_knots: int) -> Graph:
    """Isolated pairs of atoms at the distances where splines are least accurate.

    Args:
        info: The model's.
        num_knots: Number of knots of its splines.

    Returns:
        One frame, in which all pairs of types occur in turn.
    """
    knots = torch.arange(num_knots - 1, dtype=torch.float64)
    x = (knots + _WORST_PLACE) / (num_knots - 1)
    x = x[x >= _SHORTEST]
    x = x[:: -(-x.shape[0] // _MOST_PAIRS)]
    n_types, n = len(info.type_names), x.shape[0]
    types = torch.arange(n).unsqueeze(1) // torch.tensor([1, n_types]) % n_types
    cutoffs = torch.full((n_types, n_types), info.r_max, dtype=torch.float64)
    if info.cutoffs is not None:
        cutoffs = torch.tensor(info.cutoffs, dtype=torch.float64)
    directions = torch.randn(n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    vectors = torch.nn.functional.normalize(directions) * (x * cutoffs[types[:, 0], types[:, 1]]).unsqueeze(1)
    spacing = 4.0 * max([info.r_max, *(radius for _, radius in info.edge_sets)])
    side = math.ceil(n ** (1 / 3))
    places = torch.cartesian_prod(*[torch.arange(side, dtype=torch.float64)] * 3)[:n] * spacing
    positions = torch.stack([places, places + vectors], dim=1).reshape(-1, 3)
    return frame_of(positions, torch.zeros(3, 3, dtype=torch.float64), types.reshape(-1), info, periodic=0)


def _forces(model: GraphModel, frame: Graph) -> torch.Tensor:
    forces: torch.Tensor = model({key: value.to(model.cutoffs.device) for key, value in frame.items()})["forces"]
    return forces.cpu()


def _difference(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).abs().max())
