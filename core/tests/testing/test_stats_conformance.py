"""Core's statistics managers, and broken ones that the kit must catch."""

import pytest
import torch

from equipot.data import DataStatisticsManager, MeanAbsolute, StatsManager
from equipot.errors import DataError
from equipot.testing.conformance import StatsManagerConformance


class TestCommon(StatsManagerConformance):
    name = "CommonDataStatisticsManager"


class TestEnergyOnly(StatsManagerConformance):
    name = "EnergyOnlyDataStatisticsManager"
    reads = ("total_energy",)


class TestNamedByTheUser(StatsManagerConformance):
    name = "DataStatisticsManager"
    reads = ("forces",)

    def manager(self):
        spread = {"field": "forces", "metric": MeanAbsolute(), "name": "spread", "per_type": True}
        return DataStatisticsManager(metrics=[spread])


# ------------------------------------------------------------------- broken managers


class Mean:
    def __init__(self, manager, types):
        self.manager, self.types = manager, types
        self.sum, self.count, self.found = 0.0, 0, set()

    def update(self, batch):
        self.manager.look_at(batch)
        mask = batch.get("total_energy_mask")
        energies = batch["total_energy"] if mask is None else batch["total_energy"][mask]
        self.sum += float(energies.sum())
        self.count += len(energies)
        self.found |= set(batch["atom_types"].tolist())

    def result(self):
        return self.manager.finish(self)


class Sound(StatsManager):
    """Mean energy for all types that occur."""

    def names(self):
        return {"mean": "per_type"}

    def collector(self, name, type_names):
        return Mean(self, type_names)

    def look_at(self, batch):
        if "total_energy" not in batch:
            raise DataError("no energies")

    def finish(self, mean):
        missing = [name for index, name in enumerate(mean.types) if index not in mean.found]
        if missing:
            raise DataError(f"no atoms of type {missing}")
        return dict.fromkeys(mean.types, mean.sum / mean.count)


class Drawing(Sound):
    def look_at(self, batch):
        super().look_at(batch)
        torch.rand(1)


class NotANumber(Sound):
    def finish(self, mean):
        return {name: float("nan") for name in mean.types}


class Optimistic(Sound):
    def finish(self, mean):
        return dict.fromkeys(mean.types, mean.sum / mean.count)


class FirstFrames(Sound):
    def finish(self, mean):
        return dict.fromkeys(mean.types, float(self.first))

    def look_at(self, batch):
        super().look_at(batch)
        self.first = getattr(self, "first", batch["total_energy"][0])


class Tensors(Sound):
    def finish(self, mean):
        return {name: torch.tensor(1.0) for name in mean.types}


class TestSound(StatsManagerConformance):
    target = Sound
    reads = ("total_energy",)


@pytest.mark.parametrize(
    ("manager", "check", "words"),
    [
        (NotANumber, "values", "mean: values must be finite floats"),
        (Tensors, "values", "mean: values must be finite floats"),
        (Optimistic, "missing_type_is_an_error", "a type without data must be an error"),
        (FirstFrames, "order_of_frames", "other order of frames: mean must not change"),
        (Drawing, "frames_not_changed", "the global random generator must not be used"),
    ],
)
def test_broken_manager_is_caught(manager, check, words):
    kit = type("Kit", (StatsManagerConformance,), {"target": manager, "reads": ("total_energy",)})()
    with pytest.raises(AssertionError, match=words):
        getattr(kit, f"test_{check}")()
