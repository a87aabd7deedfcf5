"""``equipot train``."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from equipot._cli.common import run
from equipot._cli.config_arguments import PASS_UNKNOWN, config_arguments, split_arguments


@click.command(context_settings=PASS_UNKNOWN)
@config_arguments
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(),
    help="Folder for checkpoints, logs and results (default: outputs/CONFIG/DATE_TIME).",
)
@click.option("--overwrite", is_flag=True, help="Write into a folder that already holds a run.")
@click.option(
    "--resume",
    metavar="FILE.ckpt|auto",
    type=click.Path(),
    help="Continue an interrupted run exactly where it stopped; auto: the one in --output, if there is one.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="KEY",
    help="With --resume: this config key may differ from the interrupted run. May be repeated.",
)
@click.option("--store-env", is_flag=True, help="Store values from ${oc.env:…} in checkpoints and config.json.")
@click.pass_context
def command(
    context: click.Context,
    *,
    arguments: tuple[str, ...],
    output: str | None,
    overwrite: bool,
    resume: str | None,
    allow: tuple[str, ...],
    allow_target: tuple[str, ...],
    store_env: bool,
) -> int:
    """Train, validate and test the model of a config.

    Hydra's overrides (key=value) and flags such as --multirun follow the config file.
    """
    from equipot import _progress
    from equipot._cli.runs import Runs
    from equipot._processes import is_first
    from equipot.allocator import keep_memory
    from equipot.config._load import typed_texts
    from equipot.config._targets import AllowList
    from equipot.errors import ConfigError, problem
    from equipot.train._run import AUTO, RunOptions

    keep_memory()
    if is_first():
        _progress.show()
    config, overrides, flags = split_arguments(context, arguments)
    given = tuple(sorted(typed_texts(overrides)))
    if allow and not resume:
        raise ConfigError(problem("--allow", "is only valid together with --resume", got=list(allow)))
    auto = resume == AUTO
    if auto and not output:
        raise ConfigError(problem("--resume auto", "needs --output", hint="name the folder of the run"))
    options = RunOptions(
        output=Path(),
        resume=Path(resume).absolute() if resume and not auto else None,
        auto=auto,
        allow=allow,
        allow_targets=AllowList(allow_target, given),
        store_env=store_env,
    )
    return Runs(config, overrides, flags, options, output, replace=overwrite or resume is not None).run()


main = functools.partial(run, command, "equipot-train")
"""The script ``equipot-train``."""
