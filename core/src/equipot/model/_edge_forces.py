"""Gradients of the energy with respect to edge vectors as outputs, and what follows from them for single atoms."""

from __future__ import annotations

import torch

from equipot.errors import ConfigError, problem
from equipot.graph import Graph, compute_edge_vectors, edge_set_key
from equipot.model._components import Derivatives, EnergyGradients
from equipot.model._graph_model import GraphModel


class EdgeForces(Derivatives):
    """The outputs of another module in this slot, and the gradients themselves as ``edge_forces``."""

    def __init__(self, inner: Derivatives, edge_set_names: tuple[str, ...]) -> None:
        """Keep the other module.

        Args:
            inner: Gives forces and stress.
            edge_set_names: Names of the model's edge sets, starting with its own.
        """
        super().__init__()
        self.inner = inner
        self.keys = tuple(edge_set_key("edge_forces", name) for name in edge_set_names)
        self.provides = (*inner.provides, *self.keys)

    def forward(self, data: Graph, gradients: EnergyGradients) -> Graph:
        """The outputs of the other module, and dE/d(edge_vectors) [n_edges, 3] in eV/Å for each edge set."""
        found = self.inner(data, gradients)
        return found | {key: edges.gradient for key, edges in zip(self.keys, gradients.edge_sets, strict=True)}


def with_edge_forces(model: GraphModel) -> GraphModel:
    """A model that also gives the gradients that its forces are made of.

    Its further outputs are ``edge_forces``, dE/d(edge_vectors) [n_edges, 3] in eV/Å for the model's own edges, and
    ``edge_forces:NAME`` for the edges of a term with its own radius (``equipot.graph.edge_set_key``). An edge adds its
    gradient g to the force of its centre and -g to that of its neighbour.

    Args:
        model: A model with forces; it is not changed.

    Returns:
        A model that shares all tensors with this one; the model itself if it has edge forces already.

    Raises:
        ConfigError: If it has no forces, or if a component reads positions or the cell, so that the gradients by edge
            vectors are not all of its forces.
    """
    if isinstance(model.derivatives, EdgeForces):
        return model
    if problems := edge_force_refusals(model):
        raise ConfigError(problems)
    assert model.derivatives is not None  # noqa: S101 - for the type checker
    return model.replace(derivatives=EdgeForces(model.derivatives, model.info.edge_set_names))


def edge_force_refusals(model: GraphModel) -> list[str]:
    """Why a model cannot give edge forces: a problem for each reason, none if it can."""
    problems = []
    if model.derivatives is None or "forces" not in model.derivatives.provides:
        hint = "apply the modifier enable_ForceStressOutput"
        problems.append(problem("edge_forces", "the model has no forces", got=list(model.info.outputs), hint=hint))
    for name, component in model.components():
        read = sorted({"positions", "cell"} & set(component.requires))
        if read:
            what = f"the component {name!r} ({type(component).__name__}) reads {' and '.join(read)}"
            hint = "such a model only has the forces on atoms"
            problems.append(problem("edge_forces", f"{what}, so that its forces are not sums over edges", hint=hint))
    return problems


def atomic_virials(data: Graph, outputs: Graph) -> torch.Tensor:
    """Share of each atom in the virial: of each edge, half of -r ⊗ g goes to either end, and the tensor is symmetric.

    How the virial of a model of many-body energies divides into atoms is a convention; this one is that of LAMMPS for
    pairs. The sum over the atoms of a frame is the frame's ``virial``, and an atom's share is the derivative of its own
    energy with respect to strain if the model is a pair potential, or if all atoms are equivalent.

    Args:
        data: A batch with the inputs of the model.
        outputs: What a model with ``edge_forces`` gives for it, of all its edge sets.

    Returns:
        In the unit of the energies, float64, shape [n_atoms, 3, 3]; divided by minus the volume it is a stress.

    Raises:
        ConfigError: If there are no edge forces.

    Source: Thompson, Plimpton, Mattson, J. Chem. Phys. 131, 154107 (2009), doi:10.1063/1.3245303.
    """
    names = [key.removeprefix("edge_forces").removeprefix(":") for key in outputs if key.startswith("edge_forces")]
    if not names:
        hint = "use equipot.model.with_edge_forces, or compile the model again"
        raise ConfigError(problem("atomic_virials", "needs the output edge_forces", got=sorted(outputs), hint=hint))
    positions, cell = data["positions"].to(torch.float64), data["cell"].to(torch.float64)
    total = torch.zeros(positions.shape[0], 9, dtype=torch.float64, device=positions.device)
    for name in names:
        index, shift = data[edge_set_key("edge_index", name)], data[edge_set_key("edge_cell_shift", name)]
        vectors = compute_edge_vectors(positions, cell, index, shift.to(torch.float64), data["batch"])
        outer = vectors.unsqueeze(2) * outputs[edge_set_key("edge_forces", name)].unsqueeze(1)
        half = -0.25 * (outer + outer.transpose(1, 2)).reshape(-1, 9)
        total = total.index_add(0, index[0], half).index_add(0, index[1], half)
    return total.reshape(-1, 3, 3)
