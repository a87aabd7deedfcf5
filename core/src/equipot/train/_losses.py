"""Losses: weighted sums of mean squared errors of energies, forces and stress."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from equipot.errors import ConfigError, did_you_mean, problem
from equipot.train._base import WEIGHTED_SUM, Loss
from equipot.train._measure import (
    FORCES,
    PER_ATOM_ENERGY,
    STRESS,
    TOTAL_ENERGY,
    ErrorSums,
    Quantity,
    check_names,
    computed,
    errors,
    normalised,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equipot.graph import Graph


class SquaredErrorLoss(Loss):
    """Weighted sum of mean squared errors.

    Each error is averaged over the scalar entries that have a label; a batch without any label of
    a kind adds 0 for it. The coefficients are normalised to sum 1.
    """

    def __init__(
        self,
        quantities: Sequence[Quantity],
        coeffs: dict[str, float],
        per_type_forces_coeffs: dict[str, float] | None = None,
    ) -> None:
        """Set the terms.

        Args:
            quantities: What is compared.
            coeffs: Label to weight.
            per_type_forces_coeffs: Type name to weight of its atoms' forces.

        Raises:
            ConfigError: On unknown names and weights that are negative or all 0.
        """
        name = type(self).__name__
        if problems := check_names(coeffs, [quantity.label for quantity in quantities], f"{name}.coeffs"):
            raise ConfigError(problems)
        weights = normalised(coeffs, f"{name}.coeffs")
        used = tuple(quantity for quantity in quantities if quantity.label in weights)
        super().__init__({_term(quantity): weights[quantity.label] for quantity in used})
        self.quantities = used
        self.per_type_forces_coeffs = per_type_forces_coeffs
        if per_type_forces_coeffs is not None:
            where, what = f"{name}.per_type_forces_coeffs", "must be greater than 0 for every type"
            if not per_type_forces_coeffs or min(per_type_forces_coeffs.values()) <= 0:
                raise ConfigError(problem(where, what, got=per_type_forces_coeffs))
        self.type_weights: torch.Tensor | None = None
        self.sums = self._new_sums(1)

    def _new_sums(self, num_types: int) -> torch.nn.ModuleDict:
        grouped = self.per_type_forces_coeffs is not None
        return torch.nn.ModuleDict(
            {one.name: ErrorSums(num_types if grouped and one is FORCES else 1) for one in self.quantities}
        )

    def bind(self, type_names: Sequence[str]) -> None:
        """Learn the model's types, which per-type weights need.

        Args:
            type_names: Names of the types.

        Raises:
            ConfigError: If the weights are not for exactly these types.
        """
        weights = self.per_type_forces_coeffs
        if weights is None:
            return
        where, known = f"{type(self).__name__}.per_type_forces_coeffs", list(type_names)
        problems = [
            problem(f"{where}.{name}", "is not a type name", hint=did_you_mean(name, type_names) or f"types: {known}")
            for name in weights
            if name not in type_names
        ]
        missing = [name for name in type_names if name not in weights]
        if missing:
            problems.append(problem(where, f"no weight for the types {missing}", got=weights))
        if problems:
            raise ConfigError(problems)
        self.type_weights = torch.tensor([weights[name] for name in type_names], dtype=torch.float64)
        self.sums = self._new_sums(len(type_names))

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels with a weight above 0."""
        return tuple(quantity.label for quantity in self.quantities)

    @property
    def names(self) -> tuple[str, ...]:
        """Names under which terms are logged."""
        return (*(_term(quantity) for quantity in self.quantities), WEIGHTED_SUM)

    def forward(self, outputs: Graph, batch: Graph) -> dict[str, torch.Tensor]:
        """The terms and their weighted sum for a batch, and their addition to the epoch's sums.

        Args:
            outputs: Of the model.
            batch: With labels.

        Returns:
            Name to scalar; ``weighted_sum`` is what to differentiate.
        """
        terms: dict[str, torch.Tensor] = {}
        total = outputs["total_energy"].new_zeros(())
        for quantity in self.quantities:
            difference, mask = errors(quantity, outputs, batch)
            group = batch["atom_types"] if self._is_grouped(quantity) else None
            self._sums(quantity).update(difference, mask, group)
            term = self._mean_square(difference, mask, group)
            terms[_term(quantity)] = term
            total = total + self.coefficients[_term(quantity)] * term
        terms[WEIGHTED_SUM] = total
        return terms

    def _is_grouped(self, quantity: Quantity) -> bool:
        return quantity is FORCES and self.type_weights is not None

    def _sums(self, quantity: Quantity) -> ErrorSums:
        sums = self.sums[quantity.name]
        assert isinstance(sums, ErrorSums)  # noqa: S101 - for the type checker
        return sums

    def _mean_square(self, difference: torch.Tensor, mask: torch.Tensor, group: torch.Tensor | None) -> torch.Tensor:
        rows = difference.square().reshape(mask.shape[0], -1)
        width = max(rows.shape[1], 1)
        if group is None or self.type_weights is None:
            return rows.sum() / (mask.sum() * width).clamp(min=1)
        weights = self.type_weights.to(rows.device)
        squares = torch.zeros_like(weights, dtype=rows.dtype).index_add(0, group, rows.sum(1))
        counts = torch.zeros_like(weights).index_add(0, group, mask.to(weights.dtype) * width)
        return _weighted_mean(squares, counts, weights)

    def epoch_values(self) -> dict[str, torch.Tensor]:
        """The terms over the epoch, for the labels that occurred, on all processes."""
        values: dict[str, torch.Tensor] = {}
        total: torch.Tensor | float = 0.0
        for quantity in self.quantities:
            sums = computed(self._sums(quantity))
            if not bool(sums["count"].any()):
                continue
            weights = torch.ones_like(sums["count"])
            if self._is_grouped(quantity) and self.type_weights is not None:
                weights = self.type_weights.to(weights.device)
            value = _weighted_mean(sums["squares"], sums["count"], weights)
            values[_term(quantity)] = value
            total = total + self.coefficients[_term(quantity)] * value
        return {**values, WEIGHTED_SUM: torch.as_tensor(total)} if values else {}

    def reset(self) -> None:
        """Forget the epoch's sums."""
        for quantity in self.quantities:
            self._sums(quantity).reset()


def _term(quantity: Quantity) -> str:
    return f"{quantity.name}_mse"


def _weighted_mean(squares: torch.Tensor, counts: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean of the groups' means, over groups with entries."""
    present = (counts > 0).to(weights.dtype) * weights
    return (present * squares / counts.clamp(min=1)).sum() / present.sum().clamp(min=torch.finfo(weights.dtype).tiny)


def _energy(*, per_atom: bool) -> Quantity:
    return PER_ATOM_ENERGY if per_atom else TOTAL_ENERGY


class EnergyForceLoss(SquaredErrorLoss):
    """Energies and forces."""

    def __init__(
        self,
        coeffs: dict[str, float] | None = None,
        *,
        per_atom_energy: bool = True,
        per_type_forces_coeffs: dict[str, float] | None = None,
    ) -> None:
        """Set the weights.

        Args:
            coeffs: Weights of ``total_energy`` and ``forces``, normalised to sum 1; default 1 each.
            per_atom_energy: Compare energies divided by the number of atoms.
            per_type_forces_coeffs: Weights of the mean squared force errors of each type; default:
                all atoms alike.
        """
        weights = {"total_energy": 1.0, "forces": 1.0} if coeffs is None else coeffs
        super().__init__([_energy(per_atom=per_atom_energy), FORCES], weights, per_type_forces_coeffs)


class EnergyForceStressLoss(SquaredErrorLoss):
    """Energies, forces and stress; frames without a stress add nothing to its error."""

    def __init__(
        self,
        coeffs: dict[str, float] | None = None,
        *,
        per_atom_energy: bool = True,
        per_type_forces_coeffs: dict[str, float] | None = None,
    ) -> None:
        """Set the weights.

        Args:
            coeffs: Weights of ``total_energy``, ``forces`` and ``stress``, normalised to sum 1;
                default 1 each.
            per_atom_energy: Compare energies divided by the number of atoms.
            per_type_forces_coeffs: Weights of the mean squared force errors of each type; default:
                all atoms alike.
        """
        weights = {"total_energy": 1.0, "forces": 1.0, "stress": 1.0} if coeffs is None else coeffs
        super().__init__([_energy(per_atom=per_atom_energy), FORCES, STRESS], weights, per_type_forces_coeffs)


class EnergyOnlyLoss(SquaredErrorLoss):
    """Energies alone; force labels are never read."""

    def __init__(self, *, per_atom_energy: bool = True) -> None:
        """Choose the energy.

        Args:
            per_atom_energy: Compare energies divided by the number of atoms.
        """
        super().__init__([_energy(per_atom=per_atom_energy)], {"total_energy": 1.0})
