"""``equipot eval`` on several processes or a cluster: a plugin's ``equipot predict`` computes, eval compares."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from equipot.errors import ConfigError, problem
from equipot.plugins import plugins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

_COMMAND = "predict"
_FOLDER = "predictions"


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """Where predictions are computed, if not in this process."""

    workers: int | None
    scheduler: str | None

    @property
    def option(self) -> str:
        """The option that was given; empty if none was."""
        return "--workers" if self.workers is not None else "--scheduler" if self.scheduler is not None else ""

    def words(self) -> list[str]:
        """The options, for the command that computes."""
        given = {"--workers": self.workers, "--scheduler": self.scheduler}
        return [word for name, value in given.items() if value is not None for word in (name, str(value))]


def elsewhere_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of ``Elsewhere`` to the command."""
    for decorator in (
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="Compute on a Dask cluster, e.g. tcp://10.0.0.1:8786, or a scheduler file (equipot-simulate).",
        ),
        click.option(
            "--workers",
            type=int,
            metavar="N",
            help="Compute on so many processes (equipot-simulate); needs --out, where the same command goes on.",
        ),
    ):
        function = decorator(function)
    return function


def predictions(
    where: Elsewhere, model: str, data: Sequence[str], folder: Path, options: Sequence[str]
) -> list[tuple[Atoms, dict[str, Any]]]:
    """Compute the predictions that a folder does not hold yet.

    Args:
        where: Where to compute.
        model: Its file.
        data: Files of frames.
        folder: Gets a folder ``predictions`` with one for each file.
        options: How the model is loaded, as options of the command.

    Returns:
        All frames with their records.

    Raises:
        ConfigError: If no plugin has the command.
        EquipotError: Of the command.
        click.exceptions.Exit: If a signal ended it.
    """
    from equipot.data import read_atoms

    command, found = _command(where), []
    for number, path in enumerate(data):
        own = folder / _FOLDER / f"{number}_{Path(path).name}"
        words = [model, path, "--output", str(own), "--resume", *options, *where.words()]
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for the errors
            code = command.main(words, prog_name=f"equipot {_COMMAND}", standalone_mode=False) or 0
        if code > 1:  # 1: frames failed, which matters only if they are compared
            raise click.exceptions.Exit(code)
        found += list(zip(read_atoms(path), _records(own), strict=True))
    return found


def _command(where: Elsewhere) -> Any:
    host = plugins()
    if _COMMAND not in host.names("commands"):
        hint = host.install_hint("commands", _COMMAND)
        raise ConfigError(problem(where.option, f"needs a plugin with the command {_COMMAND}", hint=hint))
    return host.load("commands", _COMMAND)


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((folder / "records").glob("[0-9]*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))
