"""Any set of metrics of any fields, as a loss or as metrics: each entry one ``torchmetrics.Metric``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch

from equipot.errors import ConfigError, problem
from equipot.graph import Graph
from equipot.train import WEIGHTED_SUM, Loss
from equipot.validation import check_options
from equipot_toolbox._fields import Comparison, comparison
from equipot_toolbox.metric_terms import MetricEntry, Term


class MetricsManager(Loss):
    """Metrics with names, and the weighted sum of those that have a coefficient.

    Stands as ``loss``, ``train_metrics``, ``val_metrics`` or ``test_metrics``. Absent labels are left
    out; a batch without any label of an entry adds 0 for it. Types that do not occur are left out of
    means over types.

    Args:
        metrics: Mappings with the options of ``MetricEntry``: ``metric``, ``field``, ``coeff``,
            ``name``, ``per_type``, ``per_type_coeffs``, ``ignore_nan``. Coefficients are normalised
            to sum 1; 0 keeps an entry for coefficients that change while training.
        type_names: Names of the types; by default the model's.

    Raises:
        ConfigError: With all problems of the entries.
    """

    def __init__(self, metrics: list[dict[str, Any]], type_names: list[str] | None = None) -> None:
        where = f"{type(self).__name__}.metrics"
        self._where = where
        entries = _entries(metrics, where)
        named = _named(entries, where)
        coefficients = {name: entry.coeff for name, entry in named.items() if entry.coeff is not None}
        total = sum(coefficients.values())
        if coefficients and not total > 0.0:
            raise ConfigError(problem(f"{where}.coeff", "one must be greater than 0", got=coefficients))
        super().__init__({name: coeff / total for name, coeff in coefficients.items()})
        self.entries = named
        self._compared = {name: _compared(entry) for name, entry in named.items()}
        self.terms = torch.nn.ModuleDict()
        self._type_names: list[str] | None = None
        if type_names is not None or not any(entry.per_type for entry in entries):
            self._build(type_names or [])
            self._type_names = type_names

    def bind(self, type_names: Sequence[str]) -> None:
        """Learn the model's types.

        Args:
            type_names: Names of the types.

        Raises:
            ConfigError: If given ones differ, or weights are not for exactly these types.
        """
        if self._type_names is not None and list(self._type_names) != list(type_names):
            where = self._where.replace(".metrics", ".type_names")
            raise ConfigError(problem(where, f"differ from the model's {list(type_names)}", got=self._type_names))
        if not self.terms:
            self._build(type_names)

    def _build(self, type_names: Sequence[str]) -> None:
        problems: list[str] = []
        weights = {
            name: _type_weights(entry, type_names, f"{self._where}.{index}.per_type_coeffs", problems)
            for index, (name, entry) in enumerate(self.entries.items())
        }
        if problems:
            raise ConfigError(problems)
        for index, (name, entry) in enumerate(self.entries.items()):
            self.terms[f"term{index}"] = Term(entry, name, self._compared[name], weights[name])

    def _all_terms(self) -> list[Term]:
        if not self.terms:
            raise ConfigError(problem(self._where, "the types are not known", hint="call bind, or give type_names"))
        return list(self.terms.values())  # type: ignore[arg-type]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the entries that have a coefficient, even if it is 0."""
        used = [self._compared[name] for name, entry in self.entries.items() if entry.coeff is not None]
        return tuple(dict.fromkeys(label for one in used if one is not None for label in one.labels))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the entries, of their types once these are known, and ``weighted_sum``."""
        by_type = [f"{term.name}{group}" for term in self.terms.values() if term.by_type for group in term.groups]  # type: ignore[union-attr]
        return (*self.entries, *by_type, *([WEIGHTED_SUM] if self.coefficients else []))

    def forward(self, outputs: Graph, batch: Graph) -> dict[str, torch.Tensor]:
        """The entries' values for a batch and their weighted sum, and their addition to the epoch's.

        Args:
            outputs: Of the model.
            batch: With labels.

        Raises:
            ConfigError: If no entry has a coefficient.
        """
        if not self.coefficients:
            raise ConfigError(problem(self._where, "no entry has a coeff", hint="a loss needs one"))
        values = {term.name: term(outputs, batch) for term in self._all_terms()}
        weighted = [weight * values[name] for name, weight in self.coefficients.items()]
        return {**values, WEIGHTED_SUM: torch.stack(weighted).sum()}

    @torch.no_grad()
    def update(self, outputs: Graph, batch: Graph) -> None:
        """Add a batch, without its values."""
        for term in self._all_terms():
            term.update(outputs, batch)

    def epoch_values(self) -> dict[str, torch.Tensor]:
        """Values over the epoch; ``weighted_sum`` if every entry with a weight above 0 has one."""
        values: dict[str, torch.Tensor] = {}
        for term in self._all_terms():
            values |= term.epoch_values()
        weights = {name: weight for name, weight in self.coefficients.items() if weight > 0.0}
        if weights and weights.keys() <= values.keys():
            values[WEIGHTED_SUM] = torch.stack([weight * values[name] for name, weight in weights.items()]).sum()
        return values

    def reset(self) -> None:
        """Start a new epoch."""
        for term in self._all_terms():
            term.reset()


def _entries(metrics: list[dict[str, Any]], where: str) -> list[MetricEntry]:
    problems: list[str] = []
    entries = []
    for index, given in enumerate(metrics):
        place = f"{where}.{index}"
        values, found = check_options(MetricEntry, given, place)
        if not found:
            try:
                entries.append(MetricEntry(**values))
            except ConfigError as error:
                found = [text.replace("MetricEntry", place, 1) for text in error.problems]
        problems += found
    if not metrics:
        problems.append(problem(where, "is an empty list"))
    if problems:
        raise ConfigError(problems)
    return entries


def _named(entries: Sequence[MetricEntry], where: str) -> dict[str, MetricEntry]:
    """Entries by name; checks their fields too."""
    problems: list[str] = []
    named: dict[str, MetricEntry] = {}
    for index, entry in enumerate(entries):
        place = f"{where}.{index}"
        try:
            compared = _compared(entry)
        except ConfigError as error:
            problems += [f"{place}.field: {text}" for text in error.problems]
            continue
        if entry.per_type and compared is not None and compared.target.per != "atom":
            problems.append(problem(f"{place}.per_type", f"needs a field per atom, got {compared.name}"))
        name = entry.name or _default_name(entry, compared)
        if name in named:
            problems.append(problem(f"{place}.name", "is used twice", got=name, hint="give the entries names"))
        named[name] = entry
    if problems:
        raise ConfigError(problems)
    return named


def _compared(entry: MetricEntry) -> Comparison | None:
    return None if entry.field is None else comparison(entry.field)


def _default_name(entry: MetricEntry, compared: Comparison | None) -> str:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(entry.metric).__name__).lower()
    short = getattr(entry.metric, "short_name", snake)
    return short if compared is None else f"{compared.name}_{short}"


def _type_weights(
    entry: MetricEntry, type_names: Sequence[str], where: str, problems: list[str]
) -> dict[str, float] | None:
    """Weight of each type in the order of the types; None if atoms are all alike."""
    if not entry.per_type:
        return None
    given = entry.per_type_coeffs
    if given is None:
        return dict.fromkeys(type_names, 1.0)
    if given.keys() != set(type_names):
        problems.append(problem(where, f"must name exactly the types {list(type_names)}", got=given))
        return None
    return {name: given[name] for name in type_names}
