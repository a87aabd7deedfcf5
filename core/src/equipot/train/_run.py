"""Run a config: check, data, statistics, model, then the stages in order, and a table at the end."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot._interrupts import Interrupted
from equipot._processes import has_peers, is_first, say
from equipot.artifacts._training_labels import label_facts
from equipot.config._check import Checked, check_config
from equipot.config._instantiate import ConfigObjects
from equipot.config._resolve import resolve_phase2
from equipot.config._targets import AllowList
from equipot.containers import plain
from equipot.errors import ConfigError, DataError, problem
from equipot.files import remove_unfinished, write_json
from equipot.train._atoms import AtomEnergies
from equipot.train._checkpoints import (
    BEST,
    LAST,
    OBJECTIVE,
    REQUEUED,
    RunCheckpoints,
    best_checkpoint,
    carry_best,
    carry_last,
    checkpoint_to_load,
)
from equipot.train._data import judge_data, read_data, refusal, statistics_of
from equipot.train._environment import check_environment, hidden, stored_config
from equipot.train._launcher import Launcher, end_together, watch_processes
from equipot.train._loggers import remove_events
from equipot.train._progress import EpochLines, ending, note
from equipot.train._quiet import quiet
from equipot.train._records import MetricsFile, Rows, carry_rows
from equipot.train._resume import (
    check_position,
    check_same_config,
    check_same_data,
    checkpoint_data,
    newest_checkpoint,
)
from equipot.train._signals import Interruption, exit_after
from equipot.train._table import results_table
from equipot.train._trainer import RunFolder, listed, make_trainer, raise_problems

if TYPE_CHECKING:
    import lightning
    from omegaconf import DictConfig

    from equipot.data import DataModule
    from equipot.data.checks import Verdict
    from equipot.train._module import LightningModule


AUTO = "auto"
"""What ``--resume`` takes instead of a file: the newest checkpoint in the folder of the run, if there is one."""


@dataclass(frozen=True)
class RunOptions:
    """What the command line decides."""

    output: Path
    """Folder of checkpoints, logs and results."""

    resume: Path | None = None
    """Checkpoint of an interrupted run to go on with."""

    auto: bool = False
    """Whether to go on from the newest checkpoint in ``output``, if there is one."""

    allow: tuple[str, ...] = ()
    """Config keys that may differ from those of the run to resume."""

    allow_targets: AllowList = field(default_factory=AllowList)

    store_env: bool = False
    """Whether values from the environment are stored in checkpoints and in ``config.json``."""


def run_config(config: DictConfig, options: RunOptions) -> dict[str, dict[str, float]]:
    """Run all stages of a composed config.

    Args:
        config: Unresolved, from Hydra.
        options: Of the command line.

    Returns:
        Stage to logged metrics.

    Raises:
        ConfigError: Before data are read, with all problems of the config.
        DataError: If the data do not have what the config needs.
    """
    return run_checked(check_config(config, options.allow_targets), options)


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
    if options.auto:
        options = replace(options, resume=newest_checkpoint(options.output))
    with quiet():
        return _Run(checked, options).run()


class _Run:
    """One run, step by step."""

    def __init__(self, checked: Checked, options: RunOptions) -> None:
        self.checked = checked
        self.options = options
        self.resolved: dict[str, Any] = {}
        """The config with all values, also those of statistics."""
        self.stored: dict[str, Any] = {}
        """The same as files of the run have it: with references to the environment instead of its values."""
        self.results: dict[str, dict[str, float]] = {}
        self.interruption = Interruption()
        self.checkpoints: RunCheckpoints | None = None
        self.atoms: AtomEnergies | None = None
        self.launcher: Launcher | None = None
        self.refused = ""
        """Why the data are refused, where other processes wait for this one; see ``_refuse``."""
        self.resumed_step = 0

    @property
    def data(self) -> DataModule:
        """The data section; another one as soon as the elements of the data are the types."""
        return self.checked.data

    def run(self) -> dict[str, dict[str, float]]:
        """All stages; a signal ends them.

        Raises:
            SystemExit: After a signal, with the exit code that shells give.
        """
        with self.interruption.handled():
            try:
                return self._run()
            except Interrupted as interrupted:
                end_together(interrupted, self.launcher)
                raise exit_after(interrupted, self.options.output) from None
            except BaseException as error:
                end_together(error, self.launcher)
                raise

    def _run(self) -> dict[str, dict[str, float]]:
        import lightning

        saved = self._saved()
        check_environment([] if self.options.store_env else self.checked.environment)
        lightning.seed_everything(self._seed(), workers=True, verbose=False)
        self.checked = read_data(self.checked)
        verdict = self._judge()
        self._resolve(statistics_of(self.checked))
        if saved is not None:
            self._check_resumed(saved)
        module = self._module()
        self._check_shifts(module, verdict)
        if is_first():
            self._prepare(saved)
        trainer = self._trainer()
        self.launcher = watch_processes(trainer)
        if trainer.is_global_zero:
            self._write_start()
        for stage in self.checked.stages:
            self._stage(stage, trainer, module)
        if trainer.is_global_zero:
            self._finish(module, verdict)
        return self.results

    def _seed(self) -> int:
        data = self.checked.resolved["data"]
        seed = self.checked.resolved.get("seed", data.get("seed", 1))
        return int(seed) % 2**32

    def _resolve(self, statistics: Mapping[str, Any]) -> None:
        """Fill the values of statistics into the config, and say which rule gave the energies of atoms."""
        self.atoms = AtomEnergies(self.data, statistics)
        _say_each(self.atoms.lines())
        self.resolved = plain(resolve_phase2(self.checked.config, statistics))
        store_all = self.options.store_env
        self.stored = self.resolved if store_all else stored_config(self.checked, self.resolved, statistics)

    # ----------------------------------------------------------------- resuming

    def _saved(self) -> Mapping[str, Any] | None:
        """Contents of the checkpoint to go on from, None without one; its position must be one to train on from."""
        resume = self.options.resume
        if resume is None:
            return None
        saved = checkpoint_data(resume)
        if "train" in self.checked.stages:
            check_position(saved, resume)
            self.resumed_step = _step_of(saved)
        return saved

    def _check_resumed(self, saved: Mapping[str, Any]) -> None:
        """Refuse to go on with another config or with other data, unless these differences are allowed."""
        resume, allow = self.options.resume, self.options.allow
        if resume is None:
            return
        changes = check_same_config(saved["training_config"], self.stored, allow)
        note(self.options.output, "\n".join([f"resuming {resume}", *(f"  {text}" for text in changes)]))
        if not any(key.startswith("data") for key in allow):
            check_same_data(saved["data"], self._data_record(), resume)

    def _prepare(self, saved: Mapping[str, Any] | None) -> None:
        """Take what an earlier run left out of the way, and best checkpoint and records of the resumed one along."""
        if "train" not in self.checked.stages:
            return
        folder, resume = self.options.output, self.options.resume
        remove_unfinished(folder)
        if saved is None or resume is None:
            for path in (folder / BEST, folder / LAST, folder / "results.json", *folder.glob(REQUEUED)):
                path.unlink(missing_ok=True)
            remove_events(folder)
        else:
            carry_best(resume, folder, _step_of(saved))
            carry_last(resume, folder)
            carry_rows(resume.parent, folder)

    # ------------------------------------------------------------------- data

    def _judge(self) -> Verdict:
        """Judge the data, and stop where they cannot be right."""
        verdict = judge_data(self.checked)
        if verdict.failures:
            self._refuse(refusal(verdict))
        return verdict

    def _refuse(self, text: str) -> None:
        """Stop, or if other processes would wait for this one, stop with them as soon as all are connected.

        Raises:
            DataError: If there are no others.
        """
        if not has_peers():
            raise DataError(text)
        self.refused = self.refused or text

    def _check_shifts(self, module: LightningModule, verdict: Verdict) -> None:
        """Say where the model's energies of atoms do not fit the data; shifts from statistics are known only now.

        Raises:
            DataError: If the data section is strict and they do not.
        """
        if self.atoms is None or not is_first():
            return
        said = [*(one.code for one in verdict.findings), *(self.data.options.accept or ())]
        found = self.atoms.check_shifts(module.model, said)
        if found and verdict.strict:
            self._refuse("\n".join(problem("data", one) for one in found))
        _say_each(found)

    # ---------------------------------------------------------------- objects

    def _objects(self) -> ConfigObjects:
        return ConfigObjects(self.checked.allow, final=True)

    def _module(self) -> LightningModule:
        """The training module with its model, built with the statistics' values."""
        from equipot.model._recipe import ModelRecipe

        objects = self._objects()
        section = dict(self.resolved["training_module"])
        recipe = objects.make(section.pop("model"), "training_module.model")
        raise_problems(objects)
        if not isinstance(recipe, ModelRecipe):
            raise ConfigError(problem("training_module.model", "is not a model", got=type(recipe).__name__))
        parts = {
            key: objects.make(value, f"training_module.{key}") for key, value in section.items() if key != "_target_"
        }
        target = objects.resolve(section, "training_module")
        raise_problems(objects)
        module: LightningModule = target(model=recipe.build(self.data.options.units), **parts)
        module.training_config = self.stored
        module.data_record = self._data_record()
        module.tell = functools.partial(note, self.options.output)
        module.interruption = self.interruption
        module.stays_stopped = not self.options.allow
        return module

    def _data_record(self) -> dict[str, Any]:
        """What checkpoints keep of the data, so that a run is only resumed with the same."""
        options = self.data.options
        record = {
            "census": self.data.census().to_dict(),
            "files": self.data.file_hashes(),
            "frames": {name: self.data.dataset(name).content_hash() for name in self.data.set_names},
            **label_facts(
                self.data.label_contract,
                mask_nan=options.mask_nan_labels,
                weights=options.weights,
                unconverged=options.unconverged,
                species=self.data.species,
            ),
        }
        if self.atoms is not None and self.atoms.record:
            record["energies_of_atoms"] = dict(self.atoms.record)
        return self._hidden(record)

    def _trainer(self) -> lightning.Trainer:
        """The trainer with what every run needs: checkpoints, a log and the random state."""
        folder = RunFolder(
            self.options.output,
            kept_rows=0 if "train" in self.checked.stages and self.options.resume is None else None,
            step=self.resumed_step,
        )
        return make_trainer(self._objects(), self.resolved["trainer"], folder, self._callbacks)

    def _callbacks(self, given: Any, logger: MetricsFile | None) -> list[Any]:
        """Ours around those of the config: the state of the loops first, ``best`` and ``last`` after all others."""
        from equipot.train._callback_checkpoints import CallbackCheckpoints
        from equipot.train.callbacks import LoopState, RandomState, Refusal

        refusal = Refusal()
        refusal.text = self.refused
        callbacks = listed(given)
        of_callbacks = CallbackCheckpoints(self.options.output)
        of_callbacks.prepare(callbacks)
        enabled = self.resolved["trainer"].get("enable_checkpointing", True) is not False
        kept = []
        if enabled:
            self.checkpoints = RunCheckpoints(self.options.output)
            self.interruption.save = self.checkpoints.save_last
            kept.append(self.checkpoints)
        lines = EpochLines(self.options.output, self.data.options.units, self.checkpoints)
        rows = [] if logger is None else [Rows(logger)]
        return [refusal, LoopState(), RandomState(), *rows, lines, of_callbacks, *callbacks, *kept]

    def _hidden(self, record: dict[str, Any]) -> dict[str, Any]:
        return hidden(record, self.resolved, self.stored)

    # ----------------------------------------------------------------- stages

    def _stage(self, stage: str, trainer: lightning.Trainer, module: LightningModule) -> None:
        """Train, or evaluate: the best checkpoint after training, else that of ``--resume``, else the model itself."""
        resume = None if self.options.resume is None else str(self.options.resume)
        if stage == "train":
            with self.interruption.training():
                path = checkpoint_to_load(resume, trainer)
                trainer.fit(module, datamodule=self.data, ckpt_path=path, weights_only=True)
            self.results["train"] = _numbers(trainer.callback_metrics)
            return
        evaluate = trainer.validate if stage == "val" else trainer.test
        path = checkpoint_to_load(best_checkpoint(trainer) if "train" in self.results else resume, trainer)
        logged = evaluate(module, datamodule=self.data, ckpt_path=path, weights_only=True, verbose=False)
        self.results[stage] = _numbers({key: value for part in logged for key, value in part.items()})

    # ------------------------------------------------------------- files of the run

    def _write_start(self) -> None:
        """Write the config, and which frames are in which set."""
        self._write("config.json", self.stored)
        if self.data.split_indices:
            split = {"file": self.data.split_source, "by": self.data.split_by, **self.data.split_indices}
            self._write("splits.json", self._hidden(split))

    def _finish(self, module: LightningModule, verdict: Verdict) -> None:
        """Write the results, and say what came out; what the checks warned of too, since first lines go unread."""
        compared = [] if self.atoms is None else self.atoms.compare(module.evaluation_model)
        record: dict[str, Any] = dict(self.results)
        if self.atoms is not None and self.atoms.record:
            record["energies_of_atoms"] = self.atoms.record
        if module.automatic is not None and module.automatic.applied:
            record["automatic_modifiers"] = module.automatic.to_dict()
        if module.model.evaluator is not None and module.model.evaluator.fallbacks:
            record["fallbacks"] = list(module.model.evaluator.fallbacks)
        if warned := verdict.lines("warning"):
            record["data"] = self._hidden(verdict.to_dict())
        self._write("results.json", record)
        texts = [results_table(self.results, self.data.options.units), *compared]
        if warned:
            texts.append("\n".join(["Warnings about the data:", *warned]))
        if "train" in self.results:
            texts.append(ending(self.options.output, self.checkpoints))
        for text in texts:
            note(self.options.output, text)

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


def _step_of(saved: Mapping[str, Any]) -> int:
    return int(saved["loop"]["position"]["step"])


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in metrics.items()}


def _say_each(lines: Sequence[str]) -> None:
    for line in lines:
        say(line)
