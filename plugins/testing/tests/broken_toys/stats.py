"""Broken statistics managers, and a sound one."""

import itertools

import torch

from broken_toys.toy import caught_by, toys_of
from equipot.data import StatsManager
from equipot.errors import DataError
from equipot_testing.conformance import StatsManagerConformance


class Mean:
    """Collects a mean."""

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


@caught_by("frames_not_changed", "torch's random generator")
class Drawing(Sound):
    """Draws from the global generator."""

    def look_at(self, batch):
        super().look_at(batch)
        torch.rand(1)


@caught_by("values", "mean: values must be finite floats")
class NotANumber(Sound):
    """Gives NaN."""

    def finish(self, mean):
        return {name: float("nan") for name in mean.types}


@caught_by("missing_type_is_an_error", "a type without data must be an error")
class Optimistic(Sound):
    """Gives a value for types that do not occur."""

    def finish(self, mean):
        return dict.fromkeys(mean.types, mean.sum / mean.count)


@caught_by("order_of_frames", "other order of frames: mean must not change")
class FirstFrames(Sound):
    """Looks at the first frame only."""

    def finish(self, mean):
        return dict.fromkeys(mean.types, float(self.first))

    def look_at(self, batch):
        super().look_at(batch)
        self.first = getattr(self, "first", batch["total_energy"][0])


@caught_by("values", "mean: values must be finite floats")
class Tensors(Sound):
    """Gives tensors."""

    def finish(self, mean):
        return {name: torch.tensor(1.0) for name in mean.types}


@caught_by("masked_labels_not_read", "a masked label: mean must not change")
class ReadsMasked(Sound):
    """Does not look at masks."""

    def collector(self, name, type_names):
        return Unmasked(self, type_names)


class Unmasked(Mean):
    """Collects everything."""

    def update(self, batch):
        super().update({key: value for key, value in batch.items() if key != "total_energy_mask"})


@caught_by("data_matter", "the values must depend on the data")
class Constant(Sound):
    """Gives the same number for all data."""

    def finish(self, mean):
        return dict.fromkeys(super().finish(mean), 1.0)


@caught_by("no_other_labels_read", "DataError: no forces")
class Greedy(Sound):
    """Needs forces for a mean of energies."""

    def look_at(self, batch):
        super().look_at(batch)
        if "forces" not in batch:
            raise DataError("no forces")


CALLS = itertools.count()


@caught_by("config_is_plain", r"config\(\) must not change")
class Forgetful(Sound):
    """Says another config each time."""

    def config(self):
        return {**super().config(), "call": next(CALLS)}


def kit_of(manager):
    return type(f"Kit{manager.__name__}", (StatsManagerConformance,), {"target": manager, "reads": ("total_energy",)})


TOYS = toys_of("stats manager", __name__, kit_of)
