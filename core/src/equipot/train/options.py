"""Options of core's losses, metrics and training modules, for classes that extend them.

A class of a plugin names a dataclass derived from one of these; see ``equipot.options.Configurable``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from equipot.model._graph_model import GraphModel
from equipot.model._recipe import ModelRecipe
from equipot.options import Options
from equipot.train._measures import Loss, Measure
from equipot.train._parts import ExponentialMovingAverage, GradientCombination, WeightAverage


@dataclass(frozen=True, kw_only=True)
class EnergyLossOptions(Options):
    """Options of losses that compare energies."""

    per_atom_energy: bool = True
    """Compare energies divided by the number of atoms."""


@dataclass(frozen=True, kw_only=True)
class LossOptions(EnergyLossOptions):
    """Options of losses that compare energies, forces and perhaps stress."""

    coeffs: dict[str, float] | None = field(default=None, kw_only=False)
    """Weight of each label (``total_energy``, ``forces``, ``stress``), normalised to sum 1; default: 1 each."""

    per_type_forces_coeffs: dict[str, float] | None = None
    """Weights of the mean squared force errors of each type; default: all atoms alike."""


@dataclass(frozen=True)
class MetricsOptions(Options):
    """Options of metrics."""

    coeffs: dict[str, float | None] | None = None
    """Weights in ``weighted_sum``, normalised to sum 1; default: 1 for the root mean square error of each label."""


@dataclass(frozen=True)
class TrainingOptions(Options):
    """Options of every training module."""

    model: ModelRecipe | GraphModel
    """A recipe, built here, or a built model."""

    loss: Loss | None = None
    """What training minimises."""

    train_metrics: Measure | None = None
    """Errors on the training set, accumulated while training."""

    val_metrics: Measure | None = None
    """Errors on the validation sets."""

    test_metrics: Measure | None = None
    """Errors on the test sets; default: as ``val_metrics``."""

    optimizer: Callable[..., Any] | None = None
    """Any optimizer of ``torch.optim``; gets ``params``, pairs of name and parameter."""


@dataclass(frozen=True)
class ModuleOptions(TrainingOptions):
    """Options of training modules whose learning rate may follow a schedule."""

    lr_scheduler: Callable[..., Any] | Mapping[str, Any] | None = None
    """A scheduler of ``torch.optim.lr_scheduler`` (gets ``optimizer``), or Lightning's mapping ``scheduler``,
    ``monitor``, ``interval``, ``frequency``."""


@dataclass(frozen=True, kw_only=True)
class LightningModuleOptions(ModuleOptions):
    """Options of ``LightningModule``, whose parts are objects."""

    average: WeightAverage | None = None
    """How the weights are averaged; default: not at all."""

    gradients: GradientCombination | None = None
    """How the gradients of the loss's terms are combined; default: that of their weighted sum."""


@dataclass(frozen=True, kw_only=True)
class EMAOptions(ModuleOptions, ExponentialMovingAverage):
    """Options of ``EMALightningModule``: those of its average among them."""
