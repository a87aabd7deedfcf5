"""Metrics: mean, root mean square and largest errors of energies, forces and stress over an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from equipot.errors import ConfigError
from equipot.train._base import WEIGHTED_SUM, Metrics
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

KINDS = ("rmse", "mae", "maxabserr")
"""Root mean square, mean absolute and largest absolute error."""


class ErrorMetrics(Metrics):
    """Errors accumulated over an epoch, named ``<quantity>_<rmse|mae|maxabserr>``.

    ``weighted_sum`` is the sum of some of them with coefficients normalised to sum 1.
    """

    def __init__(self, quantities: Sequence[Quantity], coeffs: dict[str, float]) -> None:
        """Set what is measured.

        Args:
            quantities: What is compared.
            coeffs: Weights of metrics in ``weighted_sum``.

        Raises:
            ConfigError: On unknown names and weights that are negative or all 0.
        """
        super().__init__()
        self.quantities = tuple(quantities)
        where = f"{type(self).__name__}.coeffs"
        if problems := check_names(coeffs, self._error_names(), where):
            raise ConfigError(problems)
        self.coeffs = normalised(coeffs, where)
        self.sums = torch.nn.ModuleDict({quantity.name: ErrorSums() for quantity in self.quantities})

    def _error_names(self) -> list[str]:
        return [f"{quantity.name}_{kind}" for quantity in self.quantities for kind in KINDS]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of metrics with a weight above 0."""
        weighted = [one.label for one in self.quantities if any(f"{one.name}_{kind}" in self.coeffs for kind in KINDS)]
        return tuple(dict.fromkeys(weighted))

    @property
    def names(self) -> tuple[str, ...]:
        """Names under which the metrics are logged."""
        return (*self._error_names(), WEIGHTED_SUM)

    def update(self, outputs: Graph, batch: Graph) -> None:
        """Add a batch; labels that the batch does not have are left out.

        Args:
            outputs: Of the model.
            batch: With labels.
        """
        for quantity in self.quantities:
            if quantity.label in outputs and quantity.label in batch:
                self._sums(quantity).update(*errors(quantity, outputs, batch))

    def _sums(self, quantity: Quantity) -> ErrorSums:
        sums = self.sums[quantity.name]
        assert isinstance(sums, ErrorSums)  # noqa: S101 - for the type checker
        return sums

    def epoch_values(self) -> dict[str, torch.Tensor]:
        """All metrics over the epoch, for the labels that occurred, on all processes.

        ``weighted_sum`` is there only if every metric it needs is.
        """
        values: dict[str, torch.Tensor] = {}
        for quantity in self.quantities:
            sums = {key: value[0] for key, value in computed(self._sums(quantity)).items()}
            if not bool(sums["count"]):
                continue
            values[f"{quantity.name}_rmse"] = (sums["squares"] / sums["count"]).sqrt()
            values[f"{quantity.name}_mae"] = sums["absolutes"] / sums["count"]
            values[f"{quantity.name}_maxabserr"] = sums["largest"]
        if self.coeffs.keys() <= values.keys():
            values[WEIGHTED_SUM] = torch.stack([weight * values[name] for name, weight in self.coeffs.items()]).sum()
        return values

    def reset(self) -> None:
        """Forget the epoch's sums."""
        for quantity in self.quantities:
            self._sums(quantity).reset()


class EnergyForceMetrics(ErrorMetrics):
    """Errors of energies and forces."""

    def __init__(self, coeffs: dict[str, float] | None = None) -> None:
        """Set the weights.

        Args:
            coeffs: Weights in ``weighted_sum``; default 1 for ``total_energy_rmse`` and
                ``forces_rmse``.
        """
        weights = {"total_energy_rmse": 1.0, "forces_rmse": 1.0} if coeffs is None else coeffs
        super().__init__([TOTAL_ENERGY, PER_ATOM_ENERGY, FORCES], weights)


class EnergyForceStressMetrics(ErrorMetrics):
    """Errors of energies, forces and stress."""

    def __init__(self, coeffs: dict[str, float] | None = None) -> None:
        """Set the weights.

        Args:
            coeffs: Weights in ``weighted_sum``; default 1 for ``total_energy_rmse``,
                ``forces_rmse`` and ``stress_rmse``.
        """
        weights = {"total_energy_rmse": 1.0, "forces_rmse": 1.0, "stress_rmse": 1.0} if coeffs is None else coeffs
        super().__init__([TOTAL_ENERGY, PER_ATOM_ENERGY, FORCES, STRESS], weights)


class EnergyOnlyMetrics(ErrorMetrics):
    """Errors of energies; force labels are never read."""

    def __init__(self, coeffs: dict[str, float] | None = None) -> None:
        """Set the weights.

        Args:
            coeffs: Weights in ``weighted_sum``; default 1 for ``total_energy_rmse``.
        """
        super().__init__([TOTAL_ENERGY, PER_ATOM_ENERGY], {"total_energy_rmse": 1.0} if coeffs is None else coeffs)
