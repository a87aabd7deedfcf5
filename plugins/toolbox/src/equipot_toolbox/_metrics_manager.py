"""Losses and metrics put together from any ``torchmetrics.Metric`` and any field."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from equipot.errors import ConfigError, problem
from equipot.graph import Graph
from equipot.options import Options, from_mapping
from equipot.train import Term, TermLoss
from equipot_toolbox._fields import Comparison, comparison
from equipot_toolbox._metric_terms import MetricEntry, MetricTerm


@dataclass(frozen=True)
class ManagerOptions(Options):
    """Options of ``MetricsManager``."""

    metrics: list[dict[str, Any]]
    """One mapping for each entry, with the options of ``MetricEntry``: ``metric``, ``field``, ``coeff``, ``name``,
    ``per_type``, ``per_type_coeffs``, ``ignore_nan``. Coefficients are normalised to sum 1; an entry with coefficient 0
    is kept, as coefficients may change during training."""

    type_names: list[str] | None = None
    """Type names; by default those of the model."""


class MetricsManager(TermLoss, options=ManagerOptions):
    """A list of metrics, and the weighted sum of those that have a coefficient.

    It can be the ``loss``, ``train_metrics``, ``val_metrics`` or ``test_metrics``. Absent labels are left out; if a
    batch has no label of an entry, the entry's term of the loss is 0. Types that do not occur are left out of means
    over types.
    """

    options: ManagerOptions

    weights_optional = True

    def __post_init__(self) -> None:
        """Make the terms, and bind them to the types if these are given."""
        super().__post_init__()
        if self.options.type_names is not None:
            self.bind(self.options.type_names)

    def make_terms(self) -> tuple[dict[str, Term], dict[str, float]]:
        """One term for each entry.

        Raises:
            ConfigError: With all problems of the entries.
        """
        where = f"{type(self).__name__}.metrics"
        if not self.options.metrics:
            raise ConfigError(problem(where, "is an empty list"))
        terms, weights = metric_terms(self.options.metrics, where)
        if weights and not any(weights.values()):
            raise ConfigError(problem(f"{where}.coeff", "one must be greater than 0", got=weights))
        return terms, weights

    def bind(self, type_names: Sequence[str]) -> None:
        """Receive the model's type names.

        Raises:
            ConfigError: If ``type_names`` were given and differ, or weights are not for exactly these types.
        """
        check_type_names(self.options.type_names, type_names, type(self).__name__)
        super().bind(type_names)

    def forward(self, outputs: Graph, batch: Graph) -> dict[str, torch.Tensor]:
        """Compute the terms of a batch and their weighted sum, and add the batch to the epoch's sums.

        Raises:
            ConfigError: If no entry has a coefficient.
        """
        if not self.coefficients:
            where = f"{type(self).__name__}.metrics"
            raise ConfigError(problem(where, "no entry has a coeff", hint="a loss needs one"))
        return super().forward(outputs, batch)


def check_type_names(given: Sequence[str] | None, type_names: Sequence[str], where: str) -> None:
    """Refuse type names of the config that differ from those of the model."""
    if given is not None and list(given) != list(type_names):
        what = f"differ from the model's {list(type_names)}"
        raise ConfigError(problem(f"{where}.type_names", what, got=given))


def metric_terms(
    entries: Sequence[dict[str, Any]], where: str, taken: Collection[str] = ()
) -> tuple[dict[str, Term], dict[str, float]]:
    """Terms of entries, by the names of their sums in checkpoints, and their weights.

    Args:
        entries: Mappings with the options of ``MetricEntry``.
        where: Place named in errors.
        taken: Names that other terms have already.

    Raises:
        ConfigError: With the problems of all entries.
    """
    problems: list[str] = []
    terms: dict[str, Term] = {}
    weights: dict[str, float] = {}
    names = set(taken)
    for index, given in enumerate(entries):
        place = f"{where}.{index}"
        try:
            entry = from_mapping(MetricEntry, given, place)
            compared = _compared(entry, place)
        except ConfigError as error:
            problems += error.problems
            continue
        name = entry.name or _default_name(entry, compared)
        if name in names:
            problems.append(problem(f"{place}.name", "is used twice", got=name, hint="give the entries names"))
        names.add(name)
        terms[f"term{index}"] = MetricTerm(entry, name, compared, place)
        if entry.coeff is not None:
            weights[name] = entry.coeff
    if problems:
        raise ConfigError(problems)
    return terms, weights


def _compared(entry: MetricEntry, place: str) -> Comparison | None:
    """What an entry compares; None if its metric receives all predictions and the whole batch."""
    if entry.field is None:
        return None
    try:
        compared = comparison(entry.field)
    except ConfigError as error:
        raise ConfigError([f"{place}.field: {text}" for text in error.problems]) from None
    if entry.per_type and compared.target.per != "atom":
        raise ConfigError(problem(f"{place}.per_type", f"needs a field per atom, got {compared.name}"))
    return compared


def _default_name(entry: MetricEntry, compared: Comparison | None) -> str:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(entry.metric).__name__).lower()
    short: str = getattr(entry.metric, "short_name", snake)
    return short if compared is None else f"{compared.name}_{short}"
