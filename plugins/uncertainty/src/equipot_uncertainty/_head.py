r"""The head: uncertainties from the features that the last layer of a model multiplies.

With features :math:`\phi_i` of atoms, atomic energies are linear in the weights of the last layer, and so is the total
energy, with the features :math:`F = \sum_i \phi_i`. The posterior of Bayesian linear regression of these weights gives

.. math:: \sigma_E^2 = \alpha^2\, F^T (C + \lambda 1)^{-1} F = |F^T W|^2,

with the covariance :math:`C` of the features of the energies of the training set and a calibration :math:`\alpha` to
the errors of a validation set. Forces are linear in the same weights, with the derivatives of :math:`F` as features; in
their covariance energies and forces count. What energies determine are sums over atoms, so that the uncertainties of
single atoms have a covariance of their own, that of the features of atoms, as if errors of atoms were independent.

Source: Bigi, Chong, Ceriotti, Grasselli (2024), arXiv:2403.02251.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field

from equipot.errors import ConfigError, problem
from equipot.graph import Graph
from equipot.model import GraphModel, OutputHead
from equipot.nn.irreps import FeatureLayout, Irrep

NAME, MODIFIER = "uncertainty", "add_LastLayerUncertainty"
"""Of the head in a model, and of the modifier that adds it."""

_UNKNOWN = 1e200
"""Stands in factors that are not fitted, since its square is infinite."""

Features = Literal["last_layer", "node"]


class LastLayerUncertainty(OutputHead):
    """``energy_std``, ``atomic_energy_std`` and, with force directions, ``forces_std``.

    Before it is fitted (``add_uncertainty``), all uncertainties are infinite.

    Args:
        features: ``last_layer``: what multiplies the weights of the last layer; ``node``: the scalars of
            ``node_features``.
        num_features: Their number p.
        num_types: Number of atom types.
        force_directions: Number K of directions in the space of the weights along which forces are differentiated, each
            at the cost of a further calculation of forces: p is exact; with fewer, ``forces_std`` is an estimate with a
            relative error of about 1/√(2K). 0: no ``forces_std``.

    Attributes:
        factor: W, float64 [p, p].
        atom_factor: The same for single atoms, float64 [p, p].
        force_factor: The same for forces, float64 [p, K].
        scales: Factors on the atomic energies of each type, float64 [num_types].
    """

    factor: torch.Tensor
    atom_factor: torch.Tensor
    force_factor: torch.Tensor
    scales: torch.Tensor

    def __init__(self, features: Features, num_features: int, num_types: int, force_directions: int = 0) -> None:
        super().__init__()
        self.key = f"{features}_features"
        self.num_features = num_features
        self.requires = (self.key, "atom_types", "batch", "num_atoms")
        self.provides: tuple[str, ...] = ("energy_std", "atomic_energy_std")
        if force_directions:
            self.requires = (*self.requires, "edge_vectors", "edge_index")
            self.provides = (*self.provides, "forces_std")
        unknown = _UNKNOWN * torch.eye(num_features, dtype=torch.float64)
        self.register_buffer("factor", unknown)
        self.register_buffer("atom_factor", unknown.clone())
        self.register_buffer("force_factor", unknown[:, :force_directions].clone())
        self.register_buffer("scales", torch.ones(num_types, dtype=torch.float64))

    def like(self, other: LastLayerUncertainty) -> bool:
        """Whether another one has the same features and the same number of directions."""
        return self.requires == other.requires and self.force_factor.shape == other.force_factor.shape

    def forward(self, data: Graph) -> Graph:
        """The standard deviations; no gradient flows back from them."""
        features = scaled_features(data, self.key, self.num_features, self.scales)
        of_atoms = features.detach()
        found = {
            "energy_std": (sum_over_frames(of_atoms, data) @ self.factor).square().sum(1).sqrt(),
            "atomic_energy_std": (of_atoms @ self.atom_factor).square().sum(1).sqrt(),
        }
        if self.force_factor.shape[1]:
            rows = force_rows(features @ self.force_factor, data)
            found["forces_std"] = rows.square().sum(2).mean(1).sqrt()
        return found


def scaled_features(data: Graph, key: str, num_features: int, scales: torch.Tensor) -> torch.Tensor:
    """The features of the energies of atoms.

    Args:
        data: With the features and ``atom_types``.
        key: Field of the features; the first ``num_features`` columns are taken.
        num_features: p.
        scales: By type, float64.

    Returns:
        float64 [n_atoms, p].
    """
    features = data[key][:, :num_features].to(torch.float64)
    return features * scales.index_select(0, data["atom_types"]).unsqueeze(1)


def sum_over_frames(parts: torch.Tensor, data: Graph) -> torch.Tensor:
    """Sums over the atoms of each frame; [n_atoms, k] to [n_frames, k]."""
    zeros = torch.zeros(data["num_atoms"].shape[0], parts.shape[1], dtype=parts.dtype, device=parts.device)
    return zeros.index_add(0, data["batch"], parts)


def force_rows(columns: torch.Tensor, data: Graph) -> torch.Tensor:
    """What each column, as an energy of the atoms, has for forces.

    Args:
        columns: [n_atoms, k], with their graph down to ``edge_vectors``.
        data: ``edge_vectors`` and ``edge_index``.

    Returns:
        [n_atoms, 3, k], detached.
    """
    centre, neighbour = data["edge_index"][0], data["edge_index"][1]
    rows = []
    for index in range(columns.shape[1]):
        (gradient,) = torch.autograd.grad(
            [columns[:, index].sum()],
            [data["edge_vectors"]],
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        zeros = torch.zeros(columns.shape[0], 3, dtype=gradient.dtype, device=gradient.device)
        rows.append(zeros.index_add(0, centre, gradient).index_add(0, neighbour, -gradient))
    return torch.stack(rows, dim=2).detach()


def without_uncertainty(model: GraphModel) -> GraphModel:
    """The model without the head and its record; itself if it has none."""
    if NAME not in dict(model.heads()):
        return model
    bare = model.replace(outputs={name: head for name, head in model.heads() if name != NAME})
    bare.modifiers = tuple(one for one in model.modifiers if one.name != MODIFIER)
    return bare


def feature_kind(model: GraphModel) -> Features:
    """The best features that a model has: exact ones of the last layer, if its builder gives them.

    Raises:
        ConfigError: If it has none.
    """
    if model.energy.has_last_layer_features:
        return "last_layer"
    if model.energy.features is not None:
        return "node"
    what = f"the builder's {type(model.energy).__name__} has neither last_layer_features nor node_features"
    raise ConfigError(problem("uncertainty", what, hint="take a committee of several models instead"))


def number_of_features(model: GraphModel, kind: Features) -> int:
    """Number p of the features of a kind; a ConfigError if the model has none."""
    if kind == "last_layer" and model.energy.has_last_layer_features:
        weights = model.energy.last_layer()
        if weights is not None:
            return int(weights.numel())
    if kind == "node" and model.energy.features is not None:
        return _leading_scalars(model.energy.features)
    what = f"the builder's {type(model.energy).__name__} does not have them"
    raise ConfigError(problem("add_LastLayerUncertainty.features", what, got=kind))


def _leading_scalars(features: str) -> int:
    layout = FeatureLayout.parse(features)
    count = layout.mul(Irrep(0, 1))
    if not count:
        raise ConfigError(problem("add_LastLayerUncertainty.features", "node_features have no scalars", got=features))
    return count


def add_last_layer_uncertainty(
    model: GraphModel,
    *,
    features: Features = "last_layer",
    force_directions: Annotated[int, Field(ge=0)] = 0,
) -> GraphModel:
    """Add the head ``uncertainty``, which is to be fitted then.

    Args:
        model: A model whose builder has the features.
        features: ``last_layer`` or ``node``, as for ``LastLayerUncertainty``.
        force_directions: As for ``LastLayerUncertainty``.

    Returns:
        The model with the head, in place of another one that it had; itself if it has such a head.

    Raises:
        ConfigError: If the model has no such features, or no forces though force directions are given.
    """
    if force_directions and model.derivatives is None:
        what = "the model has no forces"
        raise ConfigError(problem("add_LastLayerUncertainty.force_directions", what, got=force_directions))
    count = number_of_features(model, features)
    head = LastLayerUncertainty(features, count, len(model.info.type_names), min(force_directions, count))
    present = dict(model.heads()).get(NAME)
    if isinstance(present, LastLayerUncertainty) and present.like(head):
        return model
    return model.replace(outputs={**dict(model.heads()), NAME: head})
