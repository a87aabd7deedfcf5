"""Metrics: mean, root mean square and largest errors of energies, forces, stress and other labels over an epoch."""

from __future__ import annotations

import abc

from equipot.errors import ConfigError, unknown
from equipot.fields import LABELS
from equipot.quantities import ENERGY
from equipot.train._measures import Metrics, weight_problems
from equipot.train._terms import ErrorTerm, Term, TermMeasure
from equipot.train.options import MetricsOptions


class ErrorMetrics(TermMeasure, Metrics, options=MetricsOptions):
    """Errors accumulated over an epoch, named ``<quantity>_<rmse|mae|maxabserr>``.

    ``weighted_sum`` is the sum of some of them, with coefficients normalised to sum 1.
    """

    options: MetricsOptions

    @property
    @abc.abstractmethod
    def compared(self) -> tuple[str, ...]:
        """Quantities whose errors are measured."""

    def make_terms(self) -> tuple[dict[str, Term], dict[str, float]]:
        """One term for each quantity, and the weights of single errors."""
        kinds, where = ("rmse", "mae", "maxabserr"), f"{type(self).__name__}.labels"
        further = self.options.labels or []
        if problems := [unknown(where, name, LABELS, "label") for name in further if name not in LABELS]:
            raise ConfigError(problems)
        compared = dict.fromkeys((*self.compared, *further))
        terms = {name: ErrorTerm(name, kinds, **self.term_options(name)) for name in compared}
        default = {f"{name}_rmse": 1.0 for name in compared if name != ENERGY}
        coeffs = default if self.options.coeffs is None else self.options.coeffs
        names = [name for term in terms.values() for name in term.names]
        if problems := weight_problems(coeffs, names, f"{type(self).__name__}.coeffs"):
            raise ConfigError(problems)
        return {**terms}, {name: weight for name, weight in coeffs.items() if weight}


class EnergyForceMetrics(ErrorMetrics):
    """Errors of energies and forces."""

    compared: tuple[str, ...] = ("total_energy", "per_atom_energy", "forces")


class EnergyForceStressMetrics(ErrorMetrics):
    """Errors of energies, forces and stress."""

    compared: tuple[str, ...] = ("total_energy", "per_atom_energy", "forces", "stress")


class EnergyOnlyMetrics(ErrorMetrics):
    """Errors of energies; force labels are never read."""

    compared: tuple[str, ...] = ("total_energy", "per_atom_energy")
