"""Losses: weighted sums of mean squared errors of energies, forces, stress and other labels."""

from __future__ import annotations

import abc

import torch

from equipot.errors import ConfigError, unknown
from equipot.fields import LABELS
from equipot.graph import Graph
from equipot.train._measures import WEIGHTED_SUM, Loss, weight_problems, weighted_sum
from equipot.train._terms import ErrorTerm, Term, TermMeasure
from equipot.train.options import EnergyLossOptions, LossOptions


class TermLoss(TermMeasure, Loss):
    """A loss made of terms; each term has one value per batch."""

    @property
    def predictions(self) -> tuple[str, ...] | None:
        """Those of all terms; of a class with a ``forward`` of its own nothing is known."""
        return super().predictions if type(self).forward is TermLoss.forward else None

    def forward(self, outputs: Graph, batch: Graph) -> dict[str, torch.Tensor]:
        """Compute the terms of a batch and their weighted sum, and add the batch to the epoch's sums."""
        values = {term.names[0]: term(outputs, batch) for term in self.each_term()}
        return {**values, WEIGHTED_SUM: weighted_sum(self.coefficients, values)}


class SquaredErrorLoss(TermLoss, options=LossOptions):
    """Weighted sum of mean squared errors, with coefficients normalised to sum 1; ``huber`` bounds large ones.

    Each error is averaged over the scalar entries that have a label, with the weights of the data if there are any. If
    no frame of a batch has the label, the term is 0.
    """

    options: EnergyLossOptions

    @property
    @abc.abstractmethod
    def compared(self) -> tuple[str, ...]:
        """Labels that have a weight unless ``coeffs`` says otherwise; it may name any other label of the table too."""

    def make_terms(self) -> tuple[dict[str, Term], dict[str, float]]:
        """One term for each label with a weight."""
        name, given = type(self).__name__, self.options
        options = given if isinstance(given, LossOptions) else LossOptions(per_atom_energy=given.per_atom_energy)
        deltas = given.huber_of(self.compared)
        coeffs = dict.fromkeys(self.compared, 1.0) if options.coeffs is None else options.coeffs
        labels = dict.fromkeys((*self.compared, *(label for label in coeffs if label in LABELS)))
        problems = weight_problems(coeffs, dict.fromkeys((*labels, *LABELS)), f"{name}.coeffs", "label")
        problems += [unknown(f"{name}.huber", label, labels, "label") for label in deltas if label not in labels]
        if problems:
            raise ConfigError(problems)
        terms: dict[str, Term] = {}
        weights = {}
        for label in labels:
            if coeffs.get(label) or (label in coeffs and self.weights_optional):
                quantity = "per_atom_energy" if label == "total_energy" and options.per_atom_energy else label
                by_type = options.per_type_forces_coeffs if label == "forces" else None
                where = f"{name}.per_type_forces_coeffs"
                term = ErrorTerm(
                    quantity, delta=deltas.get(label), type_weights=by_type, where=where, **self.term_options(label)
                )
                terms[quantity] = term
                weights[term.names[0]] = coeffs[label]
        return terms, weights


class EnergyForceLoss(SquaredErrorLoss):
    """Mean squared errors of energies and forces."""

    compared: tuple[str, ...] = ("total_energy", "forces")


class EnergyForceStressLoss(SquaredErrorLoss):
    """Mean squared errors of energies, forces and stress; frames without a stress do not count in the stress term."""

    compared: tuple[str, ...] = ("total_energy", "forces", "stress")


class EnergyOnlyLoss(SquaredErrorLoss, options=EnergyLossOptions):
    """Mean squared error of energies; force labels are never read."""

    compared: tuple[str, ...] = ("total_energy",)
