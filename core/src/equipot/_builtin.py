"""The declarations of core, which uses the same hooks as plugins."""

from __future__ import annotations

from collections.abc import Iterator

from equipot.declarations import (
    CommandEntry,
    ExportTargetEntry,
    FieldDtype,
    FieldEntry,
    ModelBuilderEntry,
    ModifierEntry,
    PartEntry,
    PerWhat,
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
def equipot_fields() -> Iterator[FieldEntry]:
    """Core's data fields: the geometry, energies and their derivatives, and properties of a frame."""
    for key, per, shape, dtype, unit, irreps, meaning in _FIELDS:
        yield FieldEntry(
            key=key,
            per=per,
            shape=shape,
            dtype=dtype,
            unit=unit,
            irreps=irreps,
            meaning=meaning,
            label=key in _LABELS,
            ase_property=_LABELS.get(key),
            extensive=key in ("total_energy", "virial", "total_charge"),
        )


_FIELDS: tuple[tuple[str, PerWhat, tuple[str | int, ...], FieldDtype, str, str | None, str], ...] = (
    ("positions", "atom", ("n_atoms", 3), "float64", "Å", "1o", "Cartesian positions"),
    ("cell", "frame", ("n_frames", 3, 3), "float64", "Å", None, "cell vectors as rows; zeros where there is none"),
    ("pbc", "frame", ("n_frames", 3), "bool", "", None, "periodic along each cell vector"),
    ("atomic_numbers", "atom", ("n_atoms",), "int64", "", "0e", "nuclear charge Z"),
    ("atom_types", "atom", ("n_atoms",), "int64", "", "0e", "index into the model's type_names"),
    ("batch", "atom", ("n_atoms",), "int64", "", None, "index of the atom's frame"),
    ("num_atoms", "frame", ("n_frames",), "int64", "", None, "number of atoms of each frame"),
    ("owned", "atom", ("n_atoms",), "bool", "", None, "False for ghost atoms: no energy of their own"),
    ("edge_index", "edge", (2, "n_edges"), "int64", "", None, "[0] centre, in ascending order; [1] neighbour"),
    ("edge_cell_shift", "edge", ("n_edges", 3), "float64", "", None, "integer cell shift S of the neighbour"),
    ("edge_vectors", "edge", ("n_edges", 3), "float64", "Å", "1o", "from the centre to the neighbour's image"),
    ("edge_lengths", "edge", ("n_edges",), "float64", "Å", "0e", "length of edge_vectors"),
    ("normalized_edge_lengths", "edge", ("n_edges",), "float64", "", "0e", "edge_lengths / cutoff of the types"),
    ("total_energy", "frame", ("n_frames",), "float64", "eV", "0e", "potential energy of the frame"),
    ("forces", "atom", ("n_atoms", 3), "float64", "eV/Å", "1o", "-dE/d(positions)"),
    (
        "stress",
        "frame",
        ("n_frames", 3, 3),
        "float64",
        "eV/Å³",
        "0e + 2e",
        "dE/d(strain) / volume, positive under tension",
    ),
    ("atomic_energy", "atom", ("n_atoms",), "float64", "eV", "0e", "energy assigned to the atom"),
    ("virial", "frame", ("n_frames", 3, 3), "float64", "eV", "0e + 2e", "-dE/d(strain) = -stress * volume"),
    ("stress_mask", "frame", ("n_frames",), "bool", "", None, "True where the frame has a stress"),
    ("edge_forces", "edge", ("n_edges", 3), "float64", "eV/Å", "1o", "dE/d(edge_vectors)"),
    (
        "node_features",
        "atom",
        ("n_atoms", "n_features"),
        "model_dtype",
        "",
        None,
        "features of the builder, with the irreps that EnergyModule.features names",
    ),
    (
        "last_layer_features",
        "atom",
        ("n_atoms", "n_weights"),
        "model_dtype",
        "",
        "0e",
        "what multiplies the weights of the builder's last layer, EnergyModule.last_layer, in unscaled atomic energies",
    ),
    ("total_charge", "frame", ("n_frames",), "float64", "e", "0e", "net charge"),
    ("spin_multiplicity", "frame", ("n_frames",), "int64", "", "0e", "2S + 1"),
)

_LABELS: dict[str, str | None] = {
    "total_energy": "energy",
    "forces": "forces",
    "stress": "stress",
    "atomic_energy": "energies",
    "virial": None,
}
"""Core's labels and their keys in the results of ASE's calculators."""


@hookimpl
def equipot_export_targets() -> Iterator[ExportTargetEntry]:
    """The engine that core itself has: Python, which ASE calls."""
    summary = "Frames and batches in Python: ASE, and engines that are driven from Python"
    yield ExportTargetEntry(name="ase", target="equipot.compile.AseTarget", summary=summary)


@hookimpl
def equipot_target_aliases() -> Iterator[TargetAliasEntry]:
    """The class that configs of other programs name for a data loader; here it is always equipot's own."""
    yield TargetAliasEntry(name="torch.utils.data.DataLoader", summary="equipot's own loader, with the same options")
