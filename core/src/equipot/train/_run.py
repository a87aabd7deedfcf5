"""Run a config: check, data, statistics, model, then the stages in order, and a table at the end."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot._interrupts import Interrupted, ignore_further
from equipot._processes import has_peers, is_first, say
from equipot.artifacts._training_labels import label_facts
from equipot.config._check import Checked, check_config
from equipot.config._defaults import named_defaults
from equipot.config._instantiate import ConfigObjects
from equipot.config._resolve import resolve_phase2
from equipot.config._shifts import given_shifts
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
    carry_best,
    carry_last,
)
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
from equipot.train._signals import Interruption
from equipot.train._table import results_table
from equipot.train._trainer import RunFolder, listed, make_trainer, raise_problems

if TYPE_CHECKING:
    import lightning
    from omegaconf import DictConfig

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
        self.data = checked.data
        self.resolved: dict[str, Any] = {}
        self.stored: dict[str, Any] = {}
        self.results: dict[str, dict[str, float]] = {}
        self.interruption = Interruption()
        self.checkpoints: RunCheckpoints | None = None
        self.atoms: AtomEnergies | None = None
        self.launcher: Launcher | None = None
        self.refused = ""
        self._resumed_step = 0

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
                raise _end(interrupted, self.options.output) from None
            except BaseException as error:
                end_together(error, self.launcher)
                raise

    def _run(self) -> dict[str, dict[str, float]]:
        import lightning

        resume = self.options.resume
        saved = None if resume is None else checkpoint_data(resume)
        if saved is not None and resume is not None and "train" in self.checked.stages:
            check_position(saved, resume)
            self._resumed_step = int(saved["loop"]["position"]["step"])
        check_environment([] if self.options.store_env else self.checked.environment)
        lightning.seed_everything(self._seed(), workers=True, verbose=False)
        self._read_data()
        verdict = self._judge()
        statistics = self._statistics()
        self.atoms = AtomEnergies(self.data, statistics)
        _say_each(self.atoms.lines())
        self.resolved = plain(resolve_phase2(self.checked.config, statistics))
        store_all = self.options.store_env
        self.stored = self.resolved if store_all else stored_config(self.checked, self.resolved, statistics)
        if saved is not None and resume is not None:
            changes = check_same_config(saved["training_config"], self.stored, self.options.allow)
            note(self.options.output, "\n".join([f"resuming {resume}", *(f"  {text}" for text in changes)]))
            if not any(key.startswith("data") for key in self.options.allow):
                check_same_data(saved["data"], self._data_record(), resume)
        module = self._module()
        self._check_shifts(module, verdict)
        if is_first():
            self._prepare(saved)
        trainer = self._trainer()
        self.launcher = watch_processes(trainer)
        if trainer.is_global_zero:
            self._write("config.json", self.stored)
            if self.data.split_indices:
                split = {"file": self.data.split_source, "by": self.data.split_by, **self.data.split_indices}
                self._write("splits.json", self._hidden(split))
        for stage in self.checked.stages:
            self._stage(stage, trainer, module)
        if trainer.is_global_zero:
            self._finish(module, verdict)
        return self.results

    def _finish(self, module: LightningModule, verdict: Verdict) -> None:
        """Write the results, and say what came out; what the checks warned of too, since first lines go unread."""
        compared = [] if self.atoms is None else self.atoms.compare(module.evaluation_model)
        record: dict[str, Any] = {}
        if self.atoms is not None and self.atoms.record:
            record["energies_of_atoms"] = self.atoms.record
        warned = verdict.lines("warning")
        data = {"data": self._hidden(verdict.to_dict())} if warned else {}
        if module.automatic is not None and module.automatic.applied:
            record["automatic_modifiers"] = module.automatic.to_dict()
        if module.model.evaluator is not None and module.model.evaluator.fallbacks:
            record["fallbacks"] = list(module.model.evaluator.fallbacks)
        self._write("results.json", {**self.results, **record, **data})
        texts = [results_table(self.results, self.data.units), *compared]
        if warned:
            texts.append("\n".join(["Warnings about the data:", *warned]))
        if "train" in self.results:
            texts.append(ending(self.options.output, self.checkpoints))
        for text in texts:
            note(self.options.output, text)

    # ------------------------------------------------------------------- data

    def _read_data(self) -> None:
        """Read all sets, and check that they have the labels with weight."""
        self.data.use_labels(label for required in self.checked.labels.values() for label in required)
        self._settle_types()
        self.data.setup()
        say(str(self.data.census()))
        self._check_labels()

    def _seed(self) -> int:
        data = self.checked.resolved["data"]
        seed = self.checked.resolved.get("seed", data.get("seed", 1))
        return int(seed) % 2**32

    def _settle_types(self) -> None:
        """Check the config again with the elements of the data, if these are the types.

        Raises:
            ConfigError: If the config does not fit them.
        """
        if self.checked.open_types is None:
            return
        elements = self.data.elements()
        say(f"type_names: {' '.join(elements)} (auto: the {len(elements)} elements of the data)")
        settled, filled = self.checked.open_types.settled(elements), self.checked.filled
        self.checked = check_config(settled, self.checked.allow, filled=filled)
        self.checked.data.adopt(self.data)
        self.data = self.checked.data

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
            raise ConfigError(named_defaults(dict.fromkeys(problems), self.checked.filled))

    def _judge(self) -> Verdict:
        """Judge the data and print what was found; only the first process does.

        Raises:
            DataError: Naming what cannot be right, or, if the data section is strict, implausible.
        """
        from equipot.data.checks import Verdict

        if not is_first():
            self.data.forgo_verdict()
            return Verdict(findings=())
        verdict: Verdict = self.data.verdict(given_shifts(self.checked.resolved))
        say(str(verdict))
        if verdict.failures:
            hint = "correct the data, or silence a check with data.accept: [code]"
            found = [
                problem(one.example, f"{one.code}: {one.message}", hint=one.check.advice) for one in verdict.failures
            ]
            self._refuse("\n".join([*found, problem("data", f"{len(found)} of the checks failed", hint=hint)]))
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
        raise_problems(objects)
        if not isinstance(recipe, ModelRecipe):
            raise ConfigError(problem("training_module.model", "is not a model", got=type(recipe).__name__))
        parts = {
            key: objects.make(value, f"training_module.{key}") for key, value in section.items() if key != "_target_"
        }
        target = objects.resolve(section, "training_module")
        raise_problems(objects)
        module: LightningModule = target(model=recipe.build(self.data.units), **parts)
        module.training_config = self.stored
        module.data_record = self._data_record()
        module.tell = functools.partial(note, self.options.output)
        module.interruption = self.interruption
        module.stays_stopped = not self.options.allow
        return module

    def _data_record(self) -> dict[str, Any]:
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
            step=self._resumed_step,
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
        lines = EpochLines(self.options.output, self.data.units, self.checkpoints)
        rows = [] if logger is None else [Rows(logger)]
        return [refusal, LoopState(), RandomState(), *rows, lines, of_callbacks, *callbacks, *kept]

    def _hidden(self, record: dict[str, Any]) -> dict[str, Any]:
        return hidden(record, self.resolved, self.stored)

    # ----------------------------------------------------------------- stages

    def _stage(self, stage: str, trainer: lightning.Trainer, module: LightningModule) -> None:
        resume = None if self.options.resume is None else str(self.options.resume)
        if stage == "train":
            with self.interruption.training():
                trainer.fit(module, datamodule=self.data, ckpt_path=_chosen(resume, trainer), weights_only=True)
            self.results["train"] = _numbers(trainer.callback_metrics)
            return
        evaluate = trainer.validate if stage == "val" else trainer.test
        path = _chosen(_best_path(trainer) if "train" in self.results else resume, trainer)
        logged = evaluate(module, datamodule=self.data, ckpt_path=path, weights_only=True, verbose=False)
        self.results[stage] = _numbers({key: value for part in logged for key, value in part.items()})

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
            carry_best(resume, folder, int(saved["loop"]["position"]["step"]))
            carry_last(resume, folder)
            carry_rows(resume.parent, folder)

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


def _chosen(path: str | None, trainer: lightning.Trainer) -> str | None:
    """The checkpoint to load; without one Lightning must not find any: on SLURM it loads what it wrote for a requeue.

    Raises:
        ConfigError: If there is such a file.
    """
    found = sorted(Path(trainer.default_root_dir).glob(REQUEUED)) if path is None else []
    if found:
        what = "was written by Lightning for a requeued job, and would be loaded on SLURM without a word"
        raise ConfigError(problem(str(found[-1]), what, hint="name it after --resume, or move it away"))
    return path


def _best_path(trainer: lightning.Trainer) -> str | None:
    """The best checkpoint by what the config monitors, else ``best.ckpt``, else None: the weights as they are."""
    for callback in trainer.checkpoint_callbacks:
        path = getattr(callback, "best_model_path", "")
        if getattr(callback, "monitor", None) and path and Path(path).is_file():
            return str(path)
    ours = next((one for one in trainer.checkpoint_callbacks if isinstance(one, RunCheckpoints)), None)
    return None if ours is None or ours.best_path is None else str(ours.best_path)


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in metrics.items()}


def _say_each(lines: Sequence[str]) -> None:
    for line in lines:
        say(line)


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item:.6g}" for key, item in value.items())
    return f"{value:.6g}"


def _end(interrupted: Interrupted, output: Path) -> SystemExit:
    """Say how to go on after a signal.

    Processes other than the first end without an error of their own if all end together, lest those that watch over
    them end the first one while it writes.
    """
    ignore_further()
    if not is_first():
        return SystemExit(0 if interrupted.together else interrupted.exit_code)
    last = output / LAST
    hint = f"go on with: --resume '{last}'" if last.is_file() else "no checkpoint was written yet"
    note(output, f"{interrupted}; {hint}", functools.partial(print, file=sys.stderr))
    return SystemExit(interrupted.exit_code)
