"""Train, validate and test a model as a config says.

Everything after the config file goes to Hydra: overrides (key=value) and flags such as --multirun.
"""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from omegaconf import DictConfig

PASS_UNKNOWN = True

OPTIONS = ("--output", "--resume", "--allow", "--allow-target")

MULTIRUN_FLAGS = ("-m", "--multirun")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from equipot.cli.check import add_target_option

    parser.add_argument("config", metavar="CONFIG.yaml", help="the config file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="Hydra overrides and flags")
    parser.add_argument(
        "--output", metavar="DIR", help="folder for checkpoints, logs and results (default: outputs/CONFIG/DATE_TIME)"
    )
    parser.add_argument("--resume", metavar="FILE.ckpt", help="go on with an interrupted run, exactly where it stopped")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="KEY",
        help="with --resume: this config key may differ from the interrupted run (repeatable)",
    )
    add_target_option(parser)


def run(args: argparse.Namespace) -> int:
    """Check the config without Hydra's machinery, then run it inside."""
    from equipot.cli.common import hydra_arguments, show_plugin_warnings
    from equipot.config.load import compose, config_file
    from equipot.errors import ConfigError, problem

    overrides, flags = hydra_arguments([*args.overrides, *args.extra], OPTIONS)
    if args.allow and not args.resume:
        raise ConfigError(problem("--allow", "means something with --resume only", got=args.allow))
    file = config_file(args.config)
    _, hydra = compose(file, overrides)
    _refuse_hostile(hydra)
    show_plugin_warnings()
    defaults = _output_defaults(args.output, file, hydra, multirun=any(flag in MULTIRUN_FLAGS for flag in flags))
    return _run_hydra(args, file, [*flags, *overrides, *defaults])


def _refuse_hostile(hydra: DictConfig) -> None:
    """Check Hydra's own section before Hydra acts on it.

    Raises:
        ConfigError: With targets that are not Hydra's.
    """
    from equipot.config.cross_checks import hydra_problems
    from equipot.errors import ConfigError

    if problems := hydra_problems(hydra):
        raise ConfigError(problems)


def _output_defaults(output: str | None, file: Path, hydra: DictConfig, *, multirun: bool) -> list[str]:
    """Hydra overrides that choose the output folder, unless the user's config does."""
    from omegaconf import OmegaConf

    raw: Any = OmegaConf.to_container(hydra, resolve=False)
    hydra_default = "outputs/${now:%Y-%m-%d}/${now:%H-%M-%S}"
    defaults = ["hydra.job.chdir=false"]
    if output is not None:
        quoted = str(Path(output).absolute()).replace("\\", "\\\\").replace("'", "\\'")
        defaults.append(f"hydra.{'sweep' if multirun else 'run'}.dir='{quoted}'")
    elif raw["hydra"]["run"]["dir"] == hydra_default:
        name = "".join(char if char.isalnum() or char in "-_." else "_" for char in file.stem)
        defaults.append(f"hydra.run.dir='outputs/{name}/${{now:%Y-%m-%d_%H-%M-%S}}'")
    return defaults


def _run_hydra(args: argparse.Namespace, file: Path, arguments: list[str]) -> int:
    """Let Hydra make the output folder and call the task, once or for every point of a sweep."""
    import hydra

    from equipot.cli.common import EXIT_ERROR, print_error
    from equipot.errors import EquipotError

    @hydra.main(version_base=None, config_path=str(file.parent), config_name=file.stem)
    def task(config: DictConfig) -> float | None:
        try:
            return _run_one(args, config)
        except EquipotError as error:
            print_error(error)
            raise SystemExit(EXIT_ERROR) from None

    with _program_arguments(["equipot-train", *arguments]):
        try:
            task()
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else EXIT_ERROR
    return 0


def _run_one(args: argparse.Namespace, config: DictConfig) -> float | None:
    from hydra.core.hydra_config import HydraConfig

    from equipot.config.targets import AllowList
    from equipot.train.run import RunOptions, objective, run_config

    options = RunOptions(
        output=Path(HydraConfig.get().runtime.output_dir),
        resume=Path(args.resume).absolute() if args.resume else None,
        allow=tuple(args.allow),
        allow_targets=AllowList(tuple(args.allow_target)),
    )
    return objective(run_config(config, options))


@contextmanager
def _program_arguments(arguments: list[str]) -> Iterator[None]:
    """Hydra reads ``sys.argv`` and leaves its log handlers in place; undo both afterwards."""
    root = logging.getLogger()
    before, handlers, level = sys.argv, root.handlers[:], root.level
    sys.argv = arguments
    try:
        yield
    finally:
        sys.argv = before
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``equipot-train``."""
    from equipot.cli.common import run_module

    return run_module(sys.modules[__name__], "equipot-train", argv)


if __name__ == "__main__":
    sys.exit(main())
