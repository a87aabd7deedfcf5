"""``equipot data convert``: labelled data to a file that is read fast, or that others read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from equipot import _progress
from equipot._cli.common import say
from equipot.commands import Command, option_names
from equipot.data.arguments import DATA_NAMES, GivenData, data_of, data_options
from equipot.errors import ConfigError, problem

if TYPE_CHECKING:
    from equipot.data._collection import FrameCollection
    from equipot.data._module import SourceDataModule


@click.command(cls=Command)
@click.argument("files", nargs=-1, type=click.Path(), metavar="FILE... OUT")
@click.option(
    "--config",
    type=click.Path(),
    metavar="CONFIG.yaml",
    help="Read the files as a config says: labels, units, weights, species, frames that did not converge.",
)
@data_options
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
def command(*, files: tuple[str, ...], config: str | None, force: bool, **reading: Any) -> int:
    """Convert labelled data to one file: .extxyz, .npz (the fastest to read) or .db (ASE).

    Labels are written in eV and Å (or kcal/mol, if these are the units) under the names of ASE, with every digit: the
    file is read again and compared with what was read before it gets its name. Values other than labels, weights,
    groups and inputs of models are left out. Frames that did not converge are refused unless --unconverged says
    otherwise.
    """
    if len(files) < 2:
        raise ConfigError(problem("equipot data convert", "needs files to read and one to write", got=list(files)))
    from equipot.data._convert import check_named, check_output, write_collection

    *sources, out = files
    check_output(out, sources, force=force)
    given = data_of(config, **reading)
    _progress.show()
    with option_names(DATA_NAMES if config is None else None):
        if config is None:
            written = write_collection(out, _frames(given, sources), given.units or "metal")
        else:
            module = _module(config)
            found = module.read(sources)
            check_named(found, module.options.labels or (), module.label_contract)
            key = module.options.split_rule.key or None
            written = write_collection(out, found, module.options.units, split_key=key)
    say(str(written))
    return 0


def _frames(given: GivenData, sources: Sequence[str]) -> FrameCollection:
    """All frames of files that are read as the options say."""
    from equipot.data._checks import check_weights
    from equipot.data._convert import check_named

    contract = given.contract()
    found = given.collect(sources, contract, otherwise="error", mask_nan=True)
    check_named(found, given.labels, contract)
    check_weights([found], contract, sources)
    return found


def _module(config: str) -> SourceDataModule:
    """The data section of a config."""
    from equipot.config._check import check_config
    from equipot.config._load import composition
    from equipot.data._module import SourceDataModule

    found = composition(config)
    data = check_config(found.config, None, found.hydra, found.filled).data
    if not isinstance(data, SourceDataModule):
        raise ConfigError(problem("data._target_", "must be a data section of equipot", got=type(data).__name__))
    return data
