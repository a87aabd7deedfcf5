"""Closed-form refit of a model's last linear layer and shifts.

Energies, forces and stresses are linear in the weights of the last layer and in the shifts, so the best ones for the
squared errors follow from normal equations, without steps and learning rates. They are summed frame by frame in
float64; only matrices of the number of weights are kept. A ridge holds the solution close to the trained weights, so
that what the data do not determine, such as shifts of elements that always occur in the same ratio, stays as it is.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from equipot.graph import Graph
from equipot.model import GraphModel
from equipot.quantities import COMPARED, prediction_errors
from equipot.train import WEIGHTED_SUM, Measure

RIDGES = tuple(10.0**power for power in range(-10, 1))
"""Strengths of the ridge that are tried, relative to the curvature in each direction."""

ENERGY_FACTORS = (1.0, 10.0, 100.0)
"""What the weight of the energies in the loss is multiplied by, in turn."""

_LINEAR = ("total_energy", "per_atom_energy", "forces", "stress")
"""Quantities that are linear in the unknowns; what heads predict is not."""

LARGEST_DEVIATION = 1e-2
"""The errors that linearity predicts for the trained weights may differ from theirs by this part of their size."""

Sums = dict[str, "_Sums"]
"""The normal equations of each quantity."""


@dataclass
class _Sums:
    """Normal equations of one quantity: sums over its weighted entries.

    ``matrix`` [p, p] and ``vector`` [p] of columns a and residuals r, ``square`` of r, and their ``count``.
    """

    matrix: torch.Tensor
    vector: torch.Tensor
    square: float = 0.0
    count: float = 0.0

    def mean_square(self, change: torch.Tensor) -> float:
        """Mean square of the errors after a change of the unknowns."""
        value = change @ self.matrix @ change - 2.0 * (change @ self.vector)
        return max(float(value) + self.square, 0.0) / max(self.count, 1.0)


@dataclass
class Refit:
    """What a refit came to; ``to_dict`` is what records keep of it."""

    kept: bool = False
    """Whether the model has the new weights."""
    reason: str = ""
    """Why it has not; or an empty text."""
    before: float | None = None
    """Objective on the validation set with the trained weights."""
    after: float | None = None
    """The same with the new ones."""
    weights: int = 0
    """Number of weights of the last layer."""
    shifts: list[str] = field(default_factory=list)
    """Types whose shifts were unknowns, too."""
    frames: int = 0
    """Number of training frames in the equations."""
    max_frames: int = 0
    """How many there was time for."""
    ridge: float | None = None
    energy_factor: float | None = None
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """In plain containers."""
        return asdict(self)

    @property
    def line(self) -> str:
        """One line for users."""
        if self.before is None or self.after is None:
            return f"refit of the last layer: left out, {self.reason}"
        what = "kept" if self.kept else f"not kept, {self.reason}"
        return f"refit of the last layer: validation {self.before:.4g} to {self.after:.4g}, {what}"


def refit(
    model: GraphModel,
    train: Iterable[Graph],
    val: Iterable[Graph],
    *,
    coefficients: Mapping[str, float],
    metrics: Measure,
    fixed_shifts: Iterable[str] = (),
    check: Callable[[], object] = bool,
) -> Refit:
    """Refit the last layer and the shifts of a model, and keep them if the validation objective improves.

    Args:
        model: In eval mode; changed in place if the result is kept, else it is as before.
        train: Batches of the training set; gone through once.
        val: Batches of the validation set; gone through three times.
        coefficients: Weights of the loss's terms; those of errors are used.
        metrics: Of the validation set, with a weighted sum.
        fixed_shifts: Types whose shifts are known and stay.
        check: Called between batches; may raise an exception to end the refit, which leaves the model as it was.

    Returns:
        What came out.
    """
    begun = time.monotonic()
    result = Refit()
    coefficients = _by_quantity(coefficients)
    weights = model.energy.last_layer()
    if weights is None:
        result.reason = "the model does not say which weights its energies are linear in"
    elif not coefficients:
        result.reason = "the loss compares neither energies nor forces"
    elif metrics.coefficients == {}:
        result.reason = "the metrics have no weighted sum"
    else:
        unknowns = _Unknowns(model, weights, fixed_shifts)
        result.weights, result.shifts = weights.numel(), unknowns.shifts
        try:
            _solve_and_compare(unknowns, train, val, coefficients, metrics, result, check)
        finally:
            if not result.kept:
                unknowns.restore()
    result.seconds = round(time.monotonic() - begun, 3)
    return result


def _by_quantity(coefficients: Mapping[str, float]) -> dict[str, float]:
    """Weights of a loss's terms ``<quantity>_mse`` or ``<quantity>_huber`` by quantity; squares are fitted anyhow."""
    found = {name.removesuffix("_mse").removesuffix("_huber"): weight for name, weight in coefficients.items()}
    return {name: weight for name, weight in found.items() if name in _LINEAR}


def _solve_and_compare(
    unknowns: _Unknowns,
    train: Iterable[Graph],
    val: Iterable[Graph],
    coefficients: Mapping[str, float],
    metrics: Measure,
    result: Refit,
    check: Callable[[], object],
) -> None:
    quantities = list(coefficients)
    sums, result.frames = unknowns.equations(train, quantities, check)
    if unknowns.deviation > LARGEST_DEVIATION:
        result.reason = "its energies are not linear in the weights of its last layer"
        return
    seen, _ = unknowns.equations(val, quantities, check)
    best = _best_change(sums, seen, coefficients, metrics.coefficients)
    if best is None:
        result.reason = "the training or validation set has none of the labels"
        return
    result.before = _objective(unknowns.model, val, metrics, check)
    change, result.ridge, result.energy_factor = best
    unknowns.change(change)
    result.after = _objective(unknowns.model, val, metrics, check)
    result.kept = result.after < result.before
    result.reason = "" if result.kept else "the validation did not improve"


class _Unknowns:
    """The weights of the last layer and the shifts: what the model says as a function of them."""

    def __init__(self, model: GraphModel, weights: torch.nn.Parameter, fixed_shifts: Iterable[str]) -> None:
        self.model, self.weights = model, weights
        self.trained = weights.detach().clone()
        self.table = model.scale_shift.shifts
        self.trained_table = self.table.detach().clone()
        fixed = set(fixed_shifts)
        known = [name in fixed for name in model.info.type_names]
        shared = self.table.shape[0] == 1  # one shift for all types
        self.free = ([] if any(known) else [0]) if shared else [i for i, one in enumerate(known) if not one]
        self.shifts = (
            list(model.info.type_names)
            if shared and self.free
            else [model.info.type_names[index] for index in self.free]
        )
        self.number = weights.numel() + len(self.free)
        self._squares: dict[str, list[float]] = {}

    @torch.no_grad()
    def change(self, change: torch.Tensor) -> None:
        """Add to the trained values; change [number]."""
        count = self.weights.numel()
        moved = self.trained.double() + change[:count].reshape(self.trained.shape)
        self.weights.copy_(moved.to(self.trained.dtype))
        table = self.trained_table.clone()
        table[self.free] += change[count:].to(table)
        self.table.copy_(table)

    def restore(self) -> None:
        """Set the trained values."""
        with torch.no_grad():
            self.weights.copy_(self.trained)
            self.table.copy_(self.trained_table)

    def equations(
        self, batches: Iterable[Graph], quantities: Iterable[str], check: Callable[[], object]
    ) -> tuple[Sums, int]:
        """Sum the normal equations of a set; also the number of its frames."""
        quantities = list(quantities)
        sums: Sums = {}
        frames = 0
        for batch in batches:
            frames += int(batch["num_atoms"].shape[0])
            for quantity, (columns, residual, row_weights) in self._linear(batch, quantities, check).items():
                empty = torch.zeros(self.number, self.number, dtype=torch.float64, device=columns.device)
                found = sums.setdefault(quantity, _Sums(empty, empty[0].clone()))
                weighted = columns * row_weights.unsqueeze(1)
                found.matrix += weighted.T @ columns
                found.vector += weighted.T @ residual
                found.square += float((row_weights * residual.square()).sum())
                found.count += float(row_weights.sum())
        return sums, frames

    def _linear(
        self, batch: Graph, quantities: list[str], check: Callable[[], object]
    ) -> dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """For each quantity: columns [n, number], residuals label - prediction [n] and weights [n]."""
        self.restore()
        trained = _errors(self.model(batch), batch, quantities)
        with torch.no_grad():
            self.weights.zero_()
        base_outputs = self.model(batch)
        base = _errors(base_outputs, batch, quantities)
        columns: dict[str, list[torch.Tensor]] = {quantity: [] for quantity in base}
        for index in range(self.weights.numel()):
            check()
            with torch.no_grad():
                self.weights.zero_()
                self.weights.view(-1)[index] = 1.0
            for quantity, (values, _) in _errors(self.model(batch), batch, quantities).items():
                columns[quantity].append(values - base[quantity][0])
        self.restore()
        for index in self.free:
            counts = self._atoms(batch, index)
            moved = {**base_outputs, "total_energy": base_outputs["total_energy"] + counts}
            for quantity, (values, _) in _errors(moved, batch, quantities).items():
                columns[quantity].append(values - base[quantity][0])
        made = {}
        for quantity, (values, row_weights) in trained.items():
            matrix = torch.stack(columns[quantity], dim=1)
            count = self.weights.numel()
            predicted = base[quantity][0] + matrix[:, :count] @ self.trained.double().reshape(-1)
            self._compare(quantity, predicted, values, base[quantity][0])
            made[quantity] = (matrix, -values, row_weights)
        return made

    def _compare(self, quantity: str, predicted: torch.Tensor, values: torch.Tensor, base: torch.Tensor) -> None:
        """Sum how far linearity is from the truth, and what the last layer contributes."""
        sums = self._squares.setdefault(quantity, [0.0, 0.0])
        sums[0] += float((predicted - values).square().sum())
        sums[1] += float((values - base).square().sum())

    @property
    def deviation(self) -> float:
        """How far linearity is from the truth, relative to what the last layer contributes, over all batches.

        Of the energies, if there are any: forces are their derivatives, and in perfect crystals nothing but rounding.
        """
        found = {name: sums for name, sums in self._squares.items() if "energy" in name} or self._squares
        return max(
            (math.sqrt(wrong / all_of_it) for wrong, all_of_it in found.values() if all_of_it > 0.0), default=0.0
        )

    def _atoms(self, batch: Graph, index: int) -> torch.Tensor:
        """Number of atoms with a shift in each frame, float64 [n_frames]."""
        types = batch["atom_types"]
        those = torch.ones_like(types) if self.table.shape[0] == 1 else (types == index)
        counts = torch.zeros(batch["num_atoms"].shape[0], dtype=torch.float64, device=types.device)
        return counts.index_add(0, batch["batch"], those.double())


def _errors(outputs: Graph, batch: Graph, quantities: Iterable[str]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Prediction minus label as a flat vector, and the weight of each entry, of quantities that the batch has."""
    found = {}
    for quantity in quantities:
        errors = prediction_errors(COMPARED[quantity], outputs, batch)
        if errors is not None:
            rows = errors.difference.reshape(errors.weights.shape[0], -1)
            spread = errors.weights.unsqueeze(1).expand_as(rows)
            found[quantity] = (rows.reshape(-1), spread.reshape(-1))
    return found


def _best_change(
    sums: Sums, seen: Sums, weights: Mapping[str, float], objective: Mapping[str, float]
) -> tuple[torch.Tensor, float, float] | None:
    """The change with the smallest weighted root mean square errors of the validation set, with ridge and factor."""
    shown = {name.rpartition("_")[0]: weight for name, weight in objective.items() if weight}
    shown = {quantity: weight for quantity, weight in shown.items() if quantity in seen and seen[quantity].count}
    used = [quantity for quantity, one in sums.items() if one.count and weights[quantity] > 0.0]
    if not shown or not used:
        return None
    best: tuple[float, torch.Tensor, float, float] | None = None
    for factor, ridge in itertools.product(ENERGY_FACTORS, RIDGES):
        change = solve([(weights[q] * (factor if "energy" in q else 1.0), sums[q]) for q in used], ridge)
        error = sum(weight * math.sqrt(seen[q].mean_square(change)) for q, weight in shown.items())
        if best is None or error < best[0]:
            best = (error, change, ridge, factor)
    return None if best is None else best[1:]


def solve(weighted: Iterable[tuple[float, _Sums]], ridge: float) -> torch.Tensor:
    """Minimise the weighted mean squares plus a ridge on the change, each unknown in units of its own curvature.

    Args:
        weighted: Weight and sums of each quantity.
        ridge: Strength relative to the curvature.

    Returns:
        Change of the unknowns, float64 [p]; 0 where nothing depends on one.
    """
    shares = [(weight / one.count, one) for weight, one in weighted]
    matrix = torch.stack([share * one.matrix for share, one in shares]).sum(0)
    vector = torch.stack([share * one.vector for share, one in shares]).sum(0)
    scale = torch.diagonal(matrix).sqrt()
    inverse = torch.where(scale > 0.0, 1.0 / scale, 0.0)
    values, vectors = torch.linalg.eigh(inverse.unsqueeze(1) * matrix * inverse)
    projected = vectors.T @ (inverse * vector)
    return inverse * (vectors @ (projected / (values.clamp(min=0.0) + ridge)))


@torch.no_grad()
def _objective(model: GraphModel, batches: Iterable[Graph], metrics: Measure, check: Callable[[], object]) -> float:
    """The weighted sum of the metrics over a set; infinite if it has none of their labels."""
    metrics.reset()
    for batch in batches:
        check()
        metrics.update(model(batch), batch)
    value = metrics.epoch_values().get(WEIGHTED_SUM)
    return math.inf if value is None else float(value)
