"""Scales and shifts of atomic energies, E_i = scale[t_i] * e_i + shift[t_i], in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from equipot.errors import ConfigError, problem, unknown

PerType = float | dict[str, float]
"""One value for all types, or one for each type name."""


def per_type_values(value: PerType, type_names: Sequence[str], where: str) -> list[float]:
    """The numbers of an option that is given for all types or for each.

    Args:
        value: A number, or a mapping whose keys are exactly the type names.
        type_names: Names of the types.
        where: Place named in errors.

    Returns:
        One number, or one for each type.

    Raises:
        ConfigError: On keys that are not type names, and on types without a key.
    """
    if not isinstance(value, dict):
        return [float(value)]
    problems = [unknown(f"{where}.{name}", name, type_names, "type name") for name in value if name not in type_names]
    if missing := [name for name in type_names if name not in value]:
        hint = f"give one for each of {list(type_names)}"
        problems.append(problem(where, f"no value for the types {missing}", got=value, hint=hint))
    if problems:
        raise ConfigError(problems)
    return [float(value[name]) for name in type_names]


def neighbors_per_type(value: PerType | None, type_names: Sequence[str]) -> torch.Tensor:
    """The option ``avg_num_neighbors`` of a builder that normalises sums over neighbours.

    Args:
        value: The option: a number, or one for each type. It has no default, so None means that it is missing.
        type_names: Names of the types.

    Returns:
        Average number of neighbours of an atom of each type, float64, shape [n_types].

    Raises:
        ConfigError: If it is missing or not positive.
    """
    where = "avg_num_neighbors"
    if value is None:
        hint = "write ${training_data_stats:num_neighbors_mean}, or a number, or one for each type"
        raise ConfigError(problem(where, "required option is missing", hint=hint))
    values = per_type_values(value, type_names, where)
    if not all(math.isfinite(number) and number > 0 for number in values):
        raise ConfigError(problem(where, "must be greater than 0", got=value))
    return torch.tensor(values, dtype=torch.float64).expand(len(type_names))


class ScaleShift(torch.nn.Module):
    """The slot ``scale_shift`` of a GraphModel.

    A single value serves all types without a lookup; a trainable one is expanded to one per type.

    Args:
        type_names: Names of the types.
        scales: Factors without unit; None for 1.
        shifts: Energies of isolated atoms in the model's energy unit; None for 0.
        scales_trainable: Make the scales parameters.
        shifts_trainable: Make the shifts parameters.
    """

    scales: torch.Tensor
    shifts: torch.Tensor

    def __init__(
        self,
        type_names: Sequence[str],
        *,
        scales: PerType | None = None,
        shifts: PerType | None = None,
        scales_trainable: bool = False,
        shifts_trainable: bool = False,
    ) -> None:
        super().__init__()
        self.type_names = tuple(type_names)
        self._set("scales", 1.0 if scales is None else scales, trainable=scales_trainable)
        self._set("shifts", 0.0 if shifts is None else shifts, trainable=shifts_trainable)

    def _set(self, name: str, value: PerType, *, trainable: bool) -> None:
        numbers = per_type_values(value, self.type_names, f"per_type_energy_{name}")
        if trainable and len(numbers) == 1:
            numbers = numbers * len(self.type_names)
        tensor = torch.tensor(numbers, dtype=torch.float64)
        if trainable:
            self.register_parameter(name, torch.nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)

    def forward(self, atomic_energy: torch.Tensor, atom_types: torch.Tensor) -> torch.Tensor:
        """Scale and shift.

        Args:
            atomic_energy: Unscaled energies, any float dtype, shape [n_atoms].
            atom_types: Types, shape [n_atoms].

        Returns:
            Energies in float64, shape [n_atoms].
        """
        return torch.addcmul(
            self._of_atoms(self.shifts, atom_types),
            self._of_atoms(self.scales, atom_types),
            atomic_energy.to(torch.float64),
        )

    @staticmethod
    def _of_atoms(values: torch.Tensor, atom_types: torch.Tensor) -> torch.Tensor:
        return values if values.shape[0] == 1 else values.index_select(0, atom_types)

    def values(self, name: str) -> dict[str, float]:
        """The current ``scales`` or ``shifts`` by type name."""
        tensor = getattr(self, name).detach()
        return {
            type_name: float(tensor[min(index, tensor.shape[0] - 1)]) for index, type_name in enumerate(self.type_names)
        }
