"""One training run in CPU time: steps with a schedule over the budget, then errors on the test frames."""

from __future__ import annotations

import copy
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.io import read
from sets import files
from settings import Settings

from equipot.data import ASEDataModule, CommonDataStatisticsManager
from equipot.graph import Graph, collate, num_frames
from equipot.model import (
    AllegroModel,
    GraphModel,
    ModelInfo,
    ModelRecipe,
    NequIPGNNModel,
    apply_automatic,
    apply_modifier,
)
from equipot.quantities import PerAtomModifier
from equipot.train import EnergyForceLoss, EnergyForceStressLoss, Loss
from equipot_allegro import TwoBodyBesselScalarEmbed
from equipot_toolbox import HuberLoss, MetricsManager, MuonParamGroups, MuonWithAuxAdam

PARTS = ("train", "val", "test")
MODELS: dict[str, dict[str, Any]] = {
    "nequip": {"num_layers": 3, "l_max": 2, "parity": False, "num_features": 16, "radial_mlp_width": 32},
    "allegro": {"num_layers": 2, "l_max": 2, "parity": False, "num_scalar_features": 32, "num_tensor_features": 16},
}
"""Options of the builders as in the examples."""

CHECKS, PATIENCE = 40, 2
"""How often runs with a plateau are validated, and how many checks without progress are a plateau."""


class Run:
    """Data, model and optimizer of one run."""

    def __init__(self, settings: Settings) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(settings.seed)
        self.settings = settings
        data, self.types = _data(settings)
        self.frames = {part: _frames(data, name) for part, name in zip(PARTS, data.set_names, strict=True)}
        model = _recipe(settings, self.types, data).build()
        if settings.splines:
            model = apply_modifier(model, "train_with_RadialSplines")
        self.model = apply_automatic(model)[0].train()
        self.average = copy.deepcopy(self.model).requires_grad_(requires_grad=False)
        pairs = list(zip(self.model.parameters(), self.average.parameters(), strict=True))
        self.weights = [current for current, _ in pairs if current.requires_grad]
        self.averaged = [average for current, average in pairs if current.requires_grad]
        self.optimizer = _optimizer(settings, self.model)
        self.plateau = 1.0
        self.loss = _loss(settings)
        self.loss.bind(self.types)

    def warm(self, batch: Graph) -> None:
        """Compile and cache what is made once for all; it is not counted."""
        for _ in range(3):
            self.loss(self.model(batch), batch)["weighted_sum"].backward()

    def step(self, batch: Graph, done: float, count: int) -> None:
        """One step of the optimizer, and of the average."""
        self.loss.set_coefficients(_coefficients(self.settings, done))
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * self.settings.rate(done) * self.plateau
        self.optimizer.zero_grad()
        self.loss(self.model(batch), batch)["weighted_sum"].backward()
        self.optimizer.step()
        decay = min(self.settings.ema, (1 + count) / (10 + count))
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self.weights, 1.0 - decay)

    def errors(self, part: str) -> dict[str, float]:
        """Mean absolute errors of the averaged weights: meV per atom, meV/Å and meV/Å³."""
        self.average.eval()
        found: dict[str, list[torch.Tensor]] = {"energy": [], "forces": [], "stress": []}
        for batch in _batches(self.frames[part], 10):
            given = self.average(batch)
            counts = torch.bincount(batch["batch"], minlength=num_frames(batch))
            found["energy"].append((given["total_energy"] - batch["total_energy"]).abs().flatten() / counts)
            found["forces"].append((given["forces"] - batch["forces"]).abs().flatten())
            if "stress" in batch:
                labelled = batch.get("stress_mask", torch.ones(num_frames(batch))).bool().flatten()
                found["stress"].append((given["stress"] - batch["stress"])[labelled].abs().flatten())
        return {name: 1e3 * float(torch.cat(values).mean()) for name, values in found.items() if values}


def run(settings: Settings) -> dict[str, Any]:
    """Train and test.

    Returns:
        Settings that differ from the defaults, steps, CPU seconds, number of weights, and errors.
    """
    one, best = Run(settings), Best()
    stream = _stream(one.frames["train"], settings.batch, np.random.default_rng(settings.seed))
    one.warm(next(stream))
    begun, count, used, done = time.process_time(), 0, 0.0, 0.0
    while done < 1.0:
        one.step(next(stream), done, count)
        count += 1
        used = time.process_time() - begun
        done = count / settings.steps if settings.steps else used / settings.seconds
        if settings.schedule == "plateau" and done * CHECKS >= best.checks + 1:
            best.check(one)
    if best.state is not None:
        one.average.load_state_dict(best.state)
    found = {
        "settings": settings.changed(),
        "steps": count,
        "cpu_s": round(used, 1),
        "weights": sum(value.numel() for value in one.weights),
        "val": one.errors("val"),
        "test": one.errors("test"),
    }
    print(json.dumps(found), flush=True)
    return found


class Best:
    """Halves the learning rate on a plateau, and keeps the best weights, as the configs in ``examples`` do."""

    def __init__(self) -> None:
        self.checks, self.waited, self.value = 0, 0, float("inf")
        self.state: dict[str, torch.Tensor] | None = None

    def check(self, one: Run) -> None:
        """Validate, and act on it."""
        value = sum(one.errors("val").values())
        self.checks, self.waited = self.checks + 1, self.waited + 1
        if value < self.value:
            self.value, self.waited = value, 0
            self.state = copy.deepcopy(one.average.state_dict())
        if self.waited > PATIENCE:
            self.waited = 0
            one.plateau /= 2.0


def _data(settings: Settings) -> tuple[ASEDataModule, tuple[str, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        paths = files(settings.data, Path(folder))
        symbols = {one for path in paths.values() for atoms in read(path, ":") for one in atoms.get_chemical_symbols()}
        types = tuple(sorted(symbols))
        module = ASEDataModule(
            seed=settings.seed,
            train_file_path=paths["train"],
            val_file_path=paths["val"],
            test_file_path=paths["test"],
            train_dataloader={"batch_size": settings.batch},
            stats_manager=CommonDataStatisticsManager(),
        )
        info = {"r_max": settings.r_max, "cutoffs": None, "model_dtype": "float32"}
        module.bind(ModelInfo(type_names=types, chemical_species=types, **info))
        module.setup()
    return module, types


def _frames(module: ASEDataModule, name: str) -> list[Graph]:
    dataset = module.dataset(name)
    return [dataset[index] for index in range(len(dataset))]


def _stream(frames: list[Graph], size: int, rng: np.random.Generator) -> Iterator[Graph]:
    """Batches of shuffled frames without end."""
    while True:
        order = rng.permutation(len(frames))
        yield from _batches([frames[index] for index in order], size)


def _batches(frames: list[Graph], size: int) -> Iterator[Graph]:
    for start in range(0, len(frames), size):
        yield collate(frames[start : start + size])


def _recipe(settings: Settings, types: tuple[str, ...], data: ASEDataModule) -> ModelRecipe:
    statistics = data.statistics(["num_neighbors_mean", settings.shifts, "forces_rms"])
    options = {
        "seed": settings.seed,
        "model_dtype": "float32",
        "type_names": list(types),
        "r_max": settings.r_max,
        "avg_num_neighbors": statistics["num_neighbors_mean"],
        "per_type_energy_shifts": statistics[settings.shifts],
        "per_type_energy_scales": statistics["forces_rms"],
        **MODELS[settings.family],
        **settings.model,
    }
    if settings.family == "nequip":
        return NequIPGNNModel(**options)
    return AllegroModel(radial_chemical_embed=TwoBodyBesselScalarEmbed(), **options)


def _optimizer(settings: Settings, model: GraphModel) -> torch.optim.Optimizer:
    named = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
    if settings.optimizer == "muon":
        muon = {"lr": settings.lr, "weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw"}
        adam = {"lr": settings.lr, "weight_decay": 0.0}
        return MuonWithAuxAdam(named, MuonParamGroups(named, muon=muon, adam=adam))
    return torch.optim.Adam(named, lr=settings.lr, foreach=True)


def _loss(settings: Settings) -> Loss:
    """The loss of core, or Huber losses under the same names."""
    if settings.loss == "mse":
        return EnergyForceStressLoss() if settings.stress else EnergyForceLoss()
    energies = PerAtomModifier(field="total_energy")
    fields = {"per_atom_energy": (energies, settings.delta / 10), "forces": ("forces", settings.delta)}
    if settings.stress:
        fields["stress"] = ("stress", settings.delta / 10)
    return MetricsManager(
        [
            {"name": f"{name}_mse", "field": of, "metric": HuberLoss(delta=delta), "coeff": 1.0}
            for name, (of, delta) in fields.items()
        ]
    )


def _coefficients(settings: Settings, done: float) -> Mapping[str, float]:
    found = {"per_atom_energy_mse": settings.energy_weight(done), "forces_mse": 1.0}
    return {**found, "stress_mse": settings.stress} if settings.stress else found
