"""Compare a model here with what nequip's gave for the same frames."""

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
"""Largest deviation accepted: of forces and stress relative to their largest component, of an energy relative to
max(1, |E - sum of shifts|)."""

Deviations = dict[str, float]


def graph_of(frame: PeerFrame, info: ModelInfo) -> Graph:
    """The inputs of a model here for a frame.

    Args:
        frame: As exported.
        info: The model's.
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
        model: In eval mode.
        frames: As exported.
        dtype: Of the peer's model to compare with.
    """
    worst: Deviations = {}
    for frame in frames.values():
        found = {key: value.detach() for key, value in model(graph_of(frame, model.info)).items()}
        _raise(worst, _errors(found, frame.outputs[dtype], _alone(model, frame)))
    return worst


def allowed(model: GraphModel, peer: PeerModel, dtype: str) -> Deviations:
    """Accepted deviations: in float32, three times what the peer's own models of both types differ by, if larger.

    Args:
        model: Ours, for its shifts.
        peer: The exported model.
        dtype: Of the models that are compared.
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
    """Energy of each atom without neighbours."""
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
    """Compare and refuse what deviates.

    Args:
        model: Ours, in eval mode.
        peer: The exported model.
        dtype: Of both models.

    Raises:
        ArtifactError: Naming the outputs that deviate and by how much.
    """
    worst, limits = compare(model, peer.frames, dtype), allowed(model, peer, dtype)
    bad = {key: f"{value:.2g} (allowed {limits[key]:.2g})" for key, value in worst.items() if not value <= limits[key]}
    if bad:
        hint = "nothing was written: please report the model's hyperparameters"
        raise ArtifactError(
            problem(peer.source, f"gives other numbers here in {dtype}, relative deviations {bad}", hint=hint)
        )
    return worst
