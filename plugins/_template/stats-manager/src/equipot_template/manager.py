"""The statistics manager Template: the largest force of the train set."""

from collections.abc import Sequence
from typing import Literal

from equipot.data import StatsManager
from equipot.errors import DataError
from equipot.fields import mask_key
from equipot.graph import Graph


class TemplateCollector:
    """Takes in the train set in batches and gives the largest norm of a force."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.value: float | None = None

    def update(self, batch: Graph) -> None:
        """Take in the forces of some frames, where they are present."""
        if "forces" not in batch:
            return
        forces = batch["forces"]
        if (mask := batch.get(mask_key("forces"))) is not None:
            forces = forces[mask]
        if len(forces):
            largest = float(forces.norm(dim=1).max())
            self.value = largest if self.value is None else max(self.value, largest)

    def result(self) -> float:
        """The largest norm in eV/Å.

        Raises:
            DataError: If the train set has no forces.
        """
        if self.value is None:
            raise DataError("the train set has no forces")
        return self.value


class Template(StatsManager):
    """Statistics manager Template."""

    def names(self) -> dict[str, Literal["scalar", "per_type", "per_type_pair"]]:
        """What can be asked for in a config as ``${training_data_stats:NAME}``."""
        return {"template_forces_max": "scalar"}

    def collector(self, name: str, type_names: Sequence[str]) -> TemplateCollector:
        """A new collector for one of the names."""
        return TemplateCollector()
