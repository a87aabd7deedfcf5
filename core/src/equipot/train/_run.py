"""Run a config: check, data, statistics, model, then the stages in order, and a table at the end."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot._processes import say
from equipot.config._check import Checked, check_config
from equipot.config._instantiate import ConfigObjects
from equipot.config._resolve import resolve_phase2
from equipot.config._targets import AllowList
from equipot.config._trainer_rules import FORCED_TRAINER_OPTIONS
from equipot.containers import plain
from equipot.errors import ConfigError, problem
from equipot.files import write_json
from equipot.train._resume import check_same_config, check_same_data, checkpoint_data
from equipot.train._table import results_table

if TYPE_CHECKING:
    import lightning
    from omegaconf import DictConfig

    from equipot.train._module import LightningModule

OBJECTIVE = "val0_epoch/weighted_sum"
"""What the default checkpoint monitors, and what a sweep minimises."""

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

BEST, LAST = "best", "last"
"""Names of the default checkpoints, without ``.ckpt``."""


@dataclass(frozen=True)
class RunOptions:
    """What the command line decides."""

    output: Path
    """Folder of checkpoints, logs and results."""

    resume: Path | None = None
    """Checkpoint of an interrupted run to go on with."""

    allow: tuple[str, ...] = ()
    """Config keys that may differ from those of the run to resume."""

    allow_targets: AllowList = field(default_factory=AllowList)


def run_config(config: DictConfig, options: RunOptions, hydra: DictConfig | None = None) -> dict[str, dict[str, float]]:
    """Run all stages of a composed config.

    Args:
        config: Unresolved, from Hydra.
        options: Of the command line.
        hydra: Hydra's own config.

    Returns:
        Stage to logged metrics.

    Raises:
        ConfigError: Before data are read, with all problems of the config.
        DataError: If the data do not have what the config needs.
    """
    return run_checked(check_config(config, options.allow_targets, hydra), options)


def run_checked(checked: Checked, options: RunOptions) -> dict[str, dict[str, float]]:
    """Run all stages of a config that was checked.

    Args:
        checked: What the check made of it.
        options: Of the command line.

    Returns:
        Stage to logged metrics.

    Raises:
        ConfigError: If the values of statistics, or an object made with them, do not fit.
        DataError: If the data do not have what the config needs.
    """
    with _quiet():
        return _Run(checked, options).run()


class _Run:
    """One run, step by step."""

    def __init__(self, checked: Checked, options: RunOptions) -> None:
        self.checked = checked
        self.options = options
        self.data = checked.data
        self.resolved: dict[str, Any] = {}
        self.results: dict[str, dict[str, float]] = {}

    def run(self) -> dict[str, dict[str, float]]:
        import lightning

        resume = self.options.resume
        saved = None if resume is None else checkpoint_data(resume)
        lightning.seed_everything(self._seed(), workers=True, verbose=False)
        self.data.use_labels(label for required in self.checked.labels.values() for label in required)
        self.data.setup()
        say(str(self.data.census()))
        self._check_labels()
        statistics = self._statistics()
        self.resolved = plain(resolve_phase2(self.checked.config, statistics))
        if saved is not None and resume is not None:
            changes = check_same_config(saved["training_config"], self.resolved, self.options.allow)
            say("\n".join([f"resuming {resume}", *(f"  {text}" for text in changes)]))
            if not any(key.startswith("data") for key in self.options.allow):
                check_same_data(saved["data"], self._data_record(), resume)
        module = self._module()
        trainer = self._trainer(module)
        if trainer.is_global_zero:
            self._write("config.json", self.resolved)
            if self.data.split_indices:
                self._write("splits.json", {"file": self.data.split_source, **self.data.split_indices})
        for stage in self.checked.stages:
            with _interrupts(trainer, self.options.output):
                self._stage(stage, trainer, module)
        if trainer.is_global_zero:
            self._write("results.json", self.results)
            say(results_table(self.results, self.data.units))
        return self.results

    # ------------------------------------------------------------------- data

    def _seed(self) -> int:
        data = self.checked.resolved["data"]
        seed = self.checked.resolved.get("seed", data.get("seed", 1))
        return int(seed) % 2**32

    def _check_labels(self) -> None:
        """Refuse data without the labels that have weight.

        Raises:
            ConfigError: Naming the options that give weight.
        """
        census = self.data.census()
        problems: list[str] = []
        for kind, required in self.checked.labels.items():
            sets = [name for name in census.sets if name.rstrip("0123456789") == kind]
            problems += census.problems(required, sets)
        if problems:
            raise ConfigError(dict.fromkeys(problems))

    def _statistics(self) -> dict[str, Any]:
        """Values of the statistics that the config uses; one process computes, the others wait."""
        if not self.checked.statistics:
            return {}
        values: dict[str, Any] = self.data.statistics(self.checked.statistics)
        lines = [f"  {name}: {_short(value)}" for name, value in values.items()]
        say("\n".join(["statistics of the training set:", *lines]))
        return values

    # ---------------------------------------------------------------- objects

    def _objects(self) -> ConfigObjects:
        return ConfigObjects(self.checked.allow, final=True)

    def _module(self) -> LightningModule:
        """The training module with its model, built with the statistics' values."""
        from equipot.model._recipe import ModelRecipe

        objects = self._objects()
        section = dict(self.resolved["training_module"])
        recipe = objects.make(section.pop("model"), "training_module.model")
        _raise(objects)
        if not isinstance(recipe, ModelRecipe):
            raise ConfigError(problem("training_module.model", "is not a model", got=type(recipe).__name__))
        parts = {
            key: objects.make(value, f"training_module.{key}") for key, value in section.items() if key != "_target_"
        }
        target = objects.resolve(section, "training_module")
        _raise(objects)
        module: LightningModule = target(model=recipe.build(self.data.units), **parts)
        module.training_config = self.resolved
        module.data_record = self._data_record()
        return module

    def _data_record(self) -> dict[str, Any]:
        return {
            "census": self.data.census().to_dict(),
            "files": self.data.file_hashes(),
            "frames": {name: self.data.dataset(name).content_hash() for name in self.data.set_names},
        }

    def _trainer(self, module: LightningModule) -> lightning.Trainer:
        """The trainer with what every run needs: checkpoints, a log and the random state."""
        from lightning.fabric.utilities.exceptions import MisconfigurationException

        objects = self._objects()
        section = {"default_root_dir": str(self.options.output), **self.resolved["trainer"], **FORCED_TRAINER_OPTIONS}
        target = objects.resolve(section, "trainer")
        given = {key: objects.make(value, f"trainer.{key}") for key, value in section.items() if key != "_target_"}
        _raise(objects)
        given["callbacks"] = self._callbacks(given.get("callbacks"), module)
        if given.get("logger", True) is True:
            from lightning.pytorch.loggers import CSVLogger

            given["logger"] = CSVLogger(self.options.output, name="logs", version="")
        try:
            trainer: lightning.Trainer = target(**given)
        except (MisconfigurationException, ValueError, TypeError, ImportError) as error:
            raise ConfigError(problem("trainer", " ".join(str(error).split()))) from None
        return trainer

    def _callbacks(self, given: Any, module: LightningModule) -> list[Any]:
        from lightning.pytorch.callbacks import ModelCheckpoint

        from equipot.train.callbacks import RandomState

        callbacks = given if isinstance(given, list) else [given] if given is not None else []
        for callback in callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(self.options.output)
        enabled = self.resolved["trainer"].get("enable_checkpointing", True) is not False
        if enabled and not any(isinstance(callback, ModelCheckpoint) for callback in callbacks):
            callbacks += self._default_checkpoints(module)
        return [RandomState(), *callbacks]

    def _default_checkpoints(self, module: LightningModule) -> list[Any]:
        from lightning.pytorch.callbacks import ModelCheckpoint

        common: dict[str, Any] = {"dirpath": self.options.output, "enable_version_counter": False, "save_top_k": 1}
        last = ModelCheckpoint(filename=LAST, every_n_epochs=1, save_on_train_epoch_end=True, **common)
        if module.val_metrics is None or not self.data.val_dataloader():
            return [last]
        best = ModelCheckpoint(filename=BEST, monitor=OBJECTIVE, mode="min", save_on_train_epoch_end=False, **common)
        return [best, last]

    # ----------------------------------------------------------------- stages

    def _stage(self, stage: str, trainer: lightning.Trainer, module: LightningModule) -> None:
        resume = None if self.options.resume is None else str(self.options.resume)
        if stage == "train":
            trainer.fit(module, datamodule=self.data, ckpt_path=resume, weights_only=True)
            self.results["train"] = _numbers(trainer.callback_metrics)
            return
        evaluate = trainer.validate if stage == "val" else trainer.test
        path = _best_path(trainer) if "train" in self.results else resume
        logged = evaluate(module, datamodule=self.data, ckpt_path=path, weights_only=True, verbose=False)
        self.results[stage] = _numbers({key: value for part in logged for key, value in part.items()})

    def _write(self, name: str, content: object) -> None:
        """Write JSON into the output folder."""
        self.options.output.mkdir(parents=True, exist_ok=True)
        write_json(self.options.output / name, content)


def objective(results: Mapping[str, Mapping[str, float]]) -> float | None:
    """What a sweep minimises: the weighted sum of the validation metrics, if there is one."""
    for stage in ("val", "train"):
        if OBJECTIVE in results.get(stage, {}):
            return results[stage][OBJECTIVE]
    return None


def _best_path(trainer: lightning.Trainer) -> str | None:
    """The best checkpoint of the run by a monitored metric, else None: the weights as they are."""
    for callback in trainer.checkpoint_callbacks:
        if getattr(callback, "monitor", None) and getattr(callback, "best_model_path", ""):
            return str(callback.best_model_path)  # type: ignore[attr-defined]
    return None


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in metrics.items()}


def _raise(objects: ConfigObjects) -> None:
    if objects.problems:
        raise ConfigError(objects.problems)


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item:.6g}" for key, item in value.items())
    return f"{value:.6g}"


@contextmanager
def _interrupts(trainer: lightning.Trainer, output: Path) -> Iterator[None]:
    """Say how to go on after Ctrl-C, where Lightning ends the process without a word."""
    try:
        yield
    except SystemExit:
        if str(trainer.state.status.value) != "interrupted":
            raise
        last = output / f"{LAST}.ckpt"
        hint = f"go on with: --resume '{last}'" if last.is_file() else "no checkpoint was written yet"
        print(f"interrupted; {hint}", file=sys.stderr)  # noqa: T201 - command line output
        raise SystemExit(EXIT_INTERRUPTED) from None


_HARMLESS: Sequence[str] = (
    r".*does not have many workers.*",
    r".*Skipping val loop.*",
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*Experiment logs directory .* exists and is not empty.*",
    r".*is smaller than the logging interval.*",
    r".*LeafSpec.*is deprecated.*",
    r".*The dirpath has changed from.*",
    r".*lr_scheduler.step.*before .optimizer.step.*",  # a step made up for right after a resume
)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings and notes that a user cannot act on."""
    loggers = [logging.getLogger(f"lightning.{name}") for name in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for pattern in _HARMLESS:
            warnings.filterwarnings("ignore", message=pattern)
        try:
            for logger in loggers:
                logger.setLevel(logging.WARNING)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
