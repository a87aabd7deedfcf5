"""Options of commands that read labelled data without a config: which labels, in which units, and how.

A command is of the class ``equipot.commands.Command``, has the decorator ``data_options``, and gives what click parsed
to ``data_of``; within ``equipot.commands.option_names(DATA_NAMES)`` messages of core name these options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from equipot.commands import SeveralValues, named_values
from equipot.errors import ConfigError, problem, unknown

if TYPE_CHECKING:
    from equipot.data._collection import FrameCollection, Unconverged
    from equipot.data._label_contract import LabelContract
    from equipot.units import Units

NAMES = {
    "labels": "--labels",
    "data.weights": "--label-weights",
    "data.unconverged": "--unconverged",
    "species": "--species",
    "ase_args": "--ase-args",
}
"""What these options of configs are called here; messages name them so."""

DATA_NAMES = {**NAMES, "units": "--units"}
"""The same of commands that have no model, which knows its units."""

_CONVENTIONS = ("stress", "negative_stress", "virial")
_PLACES = ("results", "info", "arrays")

NONE = "none"
"""The value of ``--label-weights`` that leaves out those of the training."""


@dataclass(frozen=True, kw_only=True)
class GivenReading:
    """What the options say; None where they were not given."""

    weights: dict[str, str] | None
    unconverged: Unconverged | None
    species: dict[str, str] | None
    ase_args: dict[str, Any] | None

    @property
    def given(self) -> list[str]:
        """Names of the options that were given."""
        values = {
            "--label-weights": self.weights,
            "--unconverged": self.unconverged,
            "--species": self.species,
            "--ase-args": self.ase_args,
        }
        return [name for name, value in values.items() if value is not None]


@dataclass(frozen=True, kw_only=True)
class GivenData:
    """What the options of a command without a model say."""

    labels: dict[str, dict[str, str]]
    units: Units | None
    reading: GivenReading

    @property
    def given(self) -> list[str]:
        """Names of the options that were given."""
        own = [*(["--labels"] if self.labels else []), *(["--units"] if self.units else [])]
        return [*own, *self.reading.given]

    def data_section(self) -> dict[str, Any]:
        """The same in the data section of a config, without what was not given."""
        reading = self.reading
        values = {
            "units": self.units,
            "labels": self.labels,
            "weights": reading.weights,
            "unconverged": reading.unconverged,
            "species": reading.species,
            "ase_args": reading.ase_args,
        }
        return {name: value for name, value in values.items() if value}

    def contract(self) -> LabelContract:
        """The labels that are read, under ASE's names if no others are given.

        Raises:
            ConfigError: With all problems of the labels and their weights.
        """
        from equipot.data._label_contract import label_contract

        units = self.units or "metal"
        return label_contract(
            self.labels or None, "--labels", units=units, weights=self.reading.weights, weights_at="--label-weights"
        )

    def collect(
        self, files: Sequence[str], contract: LabelContract, *, otherwise: Unconverged, mask_nan: bool = False
    ) -> FrameCollection:
        """Frames of files.

        Args:
            files: To read.
            contract: Labels that are read.
            otherwise: What is done with frames that did not converge if the options do not say it.
            mask_nan: Whether NaN stands for a missing label.
        """
        from equipot.data._regular import collect_files

        return collect_files(
            files,
            contract,
            ase_args=self.reading.ase_args,
            species=self.reading.species,
            mask_nan=mask_nan,
            unconverged=self.reading.unconverged or otherwise,
        )


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the parameters that ``reading_of`` takes to a command of the class ``equipot.commands.Command``."""
    for decorator in reversed(
        (
            click.option(
                "--label-weights",
                cls=SeveralValues,
                metavar="LABEL=KEY...",
                help="Keys of weights of labels in the files, and of whole frames, e.g. frame=config_weight "
                "forces=atom_weights, as data.weights of a config; or none.",
            ),
            click.option(
                "--unconverged",
                type=click.Choice(["error", "drop", "use"]),
                help="Frames whose self-consistent cycle did not converge, as data.unconverged of a config.",
            ),
            click.option(
                "--species",
                cls=SeveralValues,
                metavar="NAME=ELEMENT...",
                help="Element of each name of atoms that is not a symbol, e.g. OW=O D=H, as data.species of a config.",
            ),
            click.option(
                "--ase-args",
                cls=SeveralValues,
                metavar="KEY=VALUE...",
                help="Format and selection of frames, e.g. format=extxyz index=:100, as data.ase_args of a config.",
            ),
        )
    ):
        function = decorator(function)
    return function


def data_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the parameters that ``data_of`` takes to a command of the class ``equipot.commands.Command``."""
    labels = click.option(
        "--labels",
        cls=SeveralValues,
        metavar="LABEL=KEY...",
        help="Keys of labels in the files, e.g. total_energy=REF_energy stress=virial:virial.",
    )
    units = click.option(
        "--units",
        type=click.Choice(["metal", "real"]),
        help="Units of the files: metal (eV, Å; the default) or real (kcal/mol, Å).",
    )
    return labels(units(reading_options(function)))


def data_of(config: str | None, *, labels: Sequence[str], units: Units | None, **reading: Any) -> GivenData:
    """What the options say.

    Args:
        config: The config that is given instead of them.
        labels: As given, and so the others.
        units: Unit system.
        **reading: For ``reading_of``.

    Raises:
        ConfigError: If a value is not of the form that its option has, or an option is given besides a config.
    """
    found = GivenData(labels=named_labels(labels), units=units, reading=reading_of(**reading))
    if config is not None and found.given:
        what = "cannot be given together with --config"
        raise ConfigError(problem(found.given[0], what, hint="write it into the config"))
    return found


def reading_of(
    *,
    label_weights: Sequence[str],
    unconverged: Unconverged | None,
    species: Sequence[str],
    ase_args: Sequence[str],
) -> GivenReading:
    """What the options say.

    Raises:
        ConfigError: If a value is not of the form that its option has.
    """
    from equipot.data._formats import argument_problems
    from equipot.data._species import mapping_problems

    named = [] if tuple(label_weights) == (NONE,) else label_weights
    weights = named_values(named, "--label-weights", "frame=config_weight")
    elements = named_values(species, "--species", "OW=O") or None
    arguments = named_values(ase_args, "--ase-args", "index=:100") or None
    if problems := [*mapping_problems(elements, "--species"), *argument_problems(arguments, "--ase-args")]:
        raise ConfigError(problems)
    return GivenReading(
        weights=weights if label_weights else None, unconverged=unconverged, species=elements, ase_args=arguments
    )


def named_labels(items: Iterable[str]) -> dict[str, dict[str, str]]:
    """The labels that are named, as in ``data.labels``."""
    labels = {}
    for item in items:
        label, equals, key = item.partition("=")
        if not equals or not key:
            hint = "for example total_energy=REF_energy"
            raise ConfigError(problem("--labels", "must be LABEL=KEY", got=item, hint=hint))
        if key.startswith("{"):
            labels[label] = _mapping(key, item)
        else:
            labels[label] = _with_convention(key) if label == "stress" else {"key": key}
    return labels


def _mapping(text: str, item: str) -> dict[str, str]:
    """What a config says of a label: ``{key: energy, unit: Hartree}``."""
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, str) for pair in found.items() for one in pair):
        hint = "for example 'total_energy={key: energy, unit: Hartree}', with quotes for the shell"
        raise ConfigError(problem("--labels", "must be LABEL=KEY or a mapping as in configs", got=item, hint=hint))
    return found


def _with_convention(text: str) -> dict[str, str]:
    """A key and the convention after it; a colon may also end the place before the key."""
    place, _, rest = text.partition(":")
    name = rest if rest and place in _PLACES else text
    if ":" not in name:
        return {"key": text}
    convention = name.rpartition(":")[2]
    if convention not in _CONVENTIONS:
        raise ConfigError(unknown("--labels stress", convention, _CONVENTIONS, "convention"))
    return {"key": text.rpartition(":")[0], "convention": convention}
