"""What one training run is made of."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

Schedule = Literal["linear", "cosine", "sqrt", "constant", "plateau"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One run; the defaults are where the experiments started."""

    data: str = "ethanol"
    """Name of a set of ``sets.SETS``."""

    seconds: float = 60.0
    """CPU seconds of training; the schedule ends with them."""

    steps: int | None = None
    """Number of steps instead, for comparisons that a busy machine must not disturb."""

    seed: int = 1
    family: Literal["nequip", "allegro"] = "nequip"
    lr: float = 0.01
    schedule: Schedule = "linear"
    warmup: float = 0.02
    """Share of the budget in which the learning rate rises."""

    decay: float = 0.4
    """Share of the budget in which the learning rate falls to zero."""

    ema: float = 0.99
    """Largest decay of the average of the weights; 0 for none."""

    optimizer: Literal["adam", "muon"] = "adam"
    batch: int = 5
    loss: Literal["mse", "huber"] = "mse"
    delta: float = 0.05
    """Force error in eV/Å above which the Huber loss is linear; for energies per atom and stress a tenth of it."""

    energy: float = 1.0
    """Weight of the energies per atom; forces have weight 1."""

    last_energy: float | None = None
    """Weight of the energies at the end, to which it moves during the decay as a geometric sequence."""

    stress: float = 0.0
    r_max: float = 4.0
    shifts: str = "per_type_energy_shifts_auto"
    splines: bool = False
    model: dict[str, Any] = field(default_factory=dict)
    """Options of the builder that differ from ``train.MODELS``."""

    def rate(self, done: float) -> float:
        """Factor of the learning rate when a share of the budget is used."""
        if self.warmup and done < self.warmup:
            return max(done / self.warmup, 0.01)
        if self.schedule in ("constant", "plateau"):
            return 1.0
        left = min(1.0, max(0.0, 1.0 - done) / self.decay)
        if self.schedule == "cosine":
            return 0.5 * (1.0 - math.cos(math.pi * left))
        if self.schedule == "sqrt":
            return 1.0 - math.sqrt(1.0 - left)
        return left

    def energy_weight(self, done: float) -> float:
        """Weight of the energies when a share of the budget is used."""
        if self.last_energy is None:
            return self.energy
        share = min(1.0, max(0.0, done - 1.0 + self.decay) / self.decay)
        return self.energy * (self.last_energy / self.energy) ** share

    def changed(self) -> dict[str, Any]:
        """What differs from the defaults."""
        start = Settings()
        held = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        return {name: value for name, value in held.items() if value != getattr(start, name)}
