"""What a convolution kernel must compute: blocks, paths and Clebsch-Gordan coefficients of one layer.

The spec of a kernel describes layouts and paths by text and integers, so that it can be stored in a manifest.
The plan is made from the spec and has the numbers that the generators of source text need.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from equipot.errors import problem
from equipot.nn.clebsch_gordan import clebsch_gordan
from equipot.nn.irreps import FeatureLayout, Irrep, product_irreps
from equipot.nn.tensor_product import Convolution
from equipot_kernels._build.errors import KernelError
from equipot_kernels._build.vectors import C_TYPES

_KEYS = {"family", "dtype", "layout_in", "layout_edge", "paths"}
_MAX_PATHS = 10_000
_NEGLIGIBLE = 1e-12
"""Smaller Clebsch-Gordan coefficients are zero up to rounding."""


@dataclass(frozen=True)
class PathPlan:
    """One coupling of a block of features with a block of edge attributes."""

    weight: int
    """Index of the first of its weights, of which it has one per channel."""
    out: int
    """Where the first component of its result is in the flat result."""
    stride: int
    """Distance from one component of the result to the next."""
    terms: tuple[tuple[int, int, int, float], ...]
    """(i, j, k, c): component of the features, of the edge attributes, and of the result; coefficient."""

    def by(self, first: int, second: int, other: int) -> dict[tuple[int, int], list[tuple[int, float]]]:
        """Terms grouped by two of the indices i, j, k (numbered 0, 1, 2): the third index and the coefficient."""
        groups: dict[tuple[int, int], list[tuple[int, float]]] = {}
        for term in self.terms:
            i, j, k, c = term
            index = (i, j, k)
            groups.setdefault((index[first], index[second]), []).append((index[other], c))
        return groups

    def values(self, index: int) -> list[int]:
        """The values of i, j or k (numbered 0, 1, 2), in ascending order."""
        return sorted({term[:3][index] for term in self.terms})


@dataclass(frozen=True)
class BlockPlan:
    """A block of features and all paths that start from it."""

    mul: int
    start: int
    dim: int
    paths: tuple[PathPlan, ...]


@dataclass(frozen=True)
class Plan:
    """The plan of a layer."""

    dtype: torch.dtype
    dim_in: int
    dim_edge: int
    dim_out: int
    num_weights: int
    blocks: tuple[BlockPlan, ...]

    @property
    def c_type(self) -> str:
        """The data type's name in C."""
        return C_TYPES[str(self.dtype).removeprefix("torch.")]


def spec_of_convolution(convolution: Convolution, dtype: torch.dtype) -> dict[str, Any]:
    """The spec of the kernel that computes the same as a reference convolution.

    Args:
        convolution: The reference.
        dtype: float32 or float64.
    """
    return {
        "family": "convolution",
        "dtype": str(dtype).removeprefix("torch."),
        "layout_in": str(convolution.layout_in),
        "layout_edge": str(convolution.layout_edge),
        "paths": [[path.source, path.edge, path.irrep.l, path.irrep.p] for path in convolution.paths],
    }


def check_spec(spec: Mapping[str, Any]) -> None:
    """Check a spec, which may come from an untrusted file.

    Raises:
        KernelError: If it is not valid.
    """
    try:
        _check(spec)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise KernelError(problem("kernels", f"is not a spec of a convolution ({error})", got=dict(spec))) from None


def _check(spec: Mapping[str, Any]) -> None:
    if set(spec) != _KEYS or spec["dtype"] not in C_TYPES:
        raise ValueError(f"it needs {sorted(_KEYS)} and a dtype of {sorted(C_TYPES)}")
    layout_in, layout_edge = FeatureLayout.parse(spec["layout_in"]), FeatureLayout.parse(spec["layout_edge"])
    if any(block.mul != 1 for block in layout_edge.blocks):
        raise ValueError("edge attributes must have multiplicity 1")
    if not 0 < len(spec["paths"]) <= _MAX_PATHS:
        raise ValueError(f"it must have 1 to {_MAX_PATHS} paths")
    for source, edge, l, p in spec["paths"]:
        if any(type(number) is not int for number in (source, edge, l, p)):
            raise ValueError("a path must be four integers")
        if not (0 <= source < len(layout_in.blocks) and 0 <= edge < len(layout_edge.blocks)):
            raise ValueError("a path refers to a block that does not exist")
        if Irrep(l, p) not in product_irreps(layout_in.blocks[source].irrep, layout_edge.blocks[edge].irrep):
            raise ValueError("a path has an irrep that its blocks cannot couple to")


def plan_of(spec: Mapping[str, Any]) -> Plan:
    """The plan of a checked spec."""
    return _plan(json.dumps(spec, sort_keys=True))


@functools.lru_cache(maxsize=256)
def _plan(text: str) -> Plan:
    spec = json.loads(text)
    layout_in, layout_edge = FeatureLayout.parse(spec["layout_in"]), FeatureLayout.parse(spec["layout_edge"])
    muls = [layout_in.blocks[source].mul for source, *_ in spec["paths"]]
    layout_out = FeatureLayout((mul, Irrep(l, p)) for mul, (*_, l, p) in zip(muls, spec["paths"], strict=True))
    used: dict[Irrep, int] = {}
    weight, by_source = 0, dict[int, list[PathPlan]]()
    for mul, (source, edge, l, p) in zip(muls, spec["paths"], strict=True):
        target = layout_out.block(Irrep(l, p))
        attribute = layout_edge.blocks[edge]
        terms = _terms(layout_in.blocks[source].irrep.l, attribute.irrep.l, l, attribute.start)
        channel = used.get(target.irrep, 0)
        by_source.setdefault(source, []).append(PathPlan(weight, target.start + channel, target.mul, terms))
        used[target.irrep] = channel + mul
        weight += mul
    blocks = [
        BlockPlan(
            layout_in.blocks[source].mul,
            layout_in.blocks[source].start,
            layout_in.blocks[source].irrep.dim,
            tuple(paths),
        )
        for source, paths in by_source.items()
    ]
    dtype: torch.dtype = getattr(torch, spec["dtype"])
    return Plan(dtype, layout_in.dim, layout_edge.dim, layout_out.dim, weight, tuple(blocks))


def _terms(l_in: int, l_edge: int, l_out: int, start: int) -> tuple[tuple[int, int, int, float], ...]:
    """Nonzero entries of the Clebsch-Gordan tensor times √(2l+1)."""
    tensor = clebsch_gordan(l_in, l_edge, l_out) * math.sqrt(2 * l_out + 1)
    indices: Sequence[Sequence[int]] = (tensor.abs() > _NEGLIGIBLE).nonzero().tolist()
    return tuple((i, start + j, k, float(tensor[i, j, k])) for i, j, k in indices)
