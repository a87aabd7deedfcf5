"""Where the time of one step of molecular dynamics and of one training step goes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import systems
from cases import CASES

MODIFIERS = {
    "core": ([], []),
    "fused": (["enable_FusedKernels"], ["enable_FusedKernels"]),
    "splines": (
        ["enable_RadialSplines", "enable_FusedKernels"],
        ["train_with_RadialSplines", "enable_FusedKernels"],
    ),
}
"""Modifiers for use and for training."""


class Clock:
    """Adds up the CPU time that parts of a step take."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed under a name."""

        def timed(*args: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return call(*args, **options)
            finally:
                self.parts[name] = self.parts.get(name, 0.0) + time.process_time() - start

        return timed


def dynamics(case_name: str, variant: str, steps: int = 100) -> dict[str, float]:
    """Milliseconds of CPU time of the parts of one step (0.5 fs, started at 300 K), eager model."""
    import numpy as np
    import torch
    from ase import units
    from ase.md.verlet import VelocityVerlet

    from equipot.ase import EquipotCalculator

    torch.set_num_threads(1)
    atoms = systems.water()
    thermal = np.sqrt(300.0 * units.kB / atoms.get_masses())[:, None]
    atoms.set_velocities(thermal * np.random.default_rng(3).normal(size=(len(atoms), 3)))
    calculator = EquipotCalculator(_model(case_name, MODIFIERS[variant][0]))
    atoms.calc = calculator
    run = VelocityVerlet(atoms, timestep=0.5 * units.fs)
    run.run(5)
    clock = Clock()
    calculator.model.forward = clock.wrap("model", calculator.model.forward)
    calculator.neighbors.update = clock.wrap("neighbour list", calculator.neighbors.update)
    calculator.calculate = clock.wrap("calculator", calculator.calculate)
    builds, start = calculator.neighbors.builds, time.process_time()
    run.run(steps)
    found = {name: 1e3 * seconds / steps for name, seconds in clock.parts.items()}
    total = 1e3 * (time.process_time() - start) / steps
    return {
        "model": found["model"],
        "neighbour list": found["neighbour list"],
        "rest of the calculator": found["calculator"] - found["model"] - found["neighbour list"],
        "integrator (ASE)": total - found["calculator"],
        "total": total,
        "beside the model, %": 100.0 * (total - found["model"]) / found["model"],
        "lists made anew": (calculator.neighbors.builds - builds) / steps,
    }


def training(case_name: str, variant: str, steps: int = 24) -> dict[str, float]:
    """Milliseconds of CPU time of the parts of one training step with EMA and Adam, one frame a batch."""
    import functools
    import warnings

    import lightning
    import torch

    from equipot.train import EMALightningModule, EnergyForceLoss

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    clock = Clock()
    model = _model(case_name, MODIFIERS[variant][1])
    optimizer = functools.partial(torch.optim.Adam, lr=1e-4)
    module = EMALightningModule(model, EnergyForceLoss(), optimizer=optimizer)
    module.model.forward = clock.wrap("forward", module.model.forward)
    module.loss.forward = clock.wrap("loss", module.loss.forward)
    module.backward = clock.wrap("backward", module.backward)
    module.update_average = clock.wrap("average of the weights", module.update_average)
    marks = _Marks(clock)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[marks.callback],
    )
    trainer.fit(module, _loader(module.model.info, steps))
    found = {name: 1e3 * seconds / len(marks.lengths) for name, seconds in marks.parts.items()}
    total = 1e3 * statistics.mean(marks.lengths)
    computing = found["forward"] + found["loss"] + found["backward"]
    return {
        **found,
        "data, optimizer, Lightning": total - sum(found.values()),
        "total": total,
        "beside the model, %": 100.0 * (total - computing) / total,
    }


def _loader(info: Any, steps: int) -> Any:
    """A train loader over small variations of the box of water, with labels, lists cached after one pass."""
    import torch

    from equipot.data import FrameDataset, TrainLoader, frame_from_atoms
    from equipot.data._loader import BatchOrder
    from equipot.data.transforms import default_transforms

    frames = []
    for seed in range(steps):
        frame = frame_from_atoms(systems.water(seed=seed), {})[0]
        frame["total_energy"] = torch.zeros(1, dtype=torch.float64)
        frame["forces"] = torch.zeros_like(frame["positions"])
        frames.append(frame)
    dataset = FrameDataset(frames, None, default_transforms(info))
    dataset.num_edges()
    return TrainLoader(dataset, BatchOrder(steps, 1, batch_size=1))


class _Marks:
    """Begins to count after the first steps; takes the time from one step's end to the next."""

    def __init__(self, clock: Clock, skipped: int = 3) -> None:
        import lightning

        self.lengths: list[float] = []
        self.parts: dict[str, float] = {}
        marks = self

        class Callback(lightning.Callback):
            last = 0.0

            def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
                now = time.process_time()
                if trainer.global_step == skipped:
                    clock.parts.clear()
                elif trainer.global_step > skipped:
                    marks.lengths.append(now - self.last)
                    marks.parts = dict(clock.parts)
                self.last = now

        self.callback = Callback()


def _model(case_name: str, modifiers: list[str]) -> Any:
    import equipot.model
    from equipot.model import apply_modifier

    builder = {"nequip": "NequIPGNNModel"}[CASES[case_name].model]
    model = getattr(equipot.model, builder)(**CASES[case_name].hyperparameters).build().eval()
    for name in modifiers:
        model = apply_modifier(model, name)
    return model


def measure(case_name: str, variants: list[str]) -> dict[str, Any]:
    """Profiles of all variants."""
    found = {}
    for variant in variants:
        for name, one in (("molecular dynamics", dynamics), ("training", training)):
            found[f"{variant}, {name}"] = parts = one(case_name, variant)
            print(f"\n{case_name}, {variant}: one step of {name}, CPU ms")
            for part, value in parts.items():
                print(f"  {part:28s} {value:8.2f}")
    return found
