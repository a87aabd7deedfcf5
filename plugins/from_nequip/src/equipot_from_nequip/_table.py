"""What each name in a config of nequip or nequip-allegro means here. Data only: imports nothing heavy.

Rows are grouped by the package that users write; ``HOMES`` lists the modules where the names are defined,
which configs may write too (``nequip.train.ema.EMALightningModule``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from equipot.declarations import TargetAliasEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIONS = "equipot_from_nequip._options"
DATA_OPTIONS = "equipot_from_nequip._data_options"
TOOLBOX = "equipot_toolbox"


@dataclass(frozen=True)
class Row:
    """One name of nequip."""

    name: str
    """Without its package."""

    target: str = ""
    """Path of our counterpart."""

    options: str = ""
    """Function that translates the options; it is in ``_data_options`` for ``nequip.data``, else in ``_options``."""

    instead: str = ""
    """What to use instead, if there is no counterpart."""

    note: str = ""
    """What is different here."""


def _same(target: str, *names: str, options: str = "", note: str = "") -> tuple[Row, ...]:
    return tuple(Row(name, f"{target}.{name}", options, note=note) for name in names)


def _none(instead: str, *names: str) -> tuple[Row, ...]:
    return tuple(Row(name, instead=instead) for name in names)


DOWNLOADED = (
    "training downloads nothing: fetch the files, then equipot.data.ASEDataModule, "
    "or equipot_toolbox.FrameDataModule with an NPZDataset"
)

ROWS: dict[str, tuple[Row, ...]] = {
    "nequip.model": (
        *_same("equipot.model", "NequIPGNNModel", "PresetNequIPGNNModel", options="model_builder"),
        Row("NequIPGNNEnergyModel", "equipot.model.NequIPGNNModel", "energy_model", note="do_derivatives: false"),
        Row("modify", "equipot.model.modify", "modify", note="modifiers that only make nequip faster are dropped"),
        Row("ModelFromPackage", "equipot.model.ModelFromPackage", "from_package", note="import the package first"),
        Row("ModelFromCheckpoint", "equipot.model.ModelFromCheckpoint", "from_checkpoint", note="of equipot's own"),
        *_same(TOOLBOX, "MuonParamGroups"),
        *_none("use NequIPGNNModel, whose options say the same where they can", "FullNequIPGNNModel"),
        *_none("give it as pair_potential of a model", "ZBLPairPotential"),
    ),
    "allegro.model": (
        *_same("equipot.model", "AllegroModel", options="model_builder"),
        Row("AllegroEnergyModel", "equipot.model.AllegroModel", "energy_model", note="do_derivatives: false"),
        *_same(TOOLBOX, "MuonParamGroups"),
        *_none("use AllegroModel, whose options say the same where they can", "FullAllegroModel"),
    ),
    "allegro.nn": _same("equipot_allegro", "TwoBodyBesselScalarEmbed", "TwoBodySplineScalarEmbed"),
    "nequip.nn.pair_potential": (
        *_same("equipot.pair_potentials", "ZBL", options="zbl"),
        *_none("use ZBL, or write it as a plugin (equipot_pair_potentials)", "LennardJones", "SimpleLennardJones"),
    ),
    "nequip.train": (
        Row("NequIPLightningModule", "equipot.train.LightningModule", "training_module"),
        *_same("equipot.train", "EMALightningModule", options="training_module"),
        *_same(
            TOOLBOX, "ConFIGLightningModule", "EMAConFIGLightningModule", "ScheduleFreeLightningModule",
            options="training_module",
        ),
        *_same("equipot.train", "EnergyForceLoss", "EnergyForceStressLoss", "EnergyOnlyLoss", options="measure",
               note="with extra_metrics, ignore_nan or a coefficient 0: equipot_toolbox"),
        *_same("equipot.train", "EnergyForceMetrics", "EnergyForceStressMetrics", "EnergyOnlyMetrics",
               options="measure", note="with extra_metrics or ignore_nan: equipot_toolbox"),
        *_same(TOOLBOX, "MetricsManager", "MeanAbsoluteError", "MeanSquaredError", "RootMeanSquaredError",
               "MaximumAbsoluteError", "HuberLoss", "StratifiedHuberForceLoss", "MuonWithAuxAdam"),
        Row("SimpleDDPStrategy", "lightning.pytorch.strategies.DDPStrategy"),
    ),
    "schedulefree": _same(TOOLBOX, "AdamWScheduleFree", "RAdamScheduleFree", "SGDScheduleFree"),
    "nequip.train.callbacks": (
        *_same(TOOLBOX, "SoftAdapt", "LossCoefficientScheduler", "LinearLossCoefficientScheduler",
               "LossCoefficientMonitor", "TF32Scheduler", "TrainingStatsMonitor", "TestTimeXYZFileWriter",
               "ValTimeXYZFileWriter"),
        *_none("watch the model from Python, or use equipot_toolbox.TrainingStatsMonitor", "WandbWatch"),
        *_none("trainer.profiler: {_target_: lightning.pytorch.profilers.PyTorchProfiler}", "TorchProfilerCallback"),
    ),
    "nequip.data": (
        *_same("equipot.data", "CommonDataStatisticsManager", "EnergyOnlyDataStatisticsManager",
               "DataStatisticsManager", options="stats_manager"),
        *_same("equipot.data", "Count", "Mean", "MeanAbsolute", "RootMeanSquare", "StandardDeviation", "Max", "Min",
               "PerAtomModifier", "EdgeLengths", "NumNeighbors"),
        *_same(TOOLBOX, "MappedFieldModifier"),
        *_none("the name of a field does it", "BaseModifier"),
        *_none("trainer.limit_train_batches shortens epochs", "PartialSampler"),
    ),
    "nequip.data.datamodule": (
        *_same("equipot.data", "ASEDataModule", options="ase_data_module",
               note="key_mapping becomes labels; neighbour lists follow from the model"),
        Row("NequIPDataModule", f"{TOOLBOX}.FrameDataModule", "frame_data_module",
            note="transforms and labels belong to the data module"),
        *_none(DOWNLOADED, "rMD17DataModule", "MD22DataModule", "sGDML_CCSD_DataModule", "NequIP3BPADataModule",
               "TM23DataModule", "SAMD23DataModule", "WaterDataModule", "COLLDataModule"),
    ),
    "nequip.data.dataset": (
        *_same(TOOLBOX, "ASEDataset", "NPZDataset", "HDF5Dataset", options="dataset"),
        *_none("write extxyz with nequip, then python -m equipot_toolbox.convert for equipot_toolbox.LMDBDataset",
               "NequIPLMDBDataset"),
        *_none("data.split_dataset: fractions or numbers of frames, stored with the run", "SubsetByRandomSlice",
               "RandomSplitAndIndexDataset"),
        *_none("use frames of your own", "EMTTestDataset", "LMDBTestDataset"),
    ),
    "nequip.data.transforms": (
        *_same("equipot.data.transforms", "ChemicalSpeciesToAtomTypeMapper", options="type_mapper"),
        *_same("equipot.data.transforms", "NeighborListTransform", options="neighbor_list"),
        Row("SortedNeighborListTransform", "equipot.data.transforms.NeighborListTransform", "neighbor_list"),
        *_none("not needed in data.transforms: neighbour lists have the model's own radii",
               "NeighborListPruneTransform"),
        *_none("in data.transforms it becomes data.labels.stress: {key: virial, convention: virial}",
               "VirialToStressTransform"),
        *_none("in data.transforms it becomes data.labels.stress: {key: stress, convention: negative_stress}",
               "StressSignFlipTransform"),
        *_none("not needed in data.transforms: frames without a stress are masked", "AddNaNStressTransform"),
        *_none("not needed in data.transforms: no box is needed", "NonPeriodicCellTransform"),
        *_none("models with several data sets are not supported yet", "DatasetIndexTransform"),
    ),
}  # fmt: skip
"""The names of each package of nequip."""

HOMES: dict[str, dict[str, tuple[str, ...]]] = {
    "nequip.model": {
        "nequip.model.nequip_models": ("NequIPGNNModel", "PresetNequIPGNNModel", "FullNequIPGNNModel"),
        "nequip.model.modify_utils": ("modify",),
        "nequip.model.saved_models": ("ModelFromPackage", "ModelFromCheckpoint"),
        "nequip.model.saved_models.package": ("ModelFromPackage",),
        "nequip.model.saved_models.checkpoint": ("ModelFromCheckpoint",),
        "nequip.model.param_groups": ("MuonParamGroups",),
        "nequip.model.pair_potential": ("ZBLPairPotential",),
    },
    "allegro.model": {
        "allegro.model.allegro_models": ("AllegroModel", "FullAllegroModel"),
        "allegro.model.param_groups": ("MuonParamGroups",),
    },
    "allegro.nn": {"allegro.nn.scalarembed": ("TwoBodyBesselScalarEmbed", "TwoBodySplineScalarEmbed")},
    "nequip.train": {
        "nequip.train.lightning": ("NequIPLightningModule",),
        "nequip.train.ema": ("EMALightningModule",),
        "nequip.train.config": ("ConFIGLightningModule", "EMAConFIGLightningModule"),
        "nequip.train.schedulefree": ("ScheduleFreeLightningModule",),
        "nequip.train.metrics_manager": (
            "MetricsManager", "EnergyForceLoss", "EnergyForceStressLoss", "EnergyOnlyLoss", "EnergyForceMetrics",
            "EnergyForceStressMetrics", "EnergyOnlyMetrics",
        ),
        "nequip.train.metrics": (
            "MeanAbsoluteError", "MeanSquaredError", "RootMeanSquaredError", "MaximumAbsoluteError", "HuberLoss",
            "StratifiedHuberForceLoss",
        ),
        "nequip.train.muon": ("MuonWithAuxAdam",),
        "nequip.train.simple_ddp": ("SimpleDDPStrategy",),
    },
    "nequip.data": {
        "nequip.data.stats_manager": (
            "CommonDataStatisticsManager", "EnergyOnlyDataStatisticsManager", "DataStatisticsManager",
        ),
        "nequip.data.stats": (
            "Count", "Mean", "MeanAbsolute", "RootMeanSquare", "StandardDeviation", "Max", "Min",
        ),
        "nequip.data.modifier": ("PerAtomModifier", "EdgeLengths", "NumNeighbors", "MappedFieldModifier"),
    },
}  # fmt: skip
"""For each package of nequip, the modules that define its names."""

RESOLVERS = (
    TargetAliasEntry(
        name="type_names_from_package",
        form="resolver",
        target="equipot_from_nequip._resolvers.type_names_from_package",
        summary="of a package of equipot",
    ),
    TargetAliasEntry(
        name="cutoff_radius_from_package",
        form="resolver",
        target="equipot_from_nequip._resolvers.cutoff_radius_from_package",
        summary="of a package of equipot",
    ),
    TargetAliasEntry(
        name="big_dataset_stats",
        form="resolver",
        instead="write the numbers, or ${training_data_stats:NAME} with data.stats_manager",
        summary="no counterpart",
    ),
)
"""Resolvers; int_div, int_mul, concat_lists, list_to_identity_dict, list_to_constant_dict are core's."""

SECTIONS = (
    TargetAliasEntry(
        name="global_options",
        form="section",
        options=f"{OPTIONS}.global_options",
        summary="taken out; for TF32 see equipot_toolbox.TF32Scheduler",
    ),
    TargetAliasEntry(
        name="ckpt_path",
        form="section",
        instead="equipot train CONFIG --resume FILE.ckpt goes on from a checkpoint of equipot",
        summary="no counterpart",
    ),
)
"""Root keys that only nequip has."""


def entries() -> Iterator[TargetAliasEntry]:
    """All aliases, including those by the module that defines a name."""
    for package, rows in ROWS.items():
        by_name = {row.name: row for row in rows}
        for row in rows:
            yield _entry(f"{package}.{row.name}", row)
        for module, names in HOMES.get(package, {}).items():
            for name in names:
                yield _entry(f"{module}.{name}", by_name[name])
    yield from RESOLVERS
    yield from SECTIONS


def _entry(name: str, row: Row) -> TargetAliasEntry:
    module = DATA_OPTIONS if name.startswith("nequip.data.") else OPTIONS
    options = f"{module}.{row.options}" if row.options else ""
    usual = "no counterpart" if row.instead else "some options are translated" if options else "same options"
    return TargetAliasEntry(
        name=name, target=row.target, options=options, instead=row.instead, summary=row.note or usual
    )
