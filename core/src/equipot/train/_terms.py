"""Terms of losses and metrics: each compares one quantity and keeps its sums over an epoch."""

from __future__ import annotations

import abc
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torchmetrics import Metric

from equipot import _processes
from equipot.errors import ConfigError, problem
from equipot.graph import Graph
from equipot.options import Configurable
from equipot.quantities import COMPARED, Errors, complete_errors, prediction_errors
from equipot.train._measures import (
    WEIGHTED_SUM,
    Accumulator,
    mean_over_processes,
    normalised,
    weight_problems,
    weighted_sum,
)

_SUMS = {"squares": "sum", "absolutes": "sum", "count": "sum", "largest": "max", "huber": "sum"}
"""What can be kept of the errors, and how it is reduced over processes."""

_HUBER = "huber"
"""Kind of error, and what is kept for it, where large errors count linearly."""


def huber(difference: torch.Tensor, delta: float) -> torch.Tensor:
    r"""Huber's function, scaled so that it is the square of small errors: errors beyond ``delta`` count linearly.

    .. math:: h(d) = d^2 \text{ for } |d| \le \delta, \text{ else } 2 \delta |d| - \delta^2

    Args:
        difference: Any shape.
        delta: In the unit of the difference.

    Source: Huber (1964), doi:10.1214/aoms/1177703732; twice ``torch.nn.functional.huber_loss``.
    """
    return 2.0 * torch.nn.functional.huber_loss(difference, torch.zeros_like(difference), reduction="none", delta=delta)


class ErrorSums(Metric):
    """Sums over an epoch that give mean, root mean square and largest error, for each group of rows.

    Averages are taken over the scalar entries of the whole epoch and all processes; they are not means of means. Where
    the data give weights w, means are sum(w x) / sum(w); the largest error has no weight.

    Args:
        kept: Keys of what is kept of the errors.
        groups: Number of groups.
        delta: Errors beyond it count linearly in ``huber``; None: there is none.
    """

    full_state_update = False
    squares: torch.Tensor
    absolutes: torch.Tensor
    count: torch.Tensor
    largest: torch.Tensor
    huber: torch.Tensor

    def __init__(self, kept: Collection[str] = _SUMS, groups: int = 1, delta: float | None = None) -> None:
        super().__init__()
        self.delta = delta
        self.kept = [name for name in _SUMS if name in kept and (name != _HUBER or delta is not None)]
        for name in self.kept:
            self.add_state(name, torch.zeros(groups, dtype=torch.float64), dist_reduce_fx=_SUMS[name])

    def update(
        self, difference: torch.Tensor, weights: torch.Tensor | None = None, group: torch.Tensor | None = None
    ) -> None:
        """Add errors.

        Args:
            difference: Shape [n, …], 0 where the label is absent.
            weights: Weight of each row, 0 where the label is absent, float64, shape [n]; None: 1.
            group: Group of each row, shape [n]; None: all in group 0.
        """
        values = difference.detach().to(torch.float64)
        if weights is None and group is None:
            for name in self.kept if values.numel() else ():
                self._add_all(name, values)
            return
        rows = values.reshape(len(values), -1)
        weights = rows.new_ones(len(rows)) if weights is None else weights
        index = torch.zeros_like(weights, dtype=torch.int64) if group is None else group
        for name in self.kept if rows.numel() else ():
            self._add_rows(name, rows, weights, index)

    def _add_all(self, name: str, values: torch.Tensor) -> None:
        if name == "count":
            self.count += values.numel()
        elif name == "largest":
            torch.maximum(self.largest, values.abs().max(), out=self.largest)
        else:
            getattr(self, name).add_(self._summand(name, values).sum())

    def _add_rows(self, name: str, rows: torch.Tensor, weights: torch.Tensor, index: torch.Tensor) -> None:
        if name == "count":
            self.count.index_add_(0, index, weights * rows.shape[1])
        elif name == "largest":
            self.largest.scatter_reduce_(0, index, rows.abs().amax(1), "amax")
        else:
            getattr(self, name).index_add_(0, index, self._summand(name, rows).sum(1) * weights)

    def _summand(self, name: str, values: torch.Tensor) -> torch.Tensor:
        if name == _HUBER and self.delta is not None:
            return huber(values, self.delta)
        return values.square() if name == "squares" else values.abs()

    def compute(self) -> dict[str, torch.Tensor]:
        """Sums of each group, by name; shape [groups]."""
        return {name: getattr(self, name) for name in self.kept}


class Term(Accumulator):
    """One comparison within a loss or a set of metrics.

    A term of a loss also has ``forward``, which returns its value for a batch and adds the batch to the epoch. The
    loss needs the ``labels`` of those terms only that have a weight.
    """

    labels: tuple[str, ...] = ()


class ErrorTerm(Term):
    """Errors of one quantity, under the names ``<quantity>_<kind>``.

    Args:
        quantity: Key of ``equipot.quantities.COMPARED``.
        kinds: Keys of ``KINDS``; the first is the value of a term of a loss, which has only ``mse``.
        type_weights: Weight of each type's mean in the mean over all types; None: every atom has the same weight.
        show_types: Give the value of each type too.
        ignore_nan: Treat NaN in labels as absent.
        delta: Errors beyond it count linearly in the loss; the kind ``huber`` shows that, and comes first.
        where: Place named in errors.
    """

    def __init__(
        self,
        quantity: str,
        kinds: Sequence[str] = ("mse",),
        *,
        delta: float | None = None,
        type_weights: Mapping[str, float] | None = None,
        show_types: bool = False,
        ignore_nan: bool = False,
        where: str = "",
    ) -> None:
        super().__init__()
        self.quantity = COMPARED[quantity]
        self.labels = self.quantity.requires
        self.delta = delta
        kinds = kinds if delta is None else (_HUBER, *kinds)
        self.kinds = {f"{quantity}_{kind}": KINDS[kind] for kind in kinds}
        self._kept = {"count", *(_READ[kind] for kind in kinds)}
        self.type_weights = type_weights
        self.show_types, self.ignore_nan, self.where = show_types, ignore_nan, where
        self.types: tuple[str, ...] = ()
        self.weights: torch.Tensor | None = None
        if type_weights is not None and (not type_weights or min(type_weights.values()) <= 0):
            raise ConfigError(problem(where, "must be greater than 0 for every type", got=type_weights))
        self.sums = ErrorSums(self._kept, delta=delta)

    def bind(self, type_names: Sequence[str]) -> None:
        """Keep sums for each type, if types have weights; these must be given for exactly the model's types."""
        given = self.type_weights
        if given is None:
            return
        problems = weight_problems(given, type_names, self.where, "type")
        if missing := [name for name in type_names if name not in given]:
            problems.append(problem(self.where, f"no weight for the types {missing}", got=given))
        if problems:
            raise ConfigError(problems)
        self.types = tuple(type_names)
        self.weights = torch.tensor([given[name] for name in type_names], dtype=torch.float64)
        self.sums = ErrorSums(self._kept, len(type_names), self.delta)

    @property
    def predictions(self) -> tuple[str, ...]:
        """The predictions of its labels."""
        return self.labels

    @property
    def names(self) -> tuple[str, ...]:
        """``<quantity>_<kind>``, followed by ``<quantity>_<kind>_<type>`` where types are shown."""
        types = self.types if self.show_types else ()
        return (*self.kinds, *(f"{name}_{type_name}" for name in self.kinds for type_name in types))

    def update(self, outputs: Graph, batch: Graph) -> None:
        """Add a batch."""
        if (complete := self._complete(outputs, batch)) is not None:
            self.sums.update(complete)
        else:
            self._added(outputs, batch)

    def _complete(self, outputs: Graph, batch: Graph) -> torch.Tensor | None:
        """Errors that need neither masks nor weights, and no sums over processes."""
        if self.weights is not None or self.ignore_nan or _processes.share()[1] > 1:
            return None
        return complete_errors(self.quantity, outputs, batch)

    def _added(self, outputs: Graph, batch: Graph) -> Errors | None:
        """Add a batch to the sums; its errors, or None without any label."""
        found = prediction_errors(self.quantity, outputs, batch, ignore_nan=self.ignore_nan)
        if found is not None:
            self.sums.update(found.difference, found.weights, None if self.weights is None else batch["atom_types"])
        return found

    def forward(self, outputs: Graph, batch: Graph) -> torch.Tensor:
        """Add a batch and return the mean square of its errors, or of Huber's function; 0 if it has no label.

        Weighted squares are divided by the number of entries, because weights have mean 1 over the train set: a batch
        of frames with small weights then changes the model less. With several processes it is this one's part of the
        mean over the batches of all, times their number.
        """
        if (complete := self._complete(outputs, batch)) is not None:
            self.sums.update(complete)
            values = complete.square() if self.delta is None else huber(complete, self.delta)
            return values.sum() / max(values.numel(), 1)
        added = self._added(outputs, batch)
        device = batch["num_atoms"].device
        weights = torch.ones(1, dtype=torch.float64) if self.weights is None else self.weights
        weights = weights.to(device)
        if added is None:
            mean_over_processes(torch.zeros_like(weights))
            return torch.zeros((), dtype=torch.float64, device=device)
        errors = added.difference
        values = errors.square() if self.delta is None else huber(errors, self.delta)
        rows = values.reshape(len(added.weights), -1) * added.weights.unsqueeze(1)
        width = max(rows.shape[1], 1)
        if self.weights is None:
            count = mean_over_processes((added.present.sum() * width).to(torch.float64).reshape(1))
            return rows.sum() / torch.where(count > 0, count, 1.0)[0]
        group = batch["atom_types"]
        squares = torch.zeros_like(weights, dtype=rows.dtype).index_add(0, group, rows.sum(1))
        counts = torch.zeros_like(weights).index_add(0, group, added.present.to(weights.dtype) * width)
        return _weighted_mean(squares, mean_over_processes(counts), weights)

    def epoch_values(self) -> dict[str, torch.Tensor]:
        """Errors over the epoch and all processes; nothing if there was no label."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torchmetrics warns about sums without any update
            # torchmetrics squeezes what compute() gives
            sums = {name: value.reshape(-1) for name, value in self.sums.compute().items()}
        if not bool(sums["count"].any()):
            return {}
        weights = torch.ones_like(sums["count"]) if self.weights is None else self.weights.to(sums["count"].device)
        values = {name: kind(sums, weights) for name, kind in self.kinds.items()}
        for index, type_name in enumerate(self.types if self.show_types else ()):
            one = {name: value[index : index + 1] for name, value in sums.items()}
            if bool(one["count"]):
                values |= {f"{name}_{type_name}": kind(one, weights[:1]) for name, kind in self.kinds.items()}
        return values

    def reset(self) -> None:
        """Start a new epoch."""
        self.sums.reset()


def _weighted_mean(sums: torch.Tensor, counts: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean of the groups' means ``sums / counts``, over the groups that have entries."""
    present = (counts > 0).to(weights.dtype) * weights
    return (present * sums / torch.where(counts > 0, counts, 1.0)).sum() / present.sum().clamp(
        min=torch.finfo(weights.dtype).tiny
    )


KINDS: dict[str, Callable[[Mapping[str, torch.Tensor], torch.Tensor], torch.Tensor]] = {
    "mse": lambda sums, weights: _weighted_mean(sums["squares"], sums["count"], weights),
    "rmse": lambda sums, weights: _weighted_mean(sums["squares"], sums["count"], weights).sqrt(),
    "mae": lambda sums, weights: _weighted_mean(sums["absolutes"], sums["count"], weights),
    "huber": lambda sums, weights: _weighted_mean(sums["huber"], sums["count"], weights),
    "maxabserr": lambda sums, _weights: sums["largest"].max(),
}
"""Mean square, root mean square, mean absolute error, mean of Huber's function and largest absolute error, from sums
and weights of groups."""


_READ = {"mse": "squares", "rmse": "squares", "mae": "absolutes", "huber": _HUBER, "maxabserr": "largest"}
"""What each of them reads besides the number of entries."""


class TermMeasure(Configurable, abc.ABC):
    """The part of ``TermLoss`` and ``ErrorMetrics`` that is made of terms; comes before ``Loss`` or ``Metrics``.

    ``weighted_sum`` is the sum of some of the terms' values, with coefficients that sum to 1.
    """

    weights_optional: ClassVar[bool] = False
    """Whether no term needs a weight, and terms with weight 0 are kept, for coefficients that change in training."""

    terms: torch.nn.ModuleDict
    _coefficients: dict[str, float]

    def __post_init__(self) -> None:
        """Make the terms."""
        super().__post_init__()
        terms, weights = self.make_terms()
        self.terms = torch.nn.ModuleDict(terms)
        if weights or not self.weights_optional:
            self._coefficients = normalised(weights, f"{type(self).__name__}.coeffs")

    @abc.abstractmethod
    def make_terms(self) -> tuple[dict[str, Term], dict[str, float]]:
        """Make what the options ask for.

        Returns:
            The terms, by the names of their sums in checkpoints, and the weights of their values.

        Raises:
            ConfigError: If a name is unknown, a weight is negative or no weight is above 0.
        """

    def term_options(self, name: str) -> dict[str, Any]:
        """Further arguments of the ``ErrorTerm`` of a label or quantity, for classes that extend those of core."""
        return {}

    def each_term(self) -> Iterator[Term]:
        """The terms, in order."""
        return cast("Iterator[Term]", iter(self.terms.values()))

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the terms that have a weight, even if it is 0."""
        used = [term for term in self.each_term() if not self._coefficients.keys().isdisjoint(term.names)]
        return tuple(dict.fromkeys(label for term in used for label in term.labels))

    @property
    def predictions(self) -> tuple[str, ...] | None:
        """Those of all terms."""
        found: list[str] = []
        for term in self.each_term():
            if term.predictions is None:
                return None
            found += term.predictions
        return tuple(dict.fromkeys(found))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all values, and ``weighted_sum`` if there is one."""
        own = [name for term in self.each_term() for name in term.names]
        return (*own, *([WEIGHTED_SUM] if self._coefficients else []))

    def bind(self, type_names: Sequence[str]) -> None:
        """Pass the model's types on to the terms."""
        for term in self.each_term():
            term.bind(type_names)

    @torch.no_grad()
    def update(self, outputs: Graph, batch: Graph) -> None:
        """Add a batch to all terms."""
        for term in self.each_term():
            term.update(outputs, batch)

    def epoch_values(self) -> dict[str, torch.Tensor]:
        """All values over the epoch and all processes, for the labels that occurred.

        The weighted sum is included only if every value with a weight above 0 is.
        """
        values = {name: value for term in self.each_term() for name, value in term.epoch_values().items()}
        needed = {name: weight for name, weight in self._coefficients.items() if weight > 0.0}
        if needed and needed.keys() <= values.keys():
            values[WEIGHTED_SUM] = weighted_sum(needed, values)
        return values

    def reset(self) -> None:
        """Start a new epoch."""
        for term in self.each_term():
            term.reset()
