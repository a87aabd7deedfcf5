"""The runs of a config: a single one, or those of a sweep, which Hydra starts."""

from __future__ import annotations

import copy
import dataclasses
import logging
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from equipot._cli import outputs
from equipot._cli.common import EXIT_ERROR, print_error, show_plugin_warnings
from equipot._host.attribution import naming_plugins
from equipot.config import _check as check
from equipot.config import _load as load
from equipot.errors import ConfigError, EquipotError, problem
from equipot.train._lock import owned
from equipot.train._run import RunOptions, objective, run_checked, run_config

HYDRA_FOLDER = "outputs/${now:%Y-%m-%d}/${now:%H-%M-%S}"
"""Hydra's default output folder; runs go to ``outputs/CONFIG/DATE_TIME`` instead."""


class Runs:
    """A composed config and the ways to run it.

    ``flags`` are Hydra's, ``output`` is the folder that the user chose, and ``replace`` says whether it may hold a run
    already.
    """

    def __init__(
        self,
        config: str,
        overrides: Sequence[str],
        flags: Sequence[str],
        options: RunOptions,
        output: str | None,
        *,
        replace: bool,
    ) -> None:
        self.file = load.config_file(config)
        self.flags: Namespace = get_args_parser().parse_args([*flags])
        self.overrides = [*overrides, "hydra.job.chdir=false"]
        self.options = options
        self.output = output
        self.replace = replace
        if output is not None:
            quoted = str(Path(output).absolute()).replace("\\", "\\\\").replace("'", "\\'")
            self.overrides += [f"hydra.{kind}.dir='{quoted}'" for kind in ("run", "sweep")]
        found = load.composition(self.file, self.overrides, config_dir=self.flags.config_dir)
        self.config, self.hydra, self.filled = found.config, found.hydra, found.filled
        raw: Any = OmegaConf.to_container(self.hydra, resolve=False, enum_to_str=True)
        self.multirun = self.flags.multirun or raw["hydra"]["mode"] == "MULTIRUN"
        self.unnamed = output is None and raw["hydra"]["run"]["dir"] == HYDRA_FOLDER
        if load.is_sweep(overrides) and not self.multirun and not self.flags.cfg:
            texts = [text for text in overrides if load.is_sweep([text])]
            hint = "add --multirun to your command line, or write a list as key=[1,2]"
            raise ConfigError(problem(f"override {text!r}", "has several values", hint=hint) for text in texts)
        show_plugin_warnings()

    def run(self) -> int:
        """Run the config once, or leave sweeps and flags to Hydra; nothing is written for a config with problems."""
        before = HydraConfig.instance().cfg
        shown = self.flags.cfg or self.flags.info or self.flags.hydra_help
        try:
            if shown or self.multirun:
                return self._by_hydra(self._show if shown else self._sweep)
            return self._once()
        finally:
            HydraConfig.instance().cfg = before

    # ------------------------------------------------------------------------------ one run

    def _once(self) -> int:
        """Check the config and run it, with the folder and logs that Hydra would make.

        ``sys.argv`` is left unchanged, because Lightning uses it to start the other processes of a run.
        """
        job, checked = self._checked()
        options = dataclasses.replace(self.options, output=Path(job.hydra.runtime.output_dir))
        with owned(options.output):
            return _exit_code(lambda: _run_job(job, _task(lambda _: run_checked(checked, options))))

    def _checked(self) -> tuple[DictConfig, check.Checked]:
        """The config with Hydra's section, and the checked one; the output folder is created after the check."""
        job = copy.deepcopy(self.config)
        with open_dict(job):
            job.hydra = self.hydra.hydra
        HydraConfig.instance().set_config(job)  # for ${hydra:…} in the config
        while True:
            folder = self._folder(job)
            with read_write(job.hydra), open_dict(job.hydra):
                job.hydra.mode = "RUN"
                job.hydra.run.dir = str(folder)
                job.hydra.runtime.output_dir = str(folder.absolute())
            HydraConfig.instance().set_config(job)
            checked = check.check_config(self.config, self.options.allow_targets, self.hydra, self.filled)
            if self.output is not None:
                outputs.make_chosen(Path(self.output), replace=self.replace)
            elif self.unnamed and not outputs.make_new(folder):
                continue  # another run has taken the name; the config may refer to it
            return job, checked

    def _folder(self, job: DictConfig) -> Path:
        if self.output is not None:
            return Path(self.output).absolute()
        return outputs.free_name(self.file) if self.unnamed else Path(str(job.hydra.run.dir))

    # --------------------------------------------------------------------------- many runs

    def _by_hydra(self, call: Callable[[Any], object]) -> int:
        """Let Hydra do something with the config."""
        with load.composer(self.file, self.overrides, self.flags.config_dir) as hydra:
            try:
                return _exit_code(lambda: call(hydra))
            except (HydraException, OmegaConfBaseException) as error:  # of sweepers and launchers
                raise ConfigError(problem(self.file.name, load.first_lines(error))) from None

    def _sweep(self, hydra: Any) -> None:
        """Start the runs; each is checked when it starts."""
        if self.output is not None:
            outputs.make_chosen(Path(self.output), replace=self.replace)

        def run(config: DictConfig) -> dict[str, dict[str, float]]:
            output = Path(HydraConfig.get().runtime.output_dir)
            with owned(output):
                return run_config(config, dataclasses.replace(self.options, output=output))

        hydra.multirun(self.file.stem, _task(run), [*self.overrides, "hydra.mode=MULTIRUN"])

    def _show(self, hydra: Any) -> None:
        """Print the config, or facts about it."""
        name, flags = self.file.stem, self.flags
        if flags.cfg:
            hydra.show_cfg(name, self.overrides, flags.cfg, flags.package, flags.resolve)
        elif flags.info:
            hydra.show_info(flags.info, config_name=name, overrides=self.overrides)
        else:
            hydra.hydra_help(config_name=name, args_parser=get_args_parser(), args=flags)


def _run_job(job: DictConfig, task: Callable[[DictConfig], float | None]) -> None:
    """Do what Hydra's own ``run`` does with a composed config: callbacks, log and ``.hydra`` folder."""
    from hydra._internal.callbacks import Callbacks
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
    from hydra.core.utils import run_job
    from hydra.types import HydraContext

    callbacks = Callbacks(job)
    context = HydraContext(config_loader=ConfigLoaderImpl(ConfigSearchPathImpl()), callbacks=callbacks)
    name = job.hydra.job.config_name
    callbacks.on_run_start(config=job, config_name=name)
    done = run_job(task, job, "hydra.run.dir", None, context)
    callbacks.on_run_end(config=job, config_name=name, job_return=done)
    _ = done.return_value  # raises the error of the task, if any


def _task(run: Callable[[DictConfig], dict[str, dict[str, float]]]) -> Callable[[DictConfig], float | None]:
    """The function that Hydra calls; it prints errors for users itself, without what Hydra would add."""

    def train(config: DictConfig) -> float | None:
        try:
            with naming_plugins():
                return objective(run(config))
        except EquipotError as error:
            print_error(error)
            raise SystemExit(EXIT_ERROR) from None

    train.__module__ = "equipot._cli.train"  # Hydra names the job and its log file after it
    return train


def _exit_code(call: Callable[[], object]) -> int:
    """The exit code of a call; log handlers that Hydra leaves behind are removed."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        call()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_ERROR
    finally:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
    return 0
