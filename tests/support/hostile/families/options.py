"""Options of the wrong type or of an absurd size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hostile.case import Case
from hostile.families._configs import at, config_case
from hostile.families._values import ODD, dealt
from hostile.seeds import Seeds

MODEL = "training_module.model"

ABSURD: dict[str, Any] = {
    f"{MODEL}.num_features": 10**9,
    f"{MODEL}.l_max": 1000,
    f"{MODEL}.num_layers": 10**6,
    f"{MODEL}.radial_mlp_width": 10**9,
    f"{MODEL}.radial_mlp_depth": 10**7,
    f"{MODEL}.num_bessels": 10**10,
    f"{MODEL}.polynomial_cutoff_p": 1e300,
    f"{MODEL}.type_embed_num_features": 10**9,
    f"{MODEL}.r_max": 1e9,
    f"{MODEL}.seed": 10**30,
    f"{MODEL}.type_names": [f"T{index}" for index in range(100_000)],
    "data.train_dataloader.batch_size": 10**12,
    "data.train_dataloader.num_workers": 10**6,
    "data.train_dataloader.prefetch_factor": 10**9,
    "data.val_dataloader.batch_size": 10**18,
    "data.seed": 10**40,
    "data.split_dataset.train": 10**15,
    "trainer.devices": 10**6,
    "trainer.num_nodes": 10**6,
    "trainer.accumulate_grad_batches": 10**15,
    "trainer.val_check_interval": 1e-9,
    "trainer.gradient_clip_val": 1e308,
    "training_module.ema_decay": 1e300,
    "training_module.optimizer.lr": 1e308,
    "run": ["val"] * 100_000,
    "seed": 2**70,
}
"""Options with sizes that no machine can serve."""

SEVERAL: dict[str, dict[str, Any]] = {
    "l_max 12, 2000 features": {MODEL: {"l_max": 12, "num_features": 2000}},
    "1000 layers": {MODEL: {"num_layers": 1000, "num_features": 64}},
    "allegro l_max 20": {
        MODEL: {"_target_": "equipot.model.AllegroModel", "l_max": 20, "num_scalar_features": 10**6, "num_tensor_features": 10**6}
    },
    "allegro layers": {MODEL: {"_target_": "equipot.model.AllegroModel", "num_layers": 10**6}},
    "types and radii": {MODEL: {"type_names": [f"T{index}" for index in range(3000)]}},
    "a radius for each pair": {MODEL: {"per_edge_type_cutoff": {f"T{index}": 1.0 for index in range(10_000)}}},
    "irreps": {MODEL: {"irreps_edge_sh": "1000000x1000e"}},
    "features by l": {MODEL: {"num_features": [10**8, 10**8]}},
    "a million callbacks": {"trainer": {"callbacks": [{"_target_": "lightning.pytorch.callbacks.LambdaCallback"}] * 30_000}},
    "a million files": {"data": {"split_dataset": {"file_path": ["data.xyz"] * 20_000}}},
    "labels": {"data": {"labels": {f"label{index}": "x" for index in range(20_000)}}},
    "transforms": {"data": {"transforms": [{"_target_": "equipot.data.transforms.NeighborListTransform"}] * 5000}},
    "modifiers": {"training_module": {"model": {"_target_": "equipot.model.modify", "modifiers": [{"modifier": "x"}] * 5000}}},
    "losses": {"training_module": {"loss": {"coeffs": {f"x{index}": 1.0 for index in range(20_000)}}}},
}  # fmt: skip
"""Several options at once."""

PLACES = {
    "run": (), "data.seed": ("zero", "huge", "minus one"), "data.split_dataset": (), "data.split_dataset.file_path": (),
    "data.split_dataset.train": (), "data.train_dataloader": ("null", "a mapping"),
    "data.train_dataloader.batch_size": ("null",), "data.stats_manager": ("null",),
    "trainer.max_epochs": ("null", "minus one", "zero", "huge"), "trainer.callbacks": ("null", "a list", "a mapping"),
    "trainer.accelerator": (), "trainer.logger": ("null", "true", "a list"), "training_module.ema_decay": ("zero", "half"),
    "training_module.loss": (), "training_module.loss.coeffs": (), "training_module.loss.coeffs.forces": ("zero", "half", "huge"),
    "training_module.optimizer": (), "training_module.optimizer.lr": ("half", "zero", "huge", "a statistic"), "training_module.val_metrics": (),
    f"{MODEL}.type_names": (), f"{MODEL}.r_max": ("half",), f"{MODEL}.num_layers": (), f"{MODEL}.l_max": ("zero",),
    f"{MODEL}.num_features": (), f"{MODEL}.model_dtype": (), f"{MODEL}.avg_num_neighbors": ("half", "a statistic"),
    f"{MODEL}.per_type_energy_shifts": ("null", "minus one", "zero", "half", "a statistic"),
    f"{MODEL}.parity": ("true", "null"), f"{MODEL}.seed": ("zero", "huge"),
}  # fmt: skip
"""Options, and the odd values that they may take."""

_TRAINABLE = "the training works or fails with a message; only numbers are odd"


def cases(seeds: Seeds) -> Iterator[Case]:
    """Absurd sizes first, then odd values at every place."""
    config = seeds.config()
    for path, value in ABSURD.items():
        yield config_case(f"absurd {path}", config, at(path, value), harmless=_harmless(path))
    for name, changes in SEVERAL.items():
        expanded: dict[str, Any] = {}
        for path, value in changes.items():
            expanded = {**expanded, **at(path, value)}
        yield config_case(name, config, expanded)
    for path, name in dealt(PLACES, tuple(ODD), 1):
        yield config_case(
            f"{path} is {name}", config, at(path, ODD[name]), harmless=_TRAINABLE if name in PLACES[path] else ""
        )


def _harmless(path: str) -> str:
    known = {
        "data.train_dataloader.batch_size": "a batch holds all frames",
        "data.val_dataloader.batch_size": "a batch holds all frames",
        "trainer.accumulate_grad_batches": "an epoch ends the accumulation",
        "trainer.gradient_clip_val": "clips nothing",
        "training_module.optimizer.lr": "the numbers overflow, which is said",
        "trainer.val_check_interval": "a validation after every batch",
        "data.seed": "any integer is a seed",
        "seed": "any integer is a seed",
        f"{MODEL}.seed": "any integer is a seed",
        f"{MODEL}.polynomial_cutoff_p": "a number",
    }
    return known.get(path, "")
