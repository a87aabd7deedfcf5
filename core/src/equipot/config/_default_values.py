"""The table of what a short config may leave out: value, and why it is the obvious one.

``equipot.config._defaults`` says where these are put in.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from equipot.config._sections import LOSS, STAGES
from equipot.fields import LABELS

if TYPE_CHECKING:
    from equipot.config._defaults import Written

ABSENT: Any = object()
"""What a function returns if there is no default."""

TEST_GIVEN = {"train": 0.9, "val": 0.1}
ALL_PARTS = {"train": 0.8, "val": 0.1, "test": 0.1}
SCHEDULER = "training_module.lr_scheduler"
METRICS = "training_module.val_metrics"
STATISTICS = "training_data_stats"

METRICS_OF = {
    "equipot.train.EnergyOnlyLoss": "equipot.train.EnergyOnlyMetrics",
    "equipot.train.EnergyForceStressLoss": "equipot.train.EnergyForceStressMetrics",
    "equipot.train.EnergyForceLoss": "equipot.train.EnergyForceMetrics",
}
"""Metrics of the same labels as a loss, or as one that is derived from it."""

COEFFICIENTS = {
    "equipot.train.EnergyOnlyMetrics": {"per_atom_energy_mae": 1.0},
    "equipot.train.EnergyForceMetrics": {"per_atom_energy_mae": 1.0, "forces_mae": 1.0},
    "equipot.train.EnergyForceStressMetrics": {"per_atom_energy_mae": 1.0, "forces_mae": 1.0, "stress_mae": 10.0},
}


LABEL_OF = {"per_atom_energy_mae": "total_energy", "forces_mae": "forces", "stress_mae": "stress"}
"""The label of each of these errors."""


@dataclasses.dataclass(frozen=True)
class Default:
    """A value that a short config need not write."""

    path: str
    """Its place; ``{model}`` is the innermost model, which others may modify."""

    value: Any
    """The value, or a function of what is written that gives it, or ``ABSENT``."""

    reason: str
    """Why it is the obvious one, in a few words."""


def _stages(written: Written) -> list[str]:
    return [stage for stage in STAGES if stage == "train" or written.has_set(stage)]


def _part(name: str) -> Any:
    """Size of a part of the split, if none of the parts is given."""

    def size(written: Written) -> Any:
        split = written.given("data.split_dataset")
        if any(part in split for part in ALL_PARTS) or any(written.has_files(part) for part in ("train", "val")):
            return ABSENT
        sizes = TEST_GIVEN if written.has_files("test") else ALL_PARTS
        return sizes.get(name, ABSENT)

    return size


def _batch_size(written: Written) -> Any:
    loader = written.given("data.train_dataloader") or {}
    return ABSENT if {"max_atoms", "max_edges"} & loader.keys() else 5


def _manager(written: Written) -> str:
    kind = "EnergyOnly" if written.energy_only else "Common"
    return f"equipot.data.{kind}DataStatisticsManager"


def _devices(written: Written) -> Any:
    return ABSENT if "accelerator" in (written.given("trainer") or {}) else 1


def _epochs(written: Written) -> Any:
    trainer = written.given("trainer") or {}
    if {"max_steps", "max_time"} & trainer.keys():
        return ABSENT
    return -1 if written.ended_by_callback else 100


def _loss(written: Written) -> str:
    loss = written.given(LOSS) or {}
    coefficients = loss.get("coeffs") if isinstance(loss, dict) else None
    stress = isinstance(coefficients, dict) and "stress" in coefficients
    return "equipot.train.EnergyForceStressLoss" if stress else "equipot.train.EnergyForceLoss"


def _metrics(written: Written) -> Any:
    return next((METRICS_OF[loss] for loss in METRICS_OF if written.derives(LOSS, loss)), ABSENT)


def _coefficients(written: Written) -> Any:
    found = COEFFICIENTS.get(str(written.value(f"{METRICS}._target_")), ABSENT)
    if found is ABSENT:
        return ABSENT
    further = _further_labels(written)
    if not further:
        return dict(found)
    learnt = written.value(f"{LOSS}.coeffs")
    own = {name: one for name, one in found.items() if LABEL_OF[name] in learnt}
    return {**own, **{f"{label}_mae": 1.0 for label in further}}


def _further_labels(written: Written) -> list[str]:
    """Labels of the loss that neither it nor its metrics are named for, such as a dipole."""
    coefficients = written.value(f"{LOSS}.coeffs")
    named = ("total_energy", "forces", "stress")
    usual = str(written.value(f"{METRICS}._target_")) in COEFFICIENTS
    if not usual or not isinstance(coefficients, dict):
        return []
    return [label for label in coefficients if label in LABELS and label not in named]


def _labels_of_metrics(written: Written) -> Any:
    return _further_labels(written) or ABSENT


def _rate(written: Written) -> float:
    return 0.01 if written.new_model else 0.001


def _for_plateau(value: Any) -> Any:
    """A value for a scheduler that waits for a plateau of the validation error."""

    def found(written: Written) -> Any:
        if not written.has_set("val") or written.value(METRICS) is None:
            return ABSENT
        target = written.value(f"{SCHEDULER}.scheduler._target_")
        plateau = target is None or str(target).endswith("ReduceLROnPlateau")
        return (value(written) if callable(value) else value) if plateau else ABSENT

    return found


def _validated_every(written: Written) -> Any:
    every = written.value("trainer.check_val_every_n_epoch")
    return every if type(every) is int and every > 0 else 1


def _derivatives(written: Written) -> Any:
    return False if written.energy_only else ABSENT


def _scales(written: Written) -> str:
    return f"${{{STATISTICS}:{'per_atom_energy_std' if written.energy_only else 'forces_rms'}}}"


DEFAULTS = (
    Default(f"{LOSS}._target_", _loss, "energies and forces; with a weight of stress, stress too"),
    Default("data._target_", "equipot.data.ASEDataModule", "reads files of all formats"),
    Default("data.seed", 1, "any number; a fixed one makes the split repeatable"),
    *(Default(f"data.split_dataset.{part}", _part(part), "most frames to learn from") for part in ALL_PARTS),
    Default("data.train_dataloader.batch_size", _batch_size, "many steps matter more than fast ones"),
    Default("data.stats_manager._target_", _manager, "the statistics that a model needs"),
    Default("trainer._target_", "lightning.Trainer", "the only trainer"),
    Default("trainer.accelerator", "auto", "a GPU if there is one"),
    Default("trainer.devices", _devices, "more of them make batches larger"),
    Default("trainer.max_epochs", _epochs, "minutes on a small set; -1 if a callback ends the run"),
    Default("trainer.log_every_n_steps", 10, "epochs of small sets are short"),
    Default("training_module._target_", "equipot.train.EMALightningModule", "averaged weights have smaller errors"),
    Default("training_module.ema_decay", 0.99, "averages over about 100 steps"),
    Default(f"{METRICS}._target_", _metrics, "the labels of the loss"),
    Default(f"{METRICS}.labels", _labels_of_metrics, "further labels of the loss"),
    Default(f"{METRICS}.coeffs", _coefficients, "mean absolute errors; stress is small in eV/Å³"),
    Default("training_module.optimizer._target_", "torch.optim.Adam", "the usual optimizer of the field"),
    Default("training_module.optimizer.lr", _rate, "0.01 for a new model, 0.001 for a trained one"),
    Default(
        f"{SCHEDULER}.scheduler._target_",
        _for_plateau("torch.optim.lr_scheduler.ReduceLROnPlateau"),
        "smaller steps once the error stops falling",
    ),
    Default(f"{SCHEDULER}.scheduler.factor", _for_plateau(0.5), "half the rate"),
    Default(f"{SCHEDULER}.scheduler.patience", _for_plateau(8), "epochs that the error may take to fall again"),
    Default(f"{SCHEDULER}.monitor", _for_plateau("val0_epoch/weighted_sum"), "what best.ckpt has the smallest of"),
    Default(f"{SCHEDULER}.interval", _for_plateau("epoch"), "the error is known after an epoch"),
    Default(f"{SCHEDULER}.frequency", _for_plateau(_validated_every), "as often as it is validated"),
    Default("{model}.seed", 1, "any number; a fixed one makes the run repeatable"),
    Default("{model}.model_dtype", "float32", "exact enough for weights, and twice as fast"),
    Default("{model}.type_names", "auto", "the elements of the data"),
    Default("{model}.do_derivatives", _derivatives, "nobody asks for forces"),
    Default("{model}.avg_num_neighbors", f"${{{STATISTICS}:num_neighbors_mean}}", "keeps features of order 1"),
    Default(
        "{model}.per_type_energy_shifts",
        f"${{{STATISTICS}:per_type_energy_shifts_auto}}",
        "isolated atoms, else a fit, else the mean",
    ),
    Default("{model}.per_type_energy_scales", _scales, "makes what the model learns of order 1"),
    Default("run", _stages, "train, then every further set that the data have"),
)
"""What is put in, in this order: later ones see earlier ones."""
