"""Train, validate and test a model as a config says.

Everything after the config file goes to Hydra: overrides (key=value) and flags such as --multirun.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import sys
import tempfile
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from omegaconf import DictConfig

PASS_UNKNOWN = True

OPTIONS = ("--output", "--overwrite", "--resume", "--allow", "--allow-target")

MULTIRUN_FLAGS = ("-m", "--multirun")

RUN_FILES = ("best.ckpt", "last.ckpt", "results.json", "multirun.yaml")
"""Files that tell that a folder holds a run."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    from equipot._cli.check import add_target_option

    parser.add_argument("config", metavar="CONFIG.yaml", help="the config file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="Hydra overrides and flags")
    parser.add_argument(
        "--output", metavar="DIR", help="folder for checkpoints, logs and results (default: outputs/CONFIG/DATE_TIME)"
    )
    parser.add_argument("--overwrite", action="store_true", help="write into a folder that holds a run already")
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
    from equipot._cli.common import hydra_arguments, show_plugin_warnings
    from equipot.allocator import keep_memory
    from equipot.config._check import check_config
    from equipot.config._load import compose, config_file
    from equipot.config._targets import AllowList
    from equipot.errors import ConfigError, problem

    keep_memory()
    overrides, flags = hydra_arguments([*args.overrides, *args.extra], OPTIONS)
    if args.allow and not args.resume:
        raise ConfigError(problem("--allow", "means something with --resume only", got=args.allow))
    file = config_file(args.config)
    config, hydra = compose(file, overrides)
    _refuse_hostile(hydra)
    show_plugin_warnings()
    if not flags:
        check_config(config, AllowList(tuple(args.allow_target)), hydra)  # before anything is written
    if args.output is not None:
        _check_output(Path(args.output), replace=args.overwrite or args.resume is not None)
    defaults = _output_defaults(args.output, file, hydra, flags)
    return _run_hydra(args, file, [*flags, *overrides, *defaults])


def _refuse_hostile(hydra: DictConfig) -> None:
    """Check Hydra's own section before Hydra acts on it.

    Raises:
        ConfigError: With targets that are not Hydra's.
    """
    from equipot.config._cross_checks import hydra_problems
    from equipot.errors import ConfigError

    if problems := hydra_problems(hydra):
        raise ConfigError(problems)


def _check_output(folder: Path, *, replace: bool) -> None:
    """Make the output folder, and refuse one that cannot be written or holds another run.

    Raises:
        ConfigError: Saying which.
    """
    from equipot.errors import ConfigError, problem

    if "LOCAL_RANK" in os.environ:  # a further process of a run that checked it
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        what = f"cannot be written: {error.strerror}"
        raise ConfigError(problem("--output", what, got=str(folder), hint="choose another folder")) from None
    found = [name for name in RUN_FILES if (folder / name).exists()]
    if found and not replace:
        what = f"the folder holds a run already ({', '.join(found)})"
        hint = "choose another folder, or add --overwrite"
        raise ConfigError(problem("--output", what, got=str(folder), hint=hint))


def _output_defaults(output: str | None, file: Path, hydra: DictConfig, flags: Sequence[str]) -> list[str]:
    """Hydra overrides that choose the output folder, unless the user's config does."""
    from omegaconf import OmegaConf

    raw: Any = OmegaConf.to_container(hydra, resolve=False)
    hydra_default = "outputs/${now:%Y-%m-%d}/${now:%H-%M-%S}"
    defaults = ["hydra.job.chdir=false"]
    if output is not None:
        quoted = str(Path(output).absolute()).replace("\\", "\\\\").replace("'", "\\'")
        defaults.append(f"hydra.{'sweep' if any(flag in MULTIRUN_FLAGS for flag in flags) else 'run'}.dir='{quoted}'")
    elif raw["hydra"]["run"]["dir"] == hydra_default:
        name = "".join(char if char.isalnum() or char in "-_." else "_" for char in file.stem)
        stamp = "${now:%Y-%m-%d_%H-%M-%S}" if flags else _new_folder(Path("outputs", name))
        defaults.append(f"hydra.run.dir='outputs/{name}/{stamp}'")
    return defaults


def _new_folder(parent: Path) -> str:
    """Make a folder named after date and time, of this run alone; return its name.

    Raises:
        ConfigError: If it cannot be made.
    """
    from equipot.errors import ConfigError, problem

    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")  # noqa: DTZ005 - the user's time, as in Hydra's names
    for count in itertools.count(1):
        name = stamp if count == 1 else f"{stamp}_{count}"
        try:
            (parent / name).mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            what = f"cannot be written: {error.strerror}"
            raise ConfigError(problem(str(parent), what, hint="choose another folder with --output")) from None
        return name
    return stamp


def _run_hydra(args: argparse.Namespace, file: Path, arguments: list[str]) -> int:
    """Let Hydra make the output folder and call the task, once or for every point of a sweep."""
    import hydra

    from equipot._cli.common import EXIT_ERROR, print_error
    from equipot._host.attribution import name_plugin
    from equipot.errors import EquipotError

    @hydra.main(version_base=None, config_path=str(file.parent), config_name=file.stem)
    def task(config: DictConfig) -> float | None:
        try:
            return _run_one(args, config)
        except EquipotError as error:
            print_error(error)
            raise SystemExit(EXIT_ERROR) from None
        except Exception as error:
            name_plugin(error)
            raise

    with _program_arguments(["equipot-train", *arguments]):
        try:
            task()
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else EXIT_ERROR
    return 0


def _run_one(args: argparse.Namespace, config: DictConfig) -> float | None:
    from hydra.core.hydra_config import HydraConfig

    from equipot.config._targets import AllowList
    from equipot.train._run import RunOptions, objective, run_config

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
    from equipot._cli.common import run_module

    return run_module(sys.modules[__name__], "equipot-train", argv)


if __name__ == "__main__":
    sys.exit(main())
