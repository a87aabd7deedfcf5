"""The hooks that a plugin may implement to declare what it provides.

A plugin is a module named by an entry point in the group ``equipot.plugins.v1``. It must not import torch or e3nn.
Its hook functions take no arguments and yield declarations; they are called once, when a name is first looked up
or plugins are listed.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from equipot.declarations import (
    CommandEntry,
    EnergyTermEntry,
    ExportTargetEntry,
    FieldEntry,
    ModelBuilderEntry,
    ModifierEntry,
    PairPotentialEntry,
    PartEntry,
    StatsManagerEntry,
    TargetAliasEntry,
)

PROJECT = "equipot"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def equipot_model_builders() -> Iterable[ModelBuilderEntry]:
    """Declare model builders: subclasses of ``equipot.model.ModelBuilder``. Since 0.1.

    Example:
        >>> from equipot.declarations import ModelBuilderEntry
        >>> entry = ModelBuilderEntry(
        ...     name="MyModel", target="my_package.builder.MyModel", summary="My invariant model"
        ... )
    """
    return ()


@hookspec
def equipot_pair_potentials() -> Iterable[PairPotentialEntry]:
    """Declare pair potentials: subclasses of ``equipot.model.PairPotential``. Since 0.1.

    Example:
        >>> from equipot.declarations import PairPotentialEntry
        >>> entry = PairPotentialEntry(
        ...     name="Morse", target="my_package.morse.Morse", summary="Morse pair potential"
        ... )
    """
    return ()


@hookspec
def equipot_energy_terms() -> Iterable[EnergyTermEntry]:
    """Declare energy terms: subclasses of ``equipot.model.EnergyTerm`` that are not pair potentials. Since 0.1.

    Example:
        >>> from equipot.declarations import EnergyTermEntry
        >>> entry = EnergyTermEntry(
        ...     name="Dispersion", target="my_package.dispersion.Dispersion", summary="D3 dispersion"
        ... )
    """
    return ()


@hookspec
def equipot_modifiers() -> Iterable[ModifierEntry]:
    """Declare modifiers: functions ``(model, *, option: type = default) -> model``. Since 0.1.

    Example:
        >>> from equipot.declarations import ModifierEntry
        >>> entry = ModifierEntry(
        ...     name="freeze_Embedding", target="my_package.freeze.freeze_embedding",
        ...     summary="Stop training the type embedding", persistent=True,
        ... )
    """
    return ()


@hookspec
def equipot_stats_managers() -> Iterable[StatsManagerEntry]:
    """Declare statistics managers: subclasses of ``equipot.data.StatsManager``. Since 0.1.

    Example:
        >>> from equipot.declarations import StatsManagerEntry
        >>> entry = StatsManagerEntry(
        ...     name="MyStats", target="my_package.stats.MyStats", summary="Median energies"
        ... )
    """
    return ()


@hookspec
def equipot_parts() -> Iterable[PartEntry]:
    """Declare parts: other classes that configs may name by their path, such as losses, callbacks and data sets.

    Since 0.1. Configs cannot name any class or function of a plugin's package that is not declared.

    Example:
        >>> from equipot.declarations import PartEntry
        >>> entry = PartEntry(kind="loss", target="my_package.LogCoshLoss", summary="Mean of log cosh of the errors")
        >>> entry.name
        'my_package.LogCoshLoss'
    """
    return ()


@hookspec
def equipot_fields() -> Iterable[FieldEntry]:
    """Declare data fields: what frames may have as labels, and what models give. Since 0.1.

    The rows join the one table ``equipot.fields.FIELDS``. A label can then be read, weighted, checked, averaged,
    trained on and evaluated by its key, without more code.

    Example:
        >>> from equipot.declarations import FieldEntry
        >>> entry = FieldEntry(
        ...     key="dipole", per="frame", shape=("n_frames", 3), unit="e Å", irreps="1o",
        ...     meaning="dipole moment", label=True, ase_property="dipole",
        ... )
    """
    return ()


@hookspec
def equipot_target_aliases() -> Iterable[TargetAliasEntry]:
    """Declare the meaning of names in another program's configs, so that these run unchanged. Since 0.1.

    Example:
        >>> from equipot.declarations import TargetAliasEntry
        >>> entry = TargetAliasEntry(
        ...     name="other.train.EMAModule", target="equipot.train.EMALightningModule",
        ...     summary="Training with averaged weights", options="my_package.options.ema_module",
        ... )
    """
    return ()


@hookspec
def equipot_export_targets() -> Iterable[ExportTargetEntry]:
    """Declare engines that run compiled models: subclasses of ``equipot.compile.ExportTarget``. Since 0.1.

    Example:
        >>> from equipot.declarations import ExportTargetEntry
        >>> entry = ExportTargetEntry(
        ...     name="my_engine", target="my_package.engine.MyEngine", summary="Dynamics with my engine"
        ... )
    """
    return ()


@hookspec
def equipot_commands() -> Iterable[CommandEntry]:
    """Declare subcommands of ``equipot``: objects of the class ``click.Command``. Since 0.1.

    Called once, when a command of ``equipot`` is called or listed.

    Example:
        >>> from equipot.declarations import CommandEntry
        >>> entry = CommandEntry(
        ...     name="import-other", target="my_package.commands.import_other",
        ...     summary="Import models of another program",
        ... )
    """
    return ()
