"""What depends on atom types, in recipes and tensors, for more types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Types:
    """Types before and after, and what new ones are made from."""

    before: list[str]
    after: list[str]
    """Those before, and the new ones."""
    like: dict[str, str]
    """New type to old type; the others start from the mean of all old ones."""

    @property
    def new(self) -> list[str]:
        """The new types."""
        return self.after[len(self.before) :]

    def values(self, old: Mapping[str, float]) -> dict[str, float]:
        """Numbers of all types: those of the old ones, of the one in ``like``, or their mean."""
        mean = sum(old.values()) / len(old)
        return {**old, **{name: old[self.like[name]] if name in self.like else mean for name in self.new}}

    def cutoffs(self, old: Sequence[Sequence[float]], r_max: float) -> tuple[tuple[float, ...], ...]:
        """Radii of all pairs in Å; those of a new type are the ones of that in ``like``, else ``r_max``."""
        rows = {name: index for index, name in enumerate(self.before)}
        sources = [rows.get(self.like.get(name, name)) for name in self.after]
        return tuple(tuple(r_max if i is None or j is None else old[i][j] for j in sources) for i in sources)

    def rows(self, table: torch.Tensor, axis: int) -> torch.Tensor:
        """A table with one row per type along an axis, for all types.

        Args:
            table: Of the old types.
            axis: The axis with these types.

        Raises:
            ValueError: If rows of integers would have to be averaged.
        """
        parts = [table]
        for name in self.new:
            if name in self.like:
                index = self.before.index(self.like[name])
                parts.append(table.narrow(axis, index, 1))
            elif table.is_floating_point():
                parts.append(table.mean(axis, keepdim=True))
            else:
                raise ValueError(f"its {table.dtype} have no mean for the new type {name!r}")
        return torch.cat(parts, axis)


def extended_tensor(old: torch.Tensor, shape: Sequence[int], types: Types) -> torch.Tensor:
    """A tensor of the trained model for more types.

    Args:
        old: The tensor.
        shape: Its shape in a model with all types.
        types: The types.

    Returns:
        A copy; along axes with one entry per type, or per ordered pair of types, entries of new types are added.

    Raises:
        ValueError: If the shapes differ otherwise.
    """
    n_old, n_new = len(types.before), len(types.after)
    if old.ndim != len(shape):
        raise ValueError(f"has the shape {tuple(old.shape)}, with more types {tuple(shape)}")
    made = old.clone()
    for axis, size in enumerate(shape):
        if made.shape[axis] == size:
            continue
        sizes = (made.shape[axis], size)
        if sizes == (n_old, n_new):
            made = types.rows(made, axis)
        elif sizes == (n_old**2, n_new**2):
            pairs = made.unflatten(axis, (n_old, n_old))
            made = types.rows(types.rows(pairs, axis), axis + 1).flatten(axis, axis + 1)
        else:
            text = f"has {sizes[0]} entries along axis {axis}, with {n_new} in place of {n_old} types {size}"
            raise ValueError(f"{text}, which is neither one per type nor one per pair of types")
    return made


def extended_config(
    config: Mapping[str, Any], types: Types, old_species: Sequence[str] | None, species: Sequence[str] | None
) -> dict[str, Any]:
    """The recipe of a builder in which mappings by type have the new types, and lists of species the new species.

    Args:
        config: In plain containers.
        types: The types.
        old_species: Chemical symbols of the old types.
        species: Chemical symbols of all types.
    """
    before = set(types.before)
    replaced = (list(old_species), list(species)) if old_species is not None and species is not None else None

    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, list):
            if replaced is not None and key == "chemical_species" and value == replaced[0]:
                return replaced[1]
            return [walk(one) for one in value]
        if not isinstance(value, dict):
            return value
        found = {name: walk(one, name) for name, one in value.items()}
        if found.keys() == before and all(isinstance(one, (int, float)) for one in found.values()):
            return types.values(found)
        return found

    return {name: walk(value, name) for name, value in config.items()}
