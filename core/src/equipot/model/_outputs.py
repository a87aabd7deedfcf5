"""The slot ``outputs`` of a GraphModel: what its heads may provide, and what the model makes of what they return."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import torch

from equipot.errors import ConfigError, PluginError, problem
from equipot.fields import FIELDS
from equipot.graph import Graph
from equipot.model._components import EnergyModule, OutputHead
from equipot.nn.irreps import FeatureLayout

if TYPE_CHECKING:
    from equipot.model._graph_model import GraphModel

NODE_FEATURES, LAST_LAYER_FEATURES = "node_features", "last_layer_features"

OF_ENERGIES = ("total_energy", "atomic_energy", "forces", "stress", "virial", "stress_mask", "edge_forces")
"""What only energies and their derivatives provide."""


def no_features(where: str, energy: EnergyModule, key: str = NODE_FEATURES) -> str:
    """The problem of a component that requires features of a builder without."""
    what = f"requires {key}, which the builder's {type(energy).__name__} does not have"
    return problem(where, what, hint="take a builder that has them: 'equipot describe NAME' says which do")


def features_of(model: GraphModel, where: str = "model") -> FeatureLayout:
    """Layout of the field ``node_features`` of a model, for modifiers that add a head.

    Args:
        model: Any model.
        where: Who needs them, as the error says.

    Raises:
        ConfigError: If its builder has none.
    """
    if model.energy.features is None:
        raise ConfigError(no_features(where, model.energy))
    return FeatureLayout.parse(model.energy.features)


def head_problems(heads: Mapping[str, OutputHead], available: Collection[str]) -> Iterator[str]:
    """What is wrong with the heads of a model, apart from missing features.

    Args:
        heads: By name.
        available: Fields that the model reads or computes before its heads.
    """
    owner: dict[str, str] = {}
    for name, head in heads.items():
        where = f"model.outputs.{name}"
        if not head.provides:
            yield problem(where, "provides no field", hint="name declared fields in 'provides'")
        for key in head.provides:
            if key not in FIELDS:
                hint = "declare it with the hook equipot_fields"
                yield problem(where, f"provides {key!r}, which is not a declared field", hint=hint)
            elif FIELDS[key].per == "edge":
                yield problem(where, f"provides {key!r}, which is per edge", hint="heads predict for atoms or frames")
            elif key in OF_ENERGIES:
                yield problem(where, f"provides {key!r}, which only energies and their derivatives may")
            elif key in available or key in owner:
                by = f"the head {owner[key]!r}" if key in owner else "the model"
                yield problem(where, f"provides {key!r}, which {by} has already", hint="remove one of them")
            owner.setdefault(key, name)
        if wrong := [key for key in head.sums if key not in head.provides or FIELDS[key].per != "frame"]:
            yield problem(where, f"'sums' must name fields per frame that it provides, got {wrong}")


def outputs_of_heads(heads: Mapping[str, OutputHead], available: Graph) -> Graph:
    """What the heads provide, in the data types and shapes of the fields.

    Ghost atoms, which are not ``owned``, have no part in sums over a frame, and 0 as values of their own.

    Args:
        heads: By name.
        available: All fields that they may require.

    Raises:
        PluginError: If a head returns other fields than it declares, or another shape.
    """
    found: Graph = {}
    for name, head in heads.items():
        returned = head({key: available[key] for key in head.requires})
        if set(returned) != set(head.provides):
            what = f"must return the fields {sorted(head.provides)}"
            raise PluginError(problem(_where(name, head), what, got=sorted(returned)))
        for key in head.provides:
            found[key] = _output(_where(name, head), key, returned[key], available, summed=key in head.sums)
    return found


def _where(name: str, head: OutputHead) -> str:
    return f"model.outputs.{name} ({type(head).__module__}.{type(head).__qualname__})"


def _output(where: str, key: str, value: torch.Tensor, available: Graph, *, summed: bool) -> torch.Tensor:
    field = FIELDS[key]
    n_frames, n_atoms = available["num_atoms"].shape[0], available["atom_types"].shape[0]
    per_atom = summed or field.per == "atom"
    rows = n_atoms if per_atom else n_frames
    # Checked here, since a loss or metric would stretch [n, 1] against [n] without a word.
    if value.dim() != len(field.shape) or value.shape[0] != rows or _differs(value.shape[1:], field.shape[1:]):
        shown = ", ".join(map(str, ("n_atoms" if per_atom else "n_frames", *field.shape[1:])))
        raise PluginError(problem(where, f"{key!r} must have the shape [{shown}]", got=tuple(value.shape)))
    if field.dtype == "float64":
        value = value.to(torch.float64)
    if per_atom and "owned" in available:
        value = value * available["owned"].view(-1, *[1] * (value.dim() - 1))
    if not summed:
        return value
    zeros = torch.zeros((n_frames, *value.shape[1:]), dtype=value.dtype, device=value.device)
    return zeros.index_add(0, available["batch"], value)


def _differs(found: tuple[int, ...], wanted: tuple[str | int, ...]) -> bool:
    return any(isinstance(size, int) and size != got for got, size in zip(found, wanted, strict=True))
