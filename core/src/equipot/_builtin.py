"""The declarations of core, which uses the same hooks as plugins."""

from __future__ import annotations

from collections.abc import Iterator

from equipot.declarations import CommandEntry, ModelBuilderEntry, ModifierEntry, StatsManagerEntry
from equipot.hookspecs import hookimpl


@hookimpl
def equipot_commands() -> Iterator[CommandEntry]:
    """Core's commands."""
    for name, module, summary in (
        ("train", "train.command", "Train, validate and test a model from a config"),
        ("check", "check.command", "Check a config without reading data"),
        ("compile", "compile.command", "Compile a model for an engine"),
        ("package", "package.command", "Build, show, verify and modify packages"),
        ("inspect", "inspect.command", "Show what is in a checkpoint, package or compiled file"),
        ("eval", "eval.command", "Errors of a model on labelled data"),
        ("plugins", "plugins.command", "List installed plugins and what they declare"),
        ("plugins list", "plugins.list_command", "The table of all plugins"),
        ("plugins info", "plugins.info_command", "Everything about one plugin"),
        ("describe", "components.describe", "Options of an installed component"),
        ("schema", "components.schema", "JSON Schema of the installed components"),
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
