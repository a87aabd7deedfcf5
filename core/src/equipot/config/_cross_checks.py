"""Checks between sections: units, radii, labels and monitored names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import lightning
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from equipot.config._instantiate import ConfigObjects
from equipot.config._resolve import BAD
from equipot.config._sections import LOSS, MEASURES, MODEL
from equipot.containers import leaves
from equipot.declarations import ModifierEntry
from equipot.errors import ConfigError, problem, problems_of, relocate, unknown
from equipot.fields import LABELS
from equipot.model._context import ModelInfo
from equipot.model._modifiers import DERIVATIVES
from equipot.model._recipe import ModelBuilder, ModelRecipe
from equipot.plugins import plugins
from equipot.units import Units


@runtime_checkable
class Measure(Protocol):
    """A loss or metrics like ``equipot.train.Metrics``; others are not checked."""

    labels: tuple[str, ...]
    names: tuple[str, ...]

    def bind(self, type_names: Sequence[str]) -> None:
        """Take the model's types."""


@runtime_checkable
class DataSection(Protocol):
    """A data module like ``equipot.data.DataModule``."""

    units: Units

    def bind(self, info: ModelInfo) -> None:
        """Take the model's types and radii."""

    def expected_sets(self) -> list[str] | None:
        """Names of its sets, None where only reading the data tells."""


@runtime_checkable
class LossReader(Protocol):
    """A callback that reads or changes the loss."""

    def check_loss(self, loss: Any) -> None:
        """Refuse an unsuitable loss."""


def kind_problems(targets: Mapping[str, Any]) -> Iterator[str]:
    """Find sections whose target is of the wrong kind."""
    kinds = (
        ("trainer", lightning.Trainer, "lightning.Trainer"),
        ("training_module", lightning.LightningModule, "equipot.train.EMALightningModule"),
        ("data", lightning.LightningDataModule, "equipot.data.ASEDataModule"),
    )
    for section, base, example in kinds:
        target = targets.get(section)
        if target is not None and not (inspect.isclass(target) and issubclass(target, base)):
            name = f"{target.__module__}.{target.__qualname__}"
            yield problem(f"{section}._target_", f"must be a {base.__name__}", got=name, hint=f"for example {example}")


def module_problems(
    resolved: Mapping[str, Any], objects: ConfigObjects, data: Any, recipe: ModelRecipe | None, stages: list[str]
) -> Iterator[str]:
    """Find missing options of the stages, labels that the model cannot predict, and unknown monitored names."""
    module = resolved.get("training_module")
    if not isinstance(module, dict) or "_target_" not in module:
        return
    needed = {"train": ("loss", "optimizer"), "val": ("val_metrics",), "test": ("test_metrics",)}
    for stage in stages:
        for name in needed.get(stage, ()):
            if not module.get(name) and not (name == "test_metrics" and module.get("val_metrics")):
                yield problem(f"training_module.{name}", "required option is missing", hint=f"run has {stage!r}")
    energies_only = list(_prediction_problems(objects, recipe))
    yield from energies_only
    if not energies_only and recipe is not None:
        yield from _output_problems(resolved, objects, recipe, getattr(data, "units", "metal"))
    yield from _scheduler_problems(module, objects)
    yield from _monitor_problems(resolved, objects, data)


def _measures(objects: ConfigObjects) -> dict[str, Measure]:
    """Losses and metrics of the training module, by option."""
    found = {name: objects.built.get(f"training_module.{name}") for name in MEASURES}
    return {name: one for name, one in found.items() if isinstance(one, Measure)}


def measure_problems(objects: ConfigObjects, recipe: ModelRecipe, units: Units) -> Iterator[str]:
    """Give losses and metrics the model's types, and find what does not fit."""
    try:
        type_names = recipe.info(units).type_names
    except ConfigError:
        return  # reported by binding_problems
    for name, measure in _measures(objects).items():
        for text in problems_of(partial(measure.bind, type_names)):
            yield relocate(text, type(measure).__name__, f"training_module.{name}")


def callback_problems(objects: ConfigObjects) -> Iterator[str]:
    """Find callbacks that do not fit the loss they read or change."""
    loss = objects.built.get(LOSS)
    for path, callback in objects.built.items():
        if loss is not None and path.startswith("trainer.callbacks") and isinstance(callback, LossReader):
            for text in problems_of(partial(callback.check_loss, loss)):
                yield relocate(text, type(callback).__name__, path)


def _prediction_problems(objects: ConfigObjects, recipe: ModelRecipe | None) -> Iterator[str]:
    if not isinstance(recipe, ModelBuilder) or recipe.do_derivatives:
        return
    for name, measure in _measures(objects).items():
        if derived := [label for label in measure.labels if label in DERIVATIVES]:
            what = f"needs {' and '.join(derived)}, which an energy-only model does not predict"
            hint = "use an EnergyOnly class, or do_derivatives: true"
            yield problem(f"training_module.{name}", what, hint=hint)


def _output_problems(
    resolved: Mapping[str, Any], objects: ConfigObjects, recipe: ModelRecipe, units: Units
) -> Iterator[str]:
    """Find labels that the model does not predict: of a loss or metrics, or read and not used by anything else."""
    wanted = {f"training_module.{name}": list(one.labels) for name, one in _measures(objects).items()}
    wanted |= {f"data.labels.{label}": [label] for label in _unused_labels(resolved)}
    wanted = {place: [label for label in labels if label not in _OF_ENERGIES] for place, labels in wanted.items()}
    outputs = _outputs(recipe, units) if any(wanted.values()) else ()
    for place, labels in wanted.items():
        missing = [label for label in labels if outputs is not None and label not in outputs]
        if missing:
            heads = [
                one.entry.name
                for one in plugins().available("modifiers")
                if isinstance(one.entry, ModifierEntry) and set(missing) <= set(one.entry.provides)
            ]
            hint = f"add the modifier {' or '.join(heads)} to the model" if heads else "add a head that predicts it"
            named = f"needs {' and '.join(missing)}, which" if place.startswith("training") else "is a label that"
            yield problem(place, f"{named} the model does not predict", hint=f"{hint}, or take it out")


_OF_ENERGIES = ("total_energy", "atomic_energy", *DERIVATIVES)
"""What is known without building the model."""


def _unused_labels(resolved: Mapping[str, Any]) -> list[str]:
    """Labels that the data section reads, and nothing else in the config names."""
    data: Any = resolved.get("data")
    labels = data.get("labels") if isinstance(data, dict) else None
    if not isinstance(labels, dict):
        return []
    rest = {**resolved, "data": {key: value for key, value in data.items() if key not in ("labels", "weights")}}
    words = {word for path, value in leaves(rest) for word in (*path.split("."), value) if isinstance(word, str)}
    return [label for label in labels if label in LABELS and label not in words]


def _outputs(recipe: ModelRecipe, units: Units) -> tuple[str, ...] | None:
    """What the model predicts and reads; None if it cannot be built, of which its building says more."""
    try:
        with torch.random.fork_rng(devices=[]):
            info = recipe.build(units).info
    except Exception:  # noqa: BLE001 - with sample statistics a builder may fail in any way
        return None
    return (*info.outputs, *info.inputs)


def needed_labels(objects: ConfigObjects, stages: list[str]) -> dict[str, dict[str, str]]:
    """Labels with weight in each part of the data, and the option that gives the weight."""
    measures = _measures(objects)
    test = "test_metrics" if "training_module.test_metrics" in objects.built else "val_metrics"
    needed: dict[str, dict[str, str]] = {}
    for kind, name in (("train", "loss"), ("val", "val_metrics"), ("test", test)):
        if kind in stages or (kind == "val" and "train" in stages):
            labels = measures[name].labels if name in measures else ()
            needed[kind] = dict.fromkeys(labels, f"training_module.{name}")
    return needed


def _logged_names(objects: ConfigObjects, val_sets: list[str]) -> list[str]:
    """Names that training will log."""
    measures = _measures(objects)
    prefixes = {
        "loss": ("train_loss_step", "train_loss_epoch"),
        "train_metrics": ("train_metric_step", "train_metric_epoch"),
        "val_metrics": tuple(f"{name}_epoch" for name in val_sets),
    }
    return [
        f"{prefix}/{key}"
        for option, choices in prefixes.items()
        if option in measures
        for prefix in choices
        for key in measures[option].names
    ]


_SCHEDULER = "training_module.lr_scheduler"
_SCHEDULER_KEYS = ("scheduler", "interval", "frequency", "monitor", "strict", "name", "reduce_on_plateau")
"""Keys of the mapping that Lightning accepts for a scheduler."""


def _scheduler_problems(module: Mapping[str, Any], objects: ConfigObjects) -> Iterator[str]:
    node = module.get("lr_scheduler")
    if not isinstance(node, dict):
        return
    needs_metric = "ReduceLROnPlateau needs a metric to monitor"
    if "_target_" in node:
        if _is_plateau(objects.targets.get(_SCHEDULER)):
            hint = "write lr_scheduler: {scheduler: {_target_: …}, monitor: val0_epoch/weighted_sum}"
            yield problem(_SCHEDULER, needs_metric, hint=hint)
        return
    yield from (unknown(f"{_SCHEDULER}.{key}", key, _SCHEDULER_KEYS) for key in node if key not in _SCHEDULER_KEYS)
    if "scheduler" not in node:
        yield problem(f"{_SCHEDULER}.scheduler", "required option is missing", hint="a mapping with _target_")
    elif _is_plateau(objects.targets.get(f"{_SCHEDULER}.scheduler")) and "monitor" not in node:
        yield problem(f"{_SCHEDULER}.monitor", needs_metric, hint="for example val0_epoch/weighted_sum")
    interval = node.get("interval", "epoch")
    if interval not in ("epoch", "step", BAD):
        yield problem(f"{_SCHEDULER}.interval", "must be 'epoch' or 'step'", got=interval)


def _is_plateau(target: Any) -> bool:
    return inspect.isclass(target) and issubclass(target, ReduceLROnPlateau)


def _monitor_problems(resolved: Mapping[str, Any], objects: ConfigObjects, data: Any) -> Iterator[str]:
    """Find monitored names that are never logged, unless a measure itself has a problem."""
    module = resolved["training_module"]
    if any(module.get(name) is not None and f"training_module.{name}" not in objects.built for name in MEASURES):
        return
    sets = data.expected_sets() if isinstance(data, DataSection) else None
    known = _logged_names(objects, ["val0"] if sets is None else [name for name in sets if name.startswith("val")])
    for path, name in _monitors(resolved):
        logged = name if sets is not None else re.sub(r"^val\d+_", "val0_", name)  # any set may exist
        if logged not in known:
            yield unknown(path, name, known, "metric")


def _monitors(resolved: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    scheduler = resolved["training_module"].get("lr_scheduler")
    if isinstance(scheduler, dict) and isinstance(scheduler.get("monitor"), str):
        yield f"{_SCHEDULER}.monitor", scheduler["monitor"]
    trainer = resolved.get("trainer")
    callbacks = trainer.get("callbacks") if isinstance(trainer, dict) else None
    for index, callback in enumerate(callbacks if isinstance(callbacks, list) else []):
        if isinstance(callback, dict) and isinstance(callback.get("monitor"), str):
            yield f"trainer.callbacks.{index}.monitor", callback["monitor"]


def binding_problems(data: DataSection, recipe: ModelRecipe) -> list[str]:
    """Give the data module the model's types and radii, and find what does not fit, units included."""
    problems = recipe.unit_problems(data.units) if isinstance(recipe, ModelBuilder) else ()
    bound = problems_of(lambda: data.bind(recipe.info(data.units)))
    return [f"{MODEL}.{text}" for text in problems] + [relocate(text, type(data).__name__, "data") for text in bound]
