"""The declarations of core, which uses the same hooks as plugins."""

from __future__ import annotations

from collections.abc import Iterator

from equipot.declarations import (
    CommandEntry,
    ExportTargetEntry,
    ModelBuilderEntry,
    ModifierEntry,
    PartEntry,
    StatsManagerEntry,
    TargetAliasEntry,
)
from equipot.hookspecs import hookimpl


@hookimpl
def equipot_commands() -> Iterator[CommandEntry]:
    """Core's commands."""
    for name, module, summary in (
        ("train", "train.command", "Train, validate and test a model from a config"),
        ("check", "check.command", "Check a config without reading data"),
        ("explain", "explain.command", "Show every value of a config and where it comes from"),
        ("compile", "compile.command", "Compile a model for an engine"),
        ("package", "package.command", "Build, show, verify and modify packages"),
        ("inspect", "inspect.command", "Show what is in a checkpoint, package or compiled file"),
        ("data", "data.command", "Check and convert labelled data"),
        ("data check", "data.check_command", "Judge files of labelled data, or those of a config"),
        ("data convert", "convert.command", "Convert labelled data to one file, number by number"),
        ("eval", "eval.command", "Errors of a model on labelled data"),
        ("plugins", "plugins.command", "List installed plugins and what they declare"),
        ("plugins list", "plugins.list_command", "The table of all plugins"),
        ("plugins info", "plugins.info_command", "Everything about one plugin"),
        ("describe", "components.describe", "Options of an installed component"),
        ("schema", "components.schema", "JSON Schema of the installed components"),
        ("doctor", "doctor.command", "Examine this installation, for reports of bugs"),
        ("completion", "completion.command", "Script for completing commands in bash, zsh or fish"),
    ):
        yield CommandEntry(name=name, target=f"equipot._cli.{module}", summary=summary)


@hookimpl
def equipot_model_builders() -> Iterator[ModelBuilderEntry]:
    """Recipes that start with a stored model."""
    for name, file in (("ModelFromPackage", "package"), ("ModelFromCheckpoint", "checkpoint")):
        summary = f"The model of a {file}, weights included, for fine-tuning"
        yield ModelBuilderEntry(name=name, target=f"equipot.artifacts.{name}", summary=summary)


@hookimpl
def equipot_modifiers() -> Iterator[ModifierEntry]:
    """Core's modifiers."""
    yield ModifierEntry(
        name="modify_PerTypeScaleShift",
        target="equipot.model._modifiers.modify_PerTypeScaleShift",
        summary="Change scales and shifts of the atomic energies",
        persistent=True,
    )


@hookimpl
def equipot_stats_managers() -> Iterator[StatsManagerEntry]:
    """Core's statistics managers."""
    for name, summary in (
        ("CommonDataStatisticsManager", "Neighbours, mean energy per atom and force rms"),
        ("EnergyOnlyDataStatisticsManager", "Neighbours and energy statistics, no forces"),
        ("DataStatisticsManager", "Statistics named by the user"),
    ):
        yield StatsManagerEntry(name=name, target=f"equipot.data.{name}", summary=summary)


@hookimpl
def equipot_parts() -> Iterator[PartEntry]:
    """Core's data module, transforms, statistics, recipe, training modules, losses and metrics."""
    for kind, name, summary in (
        ("recipe", "model.modify", "Another recipe's model with modifiers applied"),
        ("data_module", "data.ASEDataModule", "Labelled frames from files that ASE reads"),
        ("transform", "data.transforms.ChemicalSpeciesToAtomTypeMapper", "Types from the chemical elements"),
        ("transform", "data.transforms.NeighborListTransform", "Edges between the atoms within a radius"),
        ("field", "data.PerAtomModifier", "A field per frame divided by its number of atoms"),
        ("field", "data.NumNeighbors", "Number of neighbours of each atom"),
        ("field", "data.EdgeLengths", "Distances between neighbours"),
        ("reduction", "data.Count", "Number of values"),
        ("reduction", "data.Max", "Largest value"),
        ("reduction", "data.Mean", "Arithmetic mean"),
        ("reduction", "data.MeanAbsolute", "Mean of the absolute values"),
        ("reduction", "data.Min", "Smallest value"),
        ("reduction", "data.RootMeanSquare", "Root of the mean square"),
        ("reduction", "data.StandardDeviation", "Standard deviation or variance"),
        ("training_module", "train.LightningModule", "Training, with an average of weights if one is given"),
        ("training_module", "train.EMALightningModule", "Training with exponentially averaged weights"),
        ("weight_average", "train.ExponentialMovingAverage", "Exponential average of the weights"),
        ("loss", "train.EnergyForceLoss", "Squared errors of energies and forces"),
        ("loss", "train.EnergyForceStressLoss", "Squared errors of energies, forces and stress"),
        ("loss", "train.EnergyOnlyLoss", "Squared errors of energies"),
        ("metrics", "train.EnergyForceMetrics", "Errors of energies and forces"),
        ("metrics", "train.EnergyForceStressMetrics", "Errors of energies, forces and stress"),
        ("metrics", "train.EnergyOnlyMetrics", "Errors of energies"),
    ):
        yield PartEntry(kind=kind, target=f"equipot.{name}", summary=summary)


@hookimpl
def equipot_export_targets() -> Iterator[ExportTargetEntry]:
    """The engine that core itself has: Python, which ASE calls."""
    summary = "Frames and batches in Python: ASE, and engines that are driven from Python"
    yield ExportTargetEntry(name="ase", target="equipot.compile.AseTarget", summary=summary)


@hookimpl
def equipot_target_aliases() -> Iterator[TargetAliasEntry]:
    """The class that configs of other programs name for a data loader; here it is always equipot's own."""
    yield TargetAliasEntry(name="torch.utils.data.DataLoader", summary="equipot's own loader, with the same options")
