"""What training requires of Lightning's trainer and callbacks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from equipot.config._loggers import logger_problems
from equipot.config._resolve import BAD
from equipot.errors import problem

FORCED_TRAINER_OPTIONS: dict[str, object] = {
    "inference_mode": False,
    "use_distributed_sampler": False,
    "num_sanity_val_steps": 0,
}
"""Options that are always set: forces need gradients, and the data module makes the batches."""


LARGEST = {"devices": 1_024, "num_nodes": 16_384}
"""Numbers of processes on a node, and of nodes, that are taken for mistakes beyond; Lightning would start them."""

UNLIMITED = ("max_epochs", "max_steps")
"""Limits for which -1 means none; Lightning refuses less, but only after the data are read."""


def swaps_weights(callback: type) -> bool:
    """Whether a callback class swaps the model's weights; in equipot the training module averages them instead."""
    from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging

    return issubclass(callback, (StochasticWeightAveraging, WeightAveraging))


def trainer_problems(resolved: Mapping[str, Any], targets: Mapping[str, Any]) -> Iterator[str]:
    """Find trainer options that training sets itself, and callbacks that swap weights."""
    trainer = resolved.get("trainer")
    if not isinstance(trainer, dict):
        return
    for name, value in FORCED_TRAINER_OPTIONS.items():
        if name in trainer and trainer[name] not in (value, BAD):
            yield problem(f"trainer.{name}", f"is always {value}", got=trainer[name], hint="remove it")
    yield from logger_problems(trainer.get("logger"))
    for name, largest in LARGEST.items():
        value = trainer.get(name)
        number = int(value) if isinstance(value, str) and value.isdecimal() else value
        if isinstance(number, int) and number > largest:
            yield problem(f"trainer.{name}", f"must be at most {largest}", got=value)
    for name in UNLIMITED:
        value = trainer.get(name)
        if isinstance(value, int) and value < -1:
            yield problem(f"trainer.{name}", "must not be negative", got=value, hint="-1 means no limit")
    for path, target in targets.items():
        if path.startswith("trainer.callbacks") and inspect.isclass(target) and swaps_weights(target):
            hint = "use training_module: {_target_: equipot.train.EMALightningModule}"
            yield problem(path, "swaps the model's weights", got=target.__name__, hint=hint)
