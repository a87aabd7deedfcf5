"""The usual losses and metrics of energies, forces and stress, as sets of metrics that can be extended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torchmetrics import Metric

from equipot.data import PerAtomModifier
from equipot.errors import ConfigError, did_you_mean, problem
from equipot_toolbox.error_metrics import (
    MaximumAbsoluteError,
    MeanAbsoluteError,
    MeanSquaredError,
    RootMeanSquaredError,
)
from equipot_toolbox.metrics_manager import MetricsManager

_ERRORS: dict[str, Callable[[], Metric]] = {
    "rmse": RootMeanSquaredError,
    "mae": MeanAbsoluteError,
    "maxabserr": MaximumAbsoluteError,
}
_QUANTITIES = ("total_energy", "per_atom_energy", "forces", "stress")


def _field(name: str) -> Any:
    return PerAtomModifier("total_energy") if name == "per_atom_energy" else name


def _check(given: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    problems = [
        problem(f"{where}.{name}", "unknown name", hint=did_you_mean(name, known) or f"names: {', '.join(known)}")
        for name in given
        if name not in known
    ]
    if problems:
        raise ConfigError(problems)


def _loss_entries(
    where: str,
    coeffs: Mapping[str, float],
    labels: Sequence[str],
    *,
    per_atom_energy: bool,
    per_type_forces_coeffs: dict[str, float] | None = None,
    ignore_nan: Mapping[str, bool] | None = None,
) -> list[dict[str, Any]]:
    """Squared errors of the labels; labels without a coefficient are left out."""
    _check(coeffs, labels, f"{where}.coeffs")
    _check(ignore_nan or {}, labels, f"{where}.ignore_nan")
    entries = []
    for label in labels:
        if label not in coeffs:
            continue
        name = "per_atom_energy" if label == "total_energy" and per_atom_energy else label
        entry = {"name": f"{name}_mse", "field": _field(name), "metric": MeanSquaredError(), "coeff": coeffs[label]}
        if label == "forces" and per_type_forces_coeffs is not None:
            entry |= {"per_type": True, "per_type_coeffs": per_type_forces_coeffs}
        entries.append({**entry, "ignore_nan": bool((ignore_nan or {}).get(label, False))})
    return entries


def _error_entries(
    where: str, coeffs: Mapping[str, float | None], quantities: Sequence[str], ignore_nan: Mapping[str, bool] | None
) -> list[dict[str, Any]]:
    """Root mean square, mean and largest absolute errors."""
    names = [f"{quantity}_{error}" for quantity in quantities for error in _ERRORS]
    _check(coeffs, names, f"{where}.coeffs")
    _check(ignore_nan or {}, quantities, f"{where}.ignore_nan")
    return [
        {
            "name": f"{quantity}_{error}",
            "field": _field(quantity),
            "metric": metric(),
            "coeff": coeffs.get(f"{quantity}_{error}"),
            "ignore_nan": bool((ignore_nan or {}).get(quantity, False)),
        }
        for quantity in quantities
        for error, metric in _ERRORS.items()
    ]


class EnergyForceLoss(MetricsManager):
    """Mean squared errors of energies and forces; as core's, with further metrics.

    Args:
        coeffs: Weights of ``total_energy`` and ``forces``, normalised to sum 1; default 1 each. A
            weight of 0 keeps the term for a scheduler.
        per_atom_energy: Compare energies divided by the number of atoms.
        per_type_forces_coeffs: Weights of the mean squared force errors of each type.
        type_names: Names of the types; by default the model's.
        ignore_nan: Label to whether NaN in it counts as absent.
        extra_metrics: Further entries, as of ``MetricsManager``.
    """

    def __init__(
        self,
        coeffs: dict[str, float] | None = None,
        *,
        per_atom_energy: bool = True,
        per_type_forces_coeffs: dict[str, float] | None = None,
        type_names: list[str] | None = None,
        ignore_nan: dict[str, bool] | None = None,
        extra_metrics: list[dict[str, Any]] | None = None,
    ) -> None:
        labels = ("total_energy", "forces")
        entries = _loss_entries(
            type(self).__name__,
            dict.fromkeys(labels, 1.0) if coeffs is None else coeffs,
            labels,
            per_atom_energy=per_atom_energy,
            per_type_forces_coeffs=per_type_forces_coeffs,
            ignore_nan=ignore_nan,
        )
        super().__init__([*entries, *(extra_metrics or [])], type_names)


class EnergyForceStressLoss(MetricsManager):
    """Mean squared errors of energies, forces and stress; as core's, with further metrics.

    Args:
        coeffs: Weights of ``total_energy``, ``forces`` and ``stress``, normalised to sum 1; default 1
            each. A weight of 0 keeps the term for a scheduler.
        per_atom_energy: Compare energies divided by the number of atoms.
        per_type_forces_coeffs: Weights of the mean squared force errors of each type.
        type_names: Names of the types; by default the model's.
        ignore_nan: Label to whether NaN in it counts as absent.
        extra_metrics: Further entries, as of ``MetricsManager``.
    """

    def __init__(
        self,
        coeffs: dict[str, float] | None = None,
        *,
        per_atom_energy: bool = True,
        per_type_forces_coeffs: dict[str, float] | None = None,
        type_names: list[str] | None = None,
        ignore_nan: dict[str, bool] | None = None,
        extra_metrics: list[dict[str, Any]] | None = None,
    ) -> None:
        labels = ("total_energy", "forces", "stress")
        entries = _loss_entries(
            type(self).__name__,
            dict.fromkeys(labels, 1.0) if coeffs is None else coeffs,
            labels,
            per_atom_energy=per_atom_energy,
            per_type_forces_coeffs=per_type_forces_coeffs,
            ignore_nan=ignore_nan,
        )
        super().__init__([*entries, *(extra_metrics or [])], type_names)


class EnergyOnlyLoss(MetricsManager):
    """Mean squared error of energies; as core's, with further metrics.

    Args:
        per_atom_energy: Compare energies divided by the number of atoms.
        type_names: Names of the types; by default the model's.
        extra_metrics: Further entries, as of ``MetricsManager``.
    """

    def __init__(
        self,
        *,
        per_atom_energy: bool = True,
        type_names: list[str] | None = None,
        extra_metrics: list[dict[str, Any]] | None = None,
    ) -> None:
        labels = ("total_energy",)
        entries = _loss_entries(type(self).__name__, {"total_energy": 1.0}, labels, per_atom_energy=per_atom_energy)
        super().__init__([*entries, *(extra_metrics or [])], type_names)


class EnergyForceMetrics(MetricsManager):
    """Errors of energies and forces, named ``<quantity>_<rmse|mae|maxabserr>``; with further metrics.

    Args:
        coeffs: Weights in ``weighted_sum``; default 1 for ``total_energy_rmse`` and ``forces_rmse``.
        type_names: Names of the types; by default the model's.
        ignore_nan: Quantity to whether NaN in its label counts as absent.
        extra_metrics: Further entries, as of ``MetricsManager``.
    """

    def __init__(
        self,
        coeffs: dict[str, float | None] | None = None,
        *,
        type_names: list[str] | None = None,
        ignore_nan: dict[str, bool] | None = None,
        extra_metrics: list[dict[str, Any]] | None = None,
    ) -> None:
        weights = {"total_energy_rmse": 1.0, "forces_rmse": 1.0} if coeffs is None else coeffs
        entries = _error_entries(type(self).__name__, weights, _QUANTITIES[:3], ignore_nan)
        super().__init__([*entries, *(extra_metrics or [])], type_names)


class EnergyForceStressMetrics(MetricsManager):
    """Errors of energies, forces and stress; with further metrics.

    Args:
        coeffs: Weights in ``weighted_sum``; default 1 for ``total_energy_rmse``, ``forces_rmse`` and
            ``stress_rmse``.
        type_names: Names of the types; by default the model's.
        ignore_nan: Quantity to whether NaN in its label counts as absent.
        extra_metrics: Further entries, as of ``MetricsManager``.
    """

    def __init__(
        self,
        coeffs: dict[str, float | None] | None = None,
        *,
        type_names: list[str] | None = None,
        ignore_nan: dict[str, bool] | None = None,
        extra_metrics: list[dict[str, Any]] | None = None,
    ) -> None:
        default = {"total_energy_rmse": 1.0, "forces_rmse": 1.0, "stress_rmse": 1.0}
        entries = _error_entries(type(self).__name__, default if coeffs is None else coeffs, _QUANTITIES, ignore_nan)
        super().__init__([*entries, *(extra_metrics or [])], type_names)


class EnergyOnlyMetrics(MetricsManager):
    """Errors of energies; with further metrics.

    Args:
        coeffs: Weights in ``weighted_sum``; default 1 for ``total_energy_rmse``.
        type_names: Names of the types; by default the model's.
        extra_metrics: Further entries, as of ``MetricsManager``.
    """

    def __init__(
        self,
        coeffs: dict[str, float | None] | None = None,
        *,
        type_names: list[str] | None = None,
        extra_metrics: list[dict[str, Any]] | None = None,
    ) -> None:
        weights = {"total_energy_rmse": 1.0} if coeffs is None else coeffs
        entries = _error_entries(type(self).__name__, weights, _QUANTITIES[:2], None)
        super().__init__([*entries, *(extra_metrics or [])], type_names)
