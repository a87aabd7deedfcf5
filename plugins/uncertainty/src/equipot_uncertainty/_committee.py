"""Committees: mean and spread of several models."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from equipot.ase import EquipotCalculator
from equipot.errors import ConfigError, problem
from equipot.graph import Graph
from equipot.model import GraphModel


class Committee:
    """Several models as one, which ``equipot.evaluate.evaluate`` takes: means, and their spread.

    Args:
        models: At least two, in eval mode, with the same types, cutoffs and units.
        scale: Factor on all standard deviations.

    Raises:
        ConfigError: If they differ, there are fewer than two, or the factor is not positive.
    """

    def __init__(self, models: Sequence[GraphModel], *, scale: float = 1.0) -> None:
        check_committee(len(models), scale)
        for model in models[1:]:
            for name in ("type_names", "r_max", "cutoffs", "edge_sets", "units", "inputs"):
                if (got := getattr(model.info, name)) != (wanted := getattr(models[0].info, name)):
                    raise ConfigError(problem(f"committee: {name}", f"must be {wanted!r} in all models", got=got))
        self.models, self.scale = tuple(models), scale
        has_forces = all("forces" in one.info.outputs for one in models)
        of_forces = ("forces", "forces_std") if has_forces else ()
        outputs = ("total_energy", "energy_std", "atomic_energy_std", *of_forces)
        self.info = dataclasses.replace(models[0].info, outputs=outputs)

    def __call__(self, batch: Graph) -> Graph:
        """Means and spread of a batch."""
        outputs = [model(batch) for model in self.models]
        energies, atomic = (torch.stack([one[key] for one in outputs]) for key in ("total_energy", "atomic_energy"))
        found = {
            "total_energy": energies.mean(0),
            "energy_std": self.scale * energies.std(0),
            "atomic_energy_std": self.scale * atomic.std(0),
        }
        if "forces" in self.info.outputs:
            forces = torch.stack([one["forces"] for one in outputs])
            found |= {"forces": forces.mean(0), "forces_std": self.scale * forces.var(0).mean(1).sqrt()}
        return found


def check_committee(count: int, scale: float) -> None:
    """Refuse fewer than two models, and a factor that is not positive, with a ConfigError."""
    if count < 2:
        raise ConfigError(problem("committee: models", "must be at least two", got=count))
    if not 0.0 < scale < float("inf"):
        raise ConfigError(problem("committee: scale", "must be greater than 0", got=scale))


class CommitteeCalculator(Calculator):
    """Means of several models, and their spread as ``energy_std``, ``forces_std`` and ``atomic_energy_std``.

    ``forces_std`` is for each atom the root mean square over the three components of its force.

    Args:
        models: Files or models, at least two, as for ``EquipotCalculator``.
        scale: Factor on all standard deviations, such as RMSE / std that ``equipot uncertainty committee`` finds on
            validation data.
        **options: For every ``EquipotCalculator``.

    Raises:
        ConfigError: If there are fewer than two models, or the factor is not positive.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress"]  # type: ignore[misc]

    def __init__(self, models: Sequence[str | Path | GraphModel], *, scale: float = 1.0, **options: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        check_committee(len(models), scale)
        self.members = [EquipotCalculator(one, **options) for one in models]
        self.scale = scale
        common = [set(one.implemented_properties) for one in self.members]
        kept = [name for name in type(self).implemented_properties if all(name in one for one in common)]
        spread = ["energy_std", "atomic_energy_std", *(["forces_std"] if "forces" in kept else [])]
        self.implemented_properties = [*kept, *spread]  # type: ignore[misc]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Evaluate all models.

        Args:
            atoms: The frame; default: the previous one.
            properties: As ASE asks; everything is computed.
            system_changes: As ASE saw them.
        """
        super().calculate(atoms, list(properties), list(system_changes))  # type: ignore[no-untyped-call]
        for one in self.members:
            one.calculate(self.atoms)
        results = [one.results for one in self.members]
        found: dict[str, Any] = {
            name: np.mean([one[name] for one in results], axis=0)
            for name in type(self).implemented_properties
            if all(name in one for one in results)
        }
        for name, of in (("energy_std", "energy"), ("atomic_energy_std", "energies")):
            found[name] = self.scale * np.std([one[of] for one in results], axis=0, ddof=1)
        if "forces" in found:
            variances = np.var([one["forces"] for one in results], axis=0, ddof=1)
            found["forces_std"] = self.scale * np.sqrt(variances.mean(axis=1))
        self.results = {name: float(value) if np.ndim(value) == 0 else value for name, value in found.items()}
