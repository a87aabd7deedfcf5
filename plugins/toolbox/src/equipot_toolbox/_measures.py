"""Core's losses and metrics of energies, forces and stress, with further metrics and NaN treated as absent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import equipot.train as core
from equipot.errors import ConfigError, unknown
from equipot.fields import LABELS
from equipot.options import Options
from equipot.train import Term, TermMeasure
from equipot.train.options import EnergyLossOptions, LossOptions, MetricsOptions
from equipot_toolbox._metrics_manager import check_type_names, metric_terms


@dataclass(frozen=True, kw_only=True)
class ExtraOptions(Options):
    """Options that core's losses and metrics do not have."""

    type_names: list[str] | None = None
    """Type names; by default those of the model."""

    ignore_nan: dict[str, bool] | None = None
    """Whether NaN in labels is treated as absent, for each label of a loss or quantity of metrics."""

    extra_metrics: list[dict[str, Any]] | None = None
    """Further entries, with the options of ``MetricEntry``."""


@dataclass(frozen=True, kw_only=True)
class ExtraLossOptions(LossOptions, ExtraOptions):
    """Options of losses."""


@dataclass(frozen=True, kw_only=True)
class ExtraEnergyLossOptions(EnergyLossOptions, ExtraOptions):
    """Options of losses that compare energies."""


@dataclass(frozen=True, kw_only=True)
class ExtraMetricsOptions(MetricsOptions, ExtraOptions):
    """Options of metrics."""


class Extended(TermMeasure):
    """Adds ``ExtraOptions`` to a loss or metrics of core, which must be the next base class."""

    weights_optional = True
    compared: tuple[str, ...]

    @property
    def extra(self) -> ExtraOptions:
        """The options that core does not have."""
        return cast("ExtraOptions", self.options)

    def __post_init__(self) -> None:
        """Make the terms, and bind them to the types if these are given."""
        super().__post_init__()
        if self.extra.type_names is not None:
            self.bind(self.extra.type_names)

    def make_terms(self) -> tuple[dict[str, Term], dict[str, float]]:
        """The terms of core and those of ``extra_metrics``."""
        name = type(self).__name__
        terms, weights = super().make_terms()  # type: ignore[safe-super]
        known = dict.fromkeys((*self.compared, *LABELS))
        if wrong := [one for one in self.extra.ignore_nan or () if one not in known]:
            raise ConfigError(unknown(f"{name}.ignore_nan.{one}", one, known, "name") for one in wrong)
        taken = [value for term in terms.values() for value in term.names]
        more, further = metric_terms(self.extra.extra_metrics or [], f"{name}.extra_metrics", taken)
        return terms | more, weights | further

    def term_options(self, name: str) -> dict[str, Any]:
        """Treat NaN as the options say, and show the values of single types."""
        return {"ignore_nan": (self.extra.ignore_nan or {}).get(name, False), "show_types": True}

    def bind(self, type_names: Sequence[str]) -> None:
        """Receive the model's type names.

        Raises:
            ConfigError: If ``type_names`` were given and differ, or weights are not for exactly these types.
        """
        check_type_names(self.extra.type_names, type_names, type(self).__name__)
        super().bind(type_names)


class EnergyForceLoss(Extended, core.EnergyForceLoss, options=ExtraLossOptions):
    """Mean squared errors of energies and forces; a term with weight 0 is kept for schedulers."""


class EnergyForceStressLoss(Extended, core.EnergyForceStressLoss, options=ExtraLossOptions):
    """Mean squared errors of energies, forces and stress; a term with weight 0 is kept for schedulers."""


class EnergyOnlyLoss(Extended, core.EnergyOnlyLoss, options=ExtraEnergyLossOptions):
    """Mean squared error of energies."""


class EnergyForceMetrics(Extended, core.EnergyForceMetrics, options=ExtraMetricsOptions):
    """Errors of energies and forces, named ``<quantity>_<rmse|mae|maxabserr>``."""


class EnergyForceStressMetrics(Extended, core.EnergyForceStressMetrics, options=ExtraMetricsOptions):
    """Errors of energies, forces and stress, named ``<quantity>_<rmse|mae|maxabserr>``."""


class EnergyOnlyMetrics(Extended, core.EnergyOnlyMetrics, options=ExtraMetricsOptions):
    """Errors of energies, named ``<quantity>_<rmse|mae|maxabserr>``."""
