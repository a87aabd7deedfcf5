"""Arguments of the commands that take a config: its file, and overrides and flags for Hydra, in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from equipot.errors import ConfigError, unknown

PASS_UNKNOWN = {"ignore_unknown_options": True}
"""Click settings of a command that passes unknown options on to Hydra."""

HYDRA_FLAGS = (
    "-m", "--multirun", "-c", "--cfg", "--resolve", "-p", "--package", "-r", "--run", "-i", "--info",
    "-cd", "--config-dir", "--hydra-help",
)  # fmt: skip
"""Flags of Hydra; values are written with ``=``, as in ``--cfg=job``. Not among them: ``--experimental-rerun``, which
unpickles a file."""


def config_arguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the parameters ``arguments`` (see ``split_arguments``) and ``allow_target`` to a command.

    ``arguments`` takes everything, because Hydra's flags may come before the config file.
    """
    metavar = "CONFIG.yaml [KEY=VALUE]..."
    text = "Also allow this package or object as _target_ in the config. May be repeated."
    function = click.option("--allow-target", multiple=True, metavar="PACKAGE", help=text)(function)
    files = click.Path(readable=False)  # completed as files, not checked
    return click.argument("arguments", nargs=-1, required=True, type=files, metavar=metavar)(function)


def split_arguments(context: click.Context, arguments: Sequence[str]) -> tuple[str, list[str], list[str]]:
    """Split the arguments of a command into the config file, Hydra's overrides and Hydra's flags."""
    given = [text for text in arguments if text.strip()]
    flags = [text for text in given if text.startswith("-")]
    if wrong := [flag for flag in flags if flag.split("=")[0] not in HYDRA_FLAGS]:
        known = [name for one in context.command.params if isinstance(one, click.Option) for name in one.opts]
        raise ConfigError(unknown(flag, flag, [*known, *HYDRA_FLAGS]) for flag in wrong)
    others = [text for text in given if not text.startswith("-")]
    if not others:
        raise click.UsageError("missing argument 'CONFIG.yaml'", context)
    return others[0], others[1:], flags
