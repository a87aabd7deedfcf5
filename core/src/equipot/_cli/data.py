"""``equipot data`` with its command ``check``; plugins may declare more as ``data NAME``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equipot._cli.common import say
from equipot._cli.main import DeclaredGroup
from equipot.commands import Command, option_names
from equipot.data.arguments import DATA_NAMES, GivenData, data_of, data_options
from equipot.errors import ConfigError, DataError, problem

if TYPE_CHECKING:
    from equipot.config._check import Checked
    from equipot.data.checks import Verdict

EXIT_FINDINGS = 1
"""Exit code if the data cannot be used as they are."""


@click.group(cls=DeclaredGroup, prefix="data ")
def command() -> None:
    """Look at labelled data before anything is learnt from them, or convert them."""


@click.command(cls=Command)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE|KEY=VALUE]...")
@click.option(
    "--config",
    type=click.Path(),
    metavar="CONFIG.yaml",
    help="Take labels, units, types, given energy shifts and accepted checks from a config; without FILE its sets too.",
)
@data_options
@click.option("--accept", multiple=True, metavar="CODE", help="Say nothing about this. May be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings, too.")
def check_command(
    *, files: tuple[str, ...], config: str | None, accept: tuple[str, ...], as_json: bool, strict: bool, **reading: Any
) -> int:
    """Judge files of labelled data: units, signs, structures, outliers, frames that are there twice, ...

    Each file is a set of its own. Without --config, labels are read from ASE's keys energy, forces and stress; with it,
    Hydra's overrides (key=value) change the config as in training.

    Exit code: 0 without errors, even with warnings (unless --strict); 1 for findings of severity error; 2 if files,
    config or options cannot be read.
    """
    given = data_of(config, **reading)
    with option_names(DATA_NAMES if config is None else None):
        if config is None:
            verdict = _of_files(files, given, accept, strict=strict)
        else:
            overrides = [one for one in files if _is_override(one)]
            others = [one for one in files if one not in overrides]
            verdict = _of_config(config, others, overrides, accept, strict=strict)
        if as_json:
            print(json.dumps(verdict.to_dict(), indent=2, ensure_ascii=False))
        else:
            say(str(verdict))
    return EXIT_FINDINGS if verdict.failures else 0


def _of_files(files: Sequence[str], given: GivenData, accept: Sequence[str], *, strict: bool) -> Verdict:
    """Judge files with labels under ASE's or given names."""
    if not files:
        raise ConfigError(problem("equipot data check", "no data are given", hint="name files, or a --config"))
    from equipot.data._checks import check_weights
    from equipot.data.checks import judge

    contract = given.contract()
    sets = {name: given.collect([file], contract, otherwise="use") for name, file in _names(files).items()}
    check_weights(sets.values(), contract, files)
    return judge(sets, contract, units=given.units or "metal", accept=accept, strict=strict)


_OVERRIDE = re.compile(r"~|\+{0,2}[\w./@-]+=")


def _is_override(text: str) -> bool:
    """Whether an argument changes the config, as in ``data.seed=2``, ``+data.strict=true`` or ``~data.labels``."""
    return _OVERRIDE.match(text) is not None and not Path(text).exists()


def _of_config(
    config: str, files: Sequence[str], overrides: Sequence[str], accept: Sequence[str], *, strict: bool
) -> Verdict:
    """Judge the sets of a config, or other files as if they were its own."""
    from equipot.config._check import check_config
    from equipot.config._load import composition, typed_texts
    from equipot.config._shifts import given_shifts
    from equipot.config._targets import AllowList
    from equipot.data._base import DataModule
    from equipot.data._module import SourceDataModule

    found = composition(config, overrides)
    allow = AllowList((), tuple(sorted(typed_texts(overrides))))
    checked = check_config(found.config, allow, found.hydra, found.filled)
    data = checked.data
    if not isinstance(data, DataModule):
        raise ConfigError(problem("data._target_", "must be a data section of equipot", got=type(data).__name__))
    data.use_labels(_used_labels(checked))
    sets = None
    if files:
        if not isinstance(data, SourceDataModule):
            raise ConfigError(problem("FILE", "cannot be read by the data section of the config", got=files[0]))
        sets = {name: data.read([file]) for name, file in _names(files).items()}
    return data.verdict(given_shifts(checked.resolved), sets=sets, accept=accept, strict=strict)


def _used_labels(checked: Checked) -> Iterable[str]:
    return [label for required in checked.labels.values() for label in required]


def _names(files: Sequence[str]) -> dict[str, str]:
    """Names of sets: those of the files, or their whole paths where two have one name.

    Raises:
        DataError: If a file is given twice.
    """
    if twice := [file for file in files if files.count(file) > 1]:
        raise DataError(problem(twice[0], "is given twice"))
    names = [Path(file).name for file in files]
    return {name if names.count(name) == 1 else file: file for name, file in zip(names, files, strict=True)}
