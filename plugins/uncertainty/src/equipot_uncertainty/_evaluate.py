"""Judge uncertainties, of one model or of a committee, on labelled frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from equipot.errors import ConfigError, DataError, problem
from equipot.graph import Graph
from equipot.model import GraphModel
from equipot_uncertainty._calibration import Array, Calibration, auroc
from equipot_uncertainty._committee import committee_outputs
from equipot_uncertainty._rows import in_batches


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Calibrations on one set."""

    frames: int
    energy: Calibration | None
    energy_per_atom: Calibration | None
    forces: Calibration | None

    def to_dict(self) -> dict[str, Any]:
        """In plain containers."""
        parts = {name: getattr(self, name) for name in ("energy", "energy_per_atom", "forces")}
        return {"frames": self.frames, **{name: one.to_dict() for name, one in parts.items() if one is not None}}


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What uncertainties are worth in and out of the domain."""

    inside: Judged
    outside: Judged | None = None
    auroc: dict[str, float] = field(default_factory=dict)
    """By what separates the frames: ``energy_std`` per atom, or the root mean square over the atoms of another one."""

    def to_dict(self) -> dict[str, Any]:
        """In plain containers."""
        outside = {} if self.outside is None else {"out_of_domain": self.outside.to_dict(), "auroc": self.auroc}
        return {"in_domain": self.inside.to_dict(), **outside}


def judge(models: Sequence[GraphModel], inside: Any, outside: Any | None, *, where: str) -> Judgement:
    """Judge the uncertainties of a model, or of a committee of several.

    Args:
        models: In eval mode; one with uncertainties, or several.
        inside: Labelled frames of the domain.
        outside: Frames out of it, or None.
        where: The model, for messages.

    Raises:
        ConfigError: If a single model has no uncertainties.
        DataError: If the frames of the domain have no energies.
    """
    if len(models) == 1 and "energy_std" not in models[0].info.outputs:
        hint = "add them with 'equipot uncertainty add', or give --committee"
        raise ConfigError(problem(where, "has no uncertainties", hint=hint))
    first, scores = _judged(models, inside)
    if first.energy is None:
        raise DataError(problem(where, "the frames of the domain have no energies to compare with"))
    if outside is None:
        return Judgement(inside=first)
    second, others = _judged(models, outside)
    return Judgement(
        inside=first, outside=second, auroc={name: auroc(values, others[name]) for name, values in scores.items()}
    )


def _judged(models: Sequence[GraphModel], frames: Any) -> tuple[Judged, dict[str, Array]]:
    compared: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {"energy": [], "energy_per_atom": [], "forces": []}
    scores: dict[str, list[torch.Tensor]] = {}
    for batch in in_batches(frames):
        outputs = models[0](batch) if len(models) == 1 else committee_outputs(models, batch)
        sizes = batch["num_atoms"].double()
        if "total_energy" in batch:
            present = batch["total_energy_mask"]
            errors, stds = (outputs["total_energy"] - batch["total_energy"])[present], outputs["energy_std"][present]
            compared["energy"].append((errors, stds))
            compared["energy_per_atom"].append((errors / sizes[present], stds / sizes[present]))
        if "forces" in batch and "forces_std" in outputs:
            present = batch["forces_mask"]
            errors = (outputs["forces"] - batch["forces"])[present]
            compared["forces"].append(
                (errors.flatten(), outputs["forces_std"][present].unsqueeze(1).expand_as(errors).flatten())
            )
        for name, values in _scores(outputs, batch).items():
            scores.setdefault(name, []).append(values)
    found = {name: _calibration(parts) for name, parts in compared.items()}
    return Judged(frames=len(frames), **found), {name: torch.cat(parts).numpy() for name, parts in scores.items()}


def _scores(outputs: Graph, batch: Graph) -> dict[str, torch.Tensor]:
    """What tells frames apart, [n_frames]: large values are out of the domain."""
    sizes = batch["num_atoms"].double()
    found = {"energy_std per atom": outputs["energy_std"] / sizes}
    for key in ("atomic_energy_std", "forces_std"):
        if key in outputs:
            squares = torch.zeros_like(sizes).index_add(0, batch["batch"], outputs[key].square())
            found[key] = (squares / sizes).sqrt()
    return found


def _calibration(parts: list[tuple[torch.Tensor, torch.Tensor]]) -> Calibration | None:
    if not parts:
        return None
    errors, stds = (np.concatenate([pair[side].numpy() for pair in parts]) for side in range(2))
    return Calibration.of(errors, stds) if len(errors) else None
