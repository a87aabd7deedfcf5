"""``equipot data`` with its command ``check``; plugins may declare more as ``data NAME``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from equipot._cli._eval_labels import named_labels
from equipot._cli.common import say
from equipot._cli.main import DeclaredGroup
from equipot.commands import Command, SeveralValues
from equipot.errors import ConfigError, DataError, problem

if TYPE_CHECKING:
    from equipot.config._check import Checked
    from equipot.data.checks import Verdict

EXIT_FINDINGS = 1
"""Exit code if the data cannot be used as they are."""


@click.group(cls=DeclaredGroup, prefix="data ")
def command() -> None:
    """Look at labelled data before anything is learnt from them."""


@click.command(cls=Command)
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE]...")
@click.option(
    "--config",
    type=click.Path(),
    metavar="CONFIG.yaml",
    help="Take labels, units, types, given energy shifts and accepted checks from a config; without FILE its sets too.",
)
@click.option(
    "--labels",
    cls=SeveralValues,
    metavar="LABEL=KEY...",
    help="Keys of labels in the files, e.g. total_energy=REF_energy stress=virial:virial.",
)
@click.option(
    "--units",
    type=click.Choice(["metal", "real"]),
    help="Units of the files: metal (eV, Å; the default) or real (kcal/mol, Å).",
)
@click.option("--accept", multiple=True, metavar="CODE", help="Say nothing about this. May be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings, too.")
def check_command(
    *,
    files: tuple[str, ...],
    config: str | None,
    labels: tuple[str, ...],
    units: Literal["metal", "real"] | None,
    accept: tuple[str, ...],
    as_json: bool,
    strict: bool,
) -> int:
    """Judge files of labelled data: units, signs, structures, outliers, frames that are there twice, ...

    Each file is a set of its own. Without --config, labels are read from ASE's keys energy, forces and stress.

    Exit code: 0 without errors, even with warnings (unless --strict); 1 for findings of severity error; 2 if files,
    config or options cannot be read.
    """
    if config is None:
        verdict = _of_files(files, named_labels(labels), units or "metal", accept, strict=strict)
    elif labels or units:
        given = "--labels" if labels else "--units"
        raise ConfigError(problem(given, "cannot be given together with --config", hint="write it into the config"))
    else:
        verdict = _of_config(config, files, accept, strict=strict)
    if as_json:
        print(json.dumps(verdict.to_dict(), indent=2, ensure_ascii=False))
    else:
        say(str(verdict))
    return EXIT_FINDINGS if verdict.failures else 0


def _of_files(
    files: Sequence[str],
    labels: Mapping[str, Any],
    units: Literal["metal", "real"],
    accept: Sequence[str],
    *,
    strict: bool,
) -> Verdict:
    """Judge files with labels under ASE's or given names."""
    if not files:
        raise ConfigError(problem("equipot data check", "no data are given", hint="name files, or a --config"))
    from equipot.data._label_contract import label_contract
    from equipot.data._regular import collect_files
    from equipot.data.checks import judge

    contract = label_contract(labels or None, "--labels", units=units)
    sets = {name: collect_files([file], contract, unconverged="use") for name, file in _names(files).items()}
    return judge(sets, contract, units=units, accept=accept, strict=strict)


def _of_config(config: str, files: Sequence[str], accept: Sequence[str], *, strict: bool) -> Verdict:
    """Judge the sets of a config, or other files as if they were its own."""
    from equipot.config._check import check_config
    from equipot.config._load import compose
    from equipot.config._shifts import given_shifts
    from equipot.data._base import DataModule
    from equipot.data._module import SourceDataModule

    composed, hydra = compose(config, [])
    checked = check_config(composed, None, hydra)
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
