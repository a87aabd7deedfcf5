"""How far a model with approximating modules is from the exact one."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Any

from equipot.artifacts import _golden as golden
from equipot.graph import Graph
from equipot.model._graph_model import GraphModel
from equipot.nn.slots import KernelSlot


def approximations_of(model: GraphModel, inputs: Mapping[str, Graph] | None = None) -> dict[str, Any]:
    """The approximations in an eager model and their cost, measured on the given frames or on random ones.

    Returns:
        Empty if the model is exact. Otherwise ``modules``, the number of each kind, and ``deviations``: the largest
        difference of each output from the exact model's, in the output's unit.
    """
    exact = model.exact()
    if exact is model:
        return {}
    parts = [part for part in model.energy.modules() if isinstance(part, KernelSlot) and part.exact() is not None]
    counts = collections.Counter(f"{type(part).__name__}({part.extra_repr()})" for part in parts)
    return {
        "modules": [f"{count} {text}" for text, count in counts.items()],
        "deviations": _deviations(model, exact, inputs),
    }


def _deviations(model: GraphModel, exact: GraphModel, inputs: Mapping[str, Graph] | None) -> dict[str, float]:
    """Largest difference of each output of the two models, in the output's unit."""
    worst: dict[str, float] = {}
    for frame, other in zip(golden.record(model, inputs), golden.record(exact, inputs), strict=True):
        for key, value in frame.outputs.items():
            if value.is_floating_point() and value.numel():
                worst[key] = max(worst.get(key, 0.0), float((value - other.outputs[key]).abs().max()))
    return worst
