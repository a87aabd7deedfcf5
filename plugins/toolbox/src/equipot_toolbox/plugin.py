"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import PartEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_parts() -> Iterator[PartEntry]:
    """Declare everything that configs can name."""
    for kind, name, summary in (
        ("data_module", "FrameDataModule", "Labelled frames from data sets"),
        ("dataset", "ASEDataset", "Frames from files that ASE reads"),
        ("dataset", "NPZDataset", "Frames in an NPZ archive, as those of sGDML, MD17 and rMD17"),
        ("dataset", "HDF5Dataset", "Frames in an HDF5 file"),
        ("dataset", "LMDBDataset", "Frames in an LMDB file, read one by one"),
        ("field", "MappedFieldModifier", "A predicted field compared with a label of another name"),
        ("training_module", "ConFIGLightningModule", "Training with conflict-free gradients"),
        ("training_module", "EMAConFIGLightningModule", "Conflict-free gradients and averaged weights"),
        ("training_module", "ScheduleFreeLightningModule", "Training with a schedule-free optimizer"),
        ("gradient_combination", "ConFIG", "Conflict-free gradients of the terms of the loss"),
        ("weight_average", "ScheduleFree", "The average that schedule-free optimizers define"),
        ("loss", "MetricsManager", "Any metrics of any fields, as a loss or as metrics"),
        ("loss", "EnergyForceLoss", "Core's loss with further metrics and NaN treated as absent"),
        ("loss", "EnergyForceStressLoss", "Core's loss with further metrics and NaN treated as absent"),
        ("loss", "EnergyOnlyLoss", "Core's loss with further metrics and NaN treated as absent"),
        ("metrics", "EnergyForceMetrics", "Core's metrics with further ones and NaN treated as absent"),
        ("metrics", "EnergyForceStressMetrics", "Core's metrics with further ones and NaN treated as absent"),
        ("metrics", "EnergyOnlyMetrics", "Core's metrics with further ones and NaN treated as absent"),
        ("metric", "HuberLoss", "Squared for small errors, absolute for large ones"),
        ("metric", "StratifiedHuberForceLoss", "Huber loss whose limit depends on the force"),
        ("metric", "MeanAbsoluteError", "Mean of the absolute errors"),
        ("metric", "MeanSquaredError", "Mean of the squared errors"),
        ("metric", "RootMeanSquaredError", "Root of the mean squared error"),
        ("metric", "MaximumAbsoluteError", "Largest absolute error"),
        ("optimizer", "MuonWithAuxAdam", "Muon for the matrices inside a model, Adam for the rest"),
        ("optimizer", "AdamWScheduleFree", "Schedule-free AdamW"),
        ("optimizer", "RAdamScheduleFree", "Schedule-free RAdam"),
        ("optimizer", "SGDScheduleFree", "Schedule-free SGD"),
        ("parameter_groups", "MuonParamGroups", "Which parameters Muon and Adam train, and how"),
        ("callback", "LossCoefficientScheduler", "Sets the coefficients of the loss at given epochs"),
        ("callback", "LinearLossCoefficientScheduler", "Changes the coefficients of the loss linearly"),
        ("callback", "LossCoefficientMonitor", "Logs the coefficients of the loss"),
        ("callback", "SoftAdapt", "Adapts the coefficients of the loss to how its terms fall"),
        ("callback", "TF32Scheduler", "Switches TF32 on and off at given epochs"),
        ("callback", "TrainingStatsMonitor", "Logs norms of weights, gradients and steps"),
        ("callback", "TestTimeXYZFileWriter", "Writes predictions of the test sets to extxyz files"),
        ("callback", "ValTimeXYZFileWriter", "Writes predictions of the validation sets to extxyz files"),
    ):
        yield PartEntry(kind=kind, target=f"equipot_toolbox.{name}", summary=summary)
