"""Checks between sections: units, radius, monitored names, labels against the model, Hydra's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from equipot.config._instantiate import relocate
from equipot.config._resolve import BAD
from equipot.config._targets import HYDRA_PACKAGES
from equipot.errors import ConfigError, did_you_mean, problem

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from equipot.config._instantiate import Walker
    from equipot.model._recipe import ModelRecipe

MODEL = "training_module.model"

SWAPPING_CALLBACKS = ("StochasticWeightAveraging", "WeightAveraging", "EMAWeightAveraging")
"""Callbacks that exchange the model's weights, which the EMA copy replaces."""

FORCED_TRAINER_OPTIONS: dict[str, object] = {
    "inference_mode": False,
    "use_distributed_sampler": False,
    "num_sanity_val_steps": 0,
}
"""What training always runs with: forces need gradients, and batches are the data module's."""


def kind_problems(targets: Mapping[str, Any]) -> Iterator[str]:
    """Sections whose target is of another kind."""
    kinds = (
        ("trainer", "Trainer", "lightning.Trainer"),
        ("training_module", "LightningModule", "equipot.train.EMALightningModule"),
        ("data", "LightningDataModule", "equipot.data.ASEDataModule"),
    )
    for section, base, example in kinds:
        target = targets.get(section)
        if target is not None and base not in [item.__name__ for item in getattr(target, "__mro__", ())]:
            name = f"{target.__module__}.{target.__qualname__}"
            yield problem(f"{section}._target_", f"must be a {base}", got=name, hint=f"for example {example}")


def trainer_problems(resolved: Mapping[str, Any], targets: Mapping[str, Any]) -> Iterator[str]:
    """Trainer options that training sets itself, and callbacks that swap weights."""
    trainer = resolved.get("trainer")
    if not isinstance(trainer, dict):
        return
    for name, value in FORCED_TRAINER_OPTIONS.items():
        if name in trainer and trainer[name] not in (value, BAD):
            yield problem(f"trainer.{name}", f"is always {value}", got=trainer[name], hint="remove it")
    for path, target in targets.items():
        names = [base.__name__ for base in getattr(target, "__mro__", ())]
        if path.startswith("trainer.callbacks") and set(names) & set(SWAPPING_CALLBACKS):
            yield problem(
                path,
                "swaps the model's weights",
                got=target.__name__,
                hint="use training_module: {_target_: equipot.train.EMALightningModule}",
            )


def module_problems(
    resolved: Mapping[str, Any], walker: Walker, recipe: ModelRecipe | None, stages: list[str]
) -> Iterator[str]:
    """What the stages need, labels that the model cannot predict, monitored names."""
    module = resolved.get("training_module")
    if not isinstance(module, dict) or "_target_" not in module:
        return
    needed = {"train": ("loss", "optimizer"), "val": ("val_metrics",), "test": ("test_metrics",)}
    for stage in stages:
        for name in needed.get(stage, ()):
            given = module.get(name) or (name == "test_metrics" and module.get("val_metrics"))
            if not given:
                yield problem(f"training_module.{name}", "required option is missing", hint=f"run has {stage!r}")
    yield from _prediction_problems(walker, recipe)
    yield from _scheduler_problems(module, walker)
    yield from _monitor_problems(resolved, walker)


_MEASURES = ("loss", "train_metrics", "val_metrics", "test_metrics")


def measure_problems(walker: Walker, recipe: ModelRecipe, units: Any) -> Iterator[str]:
    """Losses and metrics against the model's types, which they learn here."""
    try:
        type_names = recipe.info(units).type_names
    except ConfigError:
        return  # told where data and model are compared
    for name in _MEASURES:
        path = f"training_module.{name}"
        measure: Any = walker.built.get(path)
        try:
            if hasattr(measure, "bind"):
                measure.bind(type_names)
        except ConfigError as error:
            yield from (relocate(text, type(measure), path) for text in error.problems)


def callback_problems(walker: Walker) -> Iterator[str]:
    """Callbacks that change or read the loss, against the loss."""
    loss = walker.built.get("training_module.loss")
    for path, callback in walker.built.items():
        if loss is None or not path.startswith("trainer.callbacks") or not hasattr(callback, "check_loss"):
            continue
        try:
            callback.check_loss(loss)
        except ConfigError as error:
            yield from (relocate(text, type(callback), path) for text in error.problems)


def _prediction_problems(walker: Walker, recipe: ModelRecipe | None) -> Iterator[str]:
    if getattr(recipe, "do_derivatives", True):
        return
    for name in _MEASURES:
        measure = walker.built.get(f"training_module.{name}")
        derived = [label for label in getattr(measure, "labels", ()) if label in ("forces", "stress", "virial")]
        if derived:
            energy_only = type(measure).__name__.replace("ForceStress", "Only").replace("Force", "Only")
            hint = f"use {energy_only}, or do_derivatives: true"
            yield problem(
                f"training_module.{name}",
                f"needs {' and '.join(derived)}, which an energy-only model does not predict",
                hint=hint,
            )


def needed_labels(walker: Walker, stages: list[str]) -> dict[str, dict[str, str]]:
    """Labels with weight in each kind of set, with the option that gives the weight."""
    measures = {"train": ["loss"], "val": ["val_metrics"], "test": ["test_metrics"]}
    if "training_module.test_metrics" not in walker.built:
        measures["test"] = ["val_metrics"]
    needed: dict[str, dict[str, str]] = {}
    for kind, names in measures.items():
        if kind not in stages and not (kind == "val" and "train" in stages):
            continue
        found = {}
        for name in names:
            path = f"training_module.{name}"
            for label in getattr(walker.built.get(path), "labels", ()):
                found[label] = path
        needed[kind] = found
    return needed


def logged_names(walker: Walker, data: Mapping[str, Any]) -> list[str]:
    """Names that training will log, as far as the config tells."""
    names: list[str] = []
    for option, prefixes in (
        ("loss", ("train_loss_step", "train_loss_epoch")),
        ("train_metrics", ("train_metric_step", "train_metric_epoch")),
        ("val_metrics", tuple(f"val{index}_epoch" for index in range(_num_val_sets(data)))),
    ):
        measure = walker.built.get(f"training_module.{option}")
        names += [f"{prefix}/{key}" for prefix in prefixes for key in getattr(measure, "names", ())]
    return names


def _num_val_sets(data: Mapping[str, Any]) -> int:
    """Validation sets that the data section names: one a file or list of files, one from a split."""
    files = data.get("val_file_path")
    split = data.get("split_dataset")
    named = len(files) if isinstance(files, list) else int(files is not None)
    return named + int(isinstance(split, dict) and "val" in split)


def _scheduler_problems(module: Mapping[str, Any], walker: Walker) -> Iterator[str]:
    node = module.get("lr_scheduler")
    if not isinstance(node, dict):
        return
    path = "training_module.lr_scheduler"
    keys = ("scheduler", "interval", "frequency", "monitor", "strict", "name", "reduce_on_plateau")
    if "_target_" in node:
        if _is_plateau(walker.targets.get(path)):
            hint = "write lr_scheduler: {scheduler: {_target_: …}, monitor: val0_epoch/weighted_sum}"
            yield problem(path, "ReduceLROnPlateau needs a metric to monitor", hint=hint)
        return
    for key in node:
        if key not in keys:
            yield problem(
                f"{path}.{key}", "unknown option", hint=did_you_mean(key, keys) or f"options: {', '.join(keys)}"
            )
    if "scheduler" not in node:
        yield problem(f"{path}.scheduler", "required option is missing", hint="a mapping with _target_")
    elif _is_plateau(walker.targets.get(f"{path}.scheduler")) and "monitor" not in node:
        yield problem(
            f"{path}.monitor", "ReduceLROnPlateau needs a metric to monitor", hint="for example val0_epoch/weighted_sum"
        )
    interval = node.get("interval", "epoch")
    if interval not in ("epoch", "step", BAD):
        yield problem(f"{path}.interval", "must be 'epoch' or 'step'", got=interval)


def _is_plateau(target: Any) -> bool:
    return getattr(target, "__name__", "") == "ReduceLROnPlateau"


def _monitor_problems(resolved: Mapping[str, Any], walker: Walker) -> Iterator[str]:
    """Monitored names that nothing will log; silent if some measure itself has a problem."""
    module = resolved["training_module"]
    if any(module.get(name) is not None and f"training_module.{name}" not in walker.built for name in _MEASURES):
        return
    data = resolved.get("data")
    known = logged_names(walker, data if isinstance(data, dict) else {})
    for path, name in _monitors(resolved):
        if name not in known:
            hint = did_you_mean(name, known) or f"there are {', '.join(known) or 'none'}"
            yield problem(path, "no such metric is logged", got=name, hint=hint)


def _monitors(resolved: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    scheduler = resolved["training_module"].get("lr_scheduler")
    if isinstance(scheduler, dict) and isinstance(scheduler.get("monitor"), str):
        yield "training_module.lr_scheduler.monitor", scheduler["monitor"]
    trainer = resolved.get("trainer")
    callbacks = trainer.get("callbacks") if isinstance(trainer, dict) else None
    for index, callback in enumerate(callbacks if isinstance(callbacks, list) else []):
        if isinstance(callback, dict) and isinstance(callback.get("monitor"), str):
            yield f"trainer.callbacks.{index}.monitor", callback["monitor"]


def binding_problems(data: Any, recipe: ModelRecipe) -> list[str]:
    """Units, radius and types of the model against the data module, which learns them here."""
    units = data.units
    problems = []
    unit_problems = getattr(recipe, "unit_problems", None)
    if unit_problems is not None:
        problems += [f"{MODEL}.{text}" for text in unit_problems(units)]
    try:
        data.bind(recipe.info(units))
    except ConfigError as error:
        problems += [relocate(text, type(data), "data") for text in error.problems]
    return problems


# ------------------------------------------------------------------ Hydra's own section

_LOGGING_CLASS = re.compile(r"logging(\.handlers)?\.[A-Z]\w*|colorlog\.\w+")


def hydra_problems(hydra: DictConfig) -> list[str]:
    """Targets in the ``hydra:`` section that are neither Hydra's nor an installed Hydra plugin's."""
    from omegaconf import OmegaConf

    container = OmegaConf.to_container(hydra, resolve=False)
    return list(_hydra_walk(container, ""))


def _hydra_walk(value: Any, path: str) -> Iterator[str]:
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        place = f"{path}.{key}" if path else str(key)
        if key == "_target_" and not _is_hydra_target(item):
            yield problem(
                place, "is not on the list of allowed targets", got=item, hint="only Hydra and installed Hydra plugins"
            )
        elif "_logging." in place and key in ("()", "class") and not _LOGGING_CLASS.fullmatch(str(item)):
            yield problem(place, "must be a class of logging", got=item)
        else:
            yield from _hydra_walk(item, place)


def _is_hydra_target(target: object) -> bool:
    text = str(target)
    dotted = all(part.isidentifier() for part in text.split("."))
    return dotted and any(text.startswith(package + ".") for package in HYDRA_PACKAGES)
