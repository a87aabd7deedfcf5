"""A tiny model that provides the fields that an energy term requires from the model it joins."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import torch

from equipot.fields import FIELDS, MODEL_INPUTS, OPTIONAL_INPUTS
from equipot.model import EnergyModule
from equipot_testing._checklist import NotApplicable
from equipot_testing.toy import ToyFeatures, ToyFeaturesEnergy, ToyModel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from equipot.fields import FieldEntry
    from equipot.graph import Graph
    from equipot.model import BuildContext

EVERY_MODEL = frozenset(
    {*MODEL_INPUTS, *OPTIONAL_INPUTS, "owned", "edge_vectors", "edge_lengths", "normalized_edge_lengths"}
    | {"atomic_energy", "total_energy", "forces", "stress", "virial"}
)
"""Fields that core gives to terms, or that are outputs, which it gives to none."""

SCALAR, VECTOR = ("0e", None), ("1o", "1x1o")
"""Irreps of fields that have stand-ins."""


def can_stand_in(key: str) -> bool:
    """Whether there is a stand-in for a field: numbers or Cartesian vectors of atoms or frames."""
    field = FIELDS.get(key)
    floating = ("float64", "model_dtype")
    if field is None or field.per not in ("atom", "frame") or field.dtype not in floating:
        return False
    sizes = field.shape[1:]
    is_vector = field.irreps in VECTOR and sizes == (3,)
    return is_vector or (field.irreps in SCALAR and all(isinstance(size, int) for size in sizes))


def stand_in(field: FieldEntry, sums: torch.Tensor, data: Graph) -> torch.Tensor:
    """Values of a field that follow the surroundings of atoms smoothly, and are 0 without neighbours.

    Args:
        field: One that ``can_stand_in`` accepts.
        sums: A sum over neighbours and a vector sum, shape [n_atoms, 4].
        data: With ``batch`` and ``num_atoms``.
    """
    if field.irreps in VECTOR:
        values = sums[:, 1:]
    else:
        sizes = [int(size) for size in field.shape[1:]]
        values = torch.tanh(sums[:, 0]).reshape(-1, *[1] * len(sizes)).expand(-1, *sizes)
    if field.per == "atom":
        return values
    frames = values.new_zeros(data["num_atoms"].shape[0], *values.shape[1:])
    return frames.index_add(0, data["batch"], values)


class _Energy(ToyFeaturesEnergy):
    """The tiny model's energies, with features and stand-ins; derived classes say which."""

    def forward(self, data: Graph, *, features: bool = False) -> Graph:
        """Unscaled atomic energies, [n_atoms], and the fields in ``provides``."""
        sums = self.sums(data)
        found = super().forward(data, features=features)
        return found | {key: stand_in(FIELDS[key], sums, data) for key in self.provides}


@functools.cache
def model_with(keys: tuple[str, ...]) -> type[ToyFeatures]:
    """The tiny model that has features and provides these fields."""
    energy: Any = type(
        "StandIns", (_Energy,), {"provides": keys, "requires": (*_Energy.requires, "batch", "num_atoms")}
    )

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class ToyStandIns(ToyFeatures):
        """A tiny model with stand-ins for fields that energy terms require."""

        def build_energy(self, context: BuildContext) -> EnergyModule:
            """Make the energy module."""
            made: EnergyModule = energy(context)
            return made

    return ToyStandIns


def tiny_model_for(requires: Iterable[str]) -> type[ToyModel]:
    """The tiny model that an energy term with these requirements can join.

    Args:
        requires: The fields that it reads; those that no model may provide are left to the model to refuse.

    Raises:
        NotApplicable: If there is no stand-in for one of them.
    """
    wanted = {key for key in requires if key in FIELDS} - EVERY_MODEL
    if not wanted:
        return ToyModel
    provided = tuple(sorted(wanted - {"node_features"}))
    if without := [key for key in provided if not can_stand_in(key)]:
        raise NotApplicable(
            f"the kit has no stand-in for {without[0]}; override recipe() with a model that provides it"
        )
    return model_with(provided) if provided else ToyFeatures
