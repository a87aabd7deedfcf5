"""Configs of short runs, as dictionaries."""


def short_run(file_path, model, *, batch_size=2, **sizes):
    """A config that trains a model on energies and forces for two epochs, without log or progress bar.

    Args:
        file_path: Labelled frames.
        model: The model's config.
        batch_size: Of training.
        sizes: Frames of each part: ``train=8, val=2``.
    """
    loaders = {f"{part}_dataloader": {"batch_size": batch_size if part == "train" else 2} for part in sizes}
    coeffs = {"per_atom_energy_mae": 1.0, "forces_mae": 1.0}
    return {
        "run": list(sizes),
        "data": {
            "_target_": "equipot.data.ASEDataModule",
            "seed": 1,
            "split_dataset": {"file_path": file_path, **sizes},
            "stats_manager": {"_target_": "equipot.data.CommonDataStatisticsManager"},
            **loaders,
        },
        "trainer": {
            "_target_": "lightning.Trainer",
            "accelerator": "cpu",
            "max_epochs": 2,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        },
        "training_module": {
            "_target_": "equipot.train.EMALightningModule",
            "loss": {"_target_": "equipot.train.EnergyForceLoss", "coeffs": {"total_energy": 1.0, "forces": 1.0}},
            "val_metrics": {"_target_": "equipot.train.EnergyForceMetrics", "coeffs": coeffs},
            "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01},
            "model": model,
        },
    }
