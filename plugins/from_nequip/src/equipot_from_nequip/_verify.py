"""Compare the results of a model with those of nequip's model for the same frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from equipot.errors import ArtifactError, problem
from equipot.neighbors import add_neighbors

if TYPE_CHECKING:
    from equipot.graph import Graph
    from equipot.model import GraphModel, ModelInfo
    from equipot_from_nequip._exported import PeerFrame, PeerModel

TOLERANCE = {"float64": 1e-10, "float32": 5e-6}
"""Largest accepted deviation: for forces and stress relative to their largest component, for energies relative to
max(1, |E - sum of shifts|)."""

Deviations = dict[str, float]


def graph_of(frame: PeerFrame, info: ModelInfo) -> Graph:
    """The inputs of our model for a frame.

    Args:
        frame: An exported frame.
        info: Of our model.
    """
    n_atoms = frame.positions.shape[0]
    graph = add_neighbors(
        {
            "positions": frame.positions,
            "cell": frame.cell.reshape(1, 3, 3),
            "pbc": frame.pbc.reshape(1, 3),
            "atom_types": frame.atom_types,
            "batch": torch.zeros(n_atoms, dtype=torch.int64),
            "num_atoms": torch.tensor([n_atoms]),
        },
        info.r_max,
        cutoffs=None if info.cutoffs is None else torch.tensor(info.cutoffs, dtype=torch.float64),
        edge_sets=info.edge_sets,
    )
    return {key: graph[key] for key in info.inputs}


def compare(model: GraphModel, frames: Mapping[str, PeerFrame], dtype: str) -> Deviations:
    """Largest deviation of each output over the frames.

    Args:
        model: Our model in eval mode.
        frames: The exported frames.
        dtype: Data type of nequip's model to compare with.
    """
    worst: Deviations = {}
    for frame in frames.values():
        found = {key: value.detach() for key, value in model(graph_of(frame, model.info)).items()}
        _raise(worst, _errors(found, frame.outputs[dtype], _alone(model, frame)))
    return worst


def allowed(model: GraphModel, peer: PeerModel, dtype: str) -> Deviations:
    """Accepted deviations. In float32 at least three times the difference between nequip's own float32 and float64.

    Args:
        model: Our model, whose shifts are needed.
        peer: The exported model.
        dtype: Data type of the models to compare.
    """
    limits = dict.fromkeys(("atomic_energy", "total_energy", "forces", "stress"), TOLERANCE[dtype])
    for frame in peer.frames.values():
        if dtype == "float32" and frame.outputs.keys() >= {"float32", "float64"}:
            errors = _errors(frame.outputs["float32"], frame.outputs["float64"], _alone(model, frame))
            _raise(limits, {key: 3.0 * error for key, error in errors.items()})
    return limits


def _raise(worst: Deviations, errors: Deviations) -> None:
    for key, error in errors.items():
        worst[key] = max(worst.get(key, 0.0), error)


def _alone(model: GraphModel, frame: PeerFrame) -> torch.Tensor:
    """Energy that each atom has without neighbours."""
    nothing = torch.zeros(frame.atom_types.shape, dtype=torch.float64)
    return model.scale_shift(nothing, frame.atom_types).detach()


def _errors(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], alone: torch.Tensor) -> Deviations:
    errors = {
        "atomic_energy": _energy(found["atomic_energy"], expected["atomic_energy"], alone),
        "total_energy": _energy(found["total_energy"], expected["total_energy"], alone.sum().reshape(1)),
    }
    for key in ("forces", "stress"):
        if key in expected:
            errors[key] = _relative(found[key].reshape(expected[key].shape), expected[key])
    return errors


def _energy(found: torch.Tensor, expected: torch.Tensor, alone: torch.Tensor) -> float:
    return float(((found - expected).abs() / (expected - alone).abs().clamp(min=1.0)).max())


def _relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    scale = float(expected.abs().max())
    difference = float((found - expected).abs().max())
    return difference / scale if scale > 0 else difference


def check(model: GraphModel, peer: PeerModel, dtype: str) -> Deviations:
    """Compare our model with nequip's.

    Args:
        model: Our model in eval mode.
        peer: The exported model.
        dtype: Data type of both models.

    Raises:
        ArtifactError: If an output deviates by more than is accepted.
    """
    worst, limits = compare(model, peer.frames, dtype), allowed(model, peer, dtype)
    bad = {key: f"{value:.2g} (allowed {limits[key]:.2g})" for key, value in worst.items() if not value <= limits[key]}
    if bad:
        hint = "nothing was written; please report the model's hyperparameters"
        raise ArtifactError(
            problem(peer.source, f"gives different results here in {dtype}, relative deviations {bad}", hint=hint)
        )
    return worst
