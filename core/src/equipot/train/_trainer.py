"""Lightning's trainer, with what every run needs: our checkpoints and our record of metrics."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot.config._instantiate import ConfigObjects
from equipot.config._loggers import logger_words
from equipot.config._trainer_rules import FORCED_TRAINER_OPTIONS
from equipot.errors import ConfigError, problem
from equipot.train._checkpoints import AtomicCheckpoints
from equipot.train._loggers import named_loggers
from equipot.train._records import MetricsFile

if TYPE_CHECKING:
    import lightning


@dataclass(frozen=True)
class RunFolder:
    """Where a run writes, and what it goes on from."""

    path: Path
    kept_rows: int | None
    """Rows of an earlier record of metrics that stay; None for all."""
    step: int
    """Step of the run that is resumed, else 0."""


def make_trainer(
    objects: ConfigObjects,
    options: Mapping[str, Any],
    folder: RunFolder,
    callbacks: Callable[[Any, MetricsFile | None], list[Any]],
) -> lightning.Trainer:
    """Build the trainer of a config.

    Args:
        objects: Makes objects of the config.
        options: The section ``trainer``, resolved.
        folder: Of the run.
        callbacks: From those of the config and our record of metrics (None without one) to all callbacks.

    Raises:
        ConfigError: If an option is wrong.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    section = {"default_root_dir": str(folder.path), **options, **FORCED_TRAINER_OPTIONS}
    words = logger_words(section.get("logger", True))
    section["logger"] = True if words else section.get("logger", True)
    target = objects.resolve(section, "trainer")
    given = {key: objects.make(value, f"trainer.{key}") for key, value in section.items() if key != "_target_"}
    raise_problems(objects)
    record = None
    if given["logger"] is True:
        record = MetricsFile(folder.path)
        given["logger"] = [record, *named_loggers(words or (), folder.path, folder.step)]
        record.keep(folder.kept_rows)
    given["callbacks"] = callbacks(given.get("callbacks"), record)
    if given.get("profiler") is None:
        given["profiler"] = _unprofiled()
    _quiet_output(given)
    given["plugins"] = _plugins(listed(given.get("plugins")), folder.path)
    try:
        trainer: lightning.Trainer = target(**given)
    except (MisconfigurationException, ValueError, TypeError, ImportError, RuntimeError) as error:
        raise ConfigError(problem("trainer", " ".join(str(error).split()))) from None
    return trainer


def _unprofiled() -> Any:
    """Lightning's profiler that measures nothing, without the generator in which it runs each hook of each callback.

    Those of a step take as long as its optimizer.
    """
    from lightning.pytorch.profilers import PassThroughProfiler

    nothing = contextlib.nullcontext()

    class Unprofiled(PassThroughProfiler):
        def profile(self, action_name: str) -> Any:
            return nothing

    return Unprofiled()


def _quiet_output(given: dict[str, Any]) -> None:
    """Without a terminal no progress bar, and no summary of modules, unless the config names some; changes options."""
    from lightning.pytorch.callbacks import ModelSummary, ProgressBar

    for name, kind, value in (
        ("progress_bar", ProgressBar, sys.stdout.isatty()),
        ("model_summary", ModelSummary, False),
    ):
        if not any(isinstance(one, kind) for one in given["callbacks"]):
            given.setdefault(f"enable_{name}", value)


def _plugins(plugins: list[Any], folder: Path) -> list[Any]:
    """The trainer's plugins with atomic checkpoints, and on SLURM without a requeue."""
    from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO

    if not any(isinstance(one, CheckpointIO) for one in plugins):
        plugins.append(AtomicCheckpoints(folder))
    if SLURMEnvironment.detect() and not any(isinstance(one, ClusterEnvironment) for one in plugins):
        plugins.append(SLURMEnvironment())
    for plugin in plugins:
        if isinstance(plugin, SLURMEnvironment):
            plugin.auto_requeue = False  # --resume auto is the way to go on there
    return plugins


def listed(given: Any) -> list[Any]:
    """One object or several as a list.

    Args:
        given: One, several, or None for none.
    """
    if given is None:
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]


def raise_problems(objects: ConfigObjects) -> None:
    """Raise a ConfigError with all problems found so far, if there are any.

    Args:
        objects: Makes objects of a config.
    """
    if objects.problems:
        raise ConfigError(objects.problems)
