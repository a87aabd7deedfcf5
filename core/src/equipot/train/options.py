"""Options of core's losses, metrics and training modules, for classes that extend them.

A plugin derives a dataclass from one of these and names it in its class; see ``equipot.options.Configurable``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

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

    huber: Annotated[float, Field(gt=0)] | dict[str, Annotated[float, Field(gt=0)]] | None = None
    """Errors beyond this size count linearly instead of squared, so that few large ones do not decide: by label
    (``total_energy``, per atom if energies are compared so; ``forces``; ``stress``; …), in its unit. A number is that
    of forces, and a tenth of it holds for energies and stress; other labels must be named. Default: none do."""

    def huber_of(self, labels: Iterable[str]) -> dict[str, float]:
        """The sizes by label.

        Args:
            labels: Those that the loss compares; of others only sizes that are given are there.
        """
        given = self.huber
        if given is None or isinstance(given, dict):
            return dict(given or {})
        return {label: given if label == "forces" else given / 10.0 for label in labels}


@dataclass(frozen=True, kw_only=True)
class LossOptions(EnergyLossOptions):
    """Options of losses that compare energies, forces and perhaps stress and other labels."""

    coeffs: dict[str, float] | None = field(default=None, kw_only=False)
    """Weight of each label (``total_energy``, ``forces``, ``stress``, or any other that is declared, e.g. ``dipole``),
    normalised to sum 1; default: 1 for each of those that the loss is named for."""

    per_type_forces_coeffs: dict[str, float] | None = None
    """Weight of each type's mean squared force error; by default every atom has the same weight."""


@dataclass(frozen=True)
class MetricsOptions(Options):
    """Options of metrics."""

    coeffs: dict[str, float | None] | None = None
    """Weights in ``weighted_sum``, normalised to sum 1; default: 1 for the root mean square error of each label."""

    labels: list[str] | None = None
    """Further labels whose errors are measured, e.g. ``[dipole]``, besides those that the metrics are named for."""


@dataclass(frozen=True)
class TrainingOptions(Options):
    """Options of every training module."""

    model: ModelRecipe | GraphModel
    """The model to train: a recipe to build it from, or a model that is built already."""

    loss: Loss | None = None
    """Loss to minimise; required for training."""

    train_metrics: Measure | None = None
    """Errors on the training set, accumulated during training."""

    val_metrics: Measure | None = None
    """Errors on the validation sets."""

    test_metrics: Measure | None = None
    """Errors on the test sets; default: the same as ``val_metrics``."""

    optimizer: Callable[..., Any] | None = None
    """Any optimizer of ``torch.optim``; it is called with ``params``, pairs of name and parameter."""

    automatic_modifiers: bool = field(default=True, kw_only=True)
    """Apply what installed plugins declare as automatic, such as compiled kernels: faster, with the same results up to
    rounding."""


@dataclass(frozen=True)
class ModuleOptions(TrainingOptions):
    """Options of training modules whose learning rate may follow a schedule."""

    lr_scheduler: Callable[..., Any] | Mapping[str, Any] | None = None
    """A scheduler of ``torch.optim.lr_scheduler`` (gets ``optimizer``), or Lightning's mapping ``scheduler``,
    ``monitor``, ``interval``, ``frequency``."""


@dataclass(frozen=True, kw_only=True)
class LightningModuleOptions(ModuleOptions):
    """Options of ``LightningModule``."""

    average: WeightAverage | None = None
    """How the weights are averaged; default: not at all."""

    gradients: GradientCombination | None = None
    """How the gradients of the loss's terms are combined; default: the gradient of their weighted sum."""


@dataclass(frozen=True, kw_only=True)
class EMAOptions(ModuleOptions, ExponentialMovingAverage):
    """Options of ``EMALightningModule``, including those of its average."""
