"""Forces, virial and stress from the gradients of the energy with respect to edge vectors."""

from __future__ import annotations

import torch

from equipot.graph import Graph
from equipot.model import Derivatives, EnergyGradients


def forces_from_edges(gradient: torch.Tensor, edge_index: torch.Tensor, n_atoms: int) -> torch.Tensor:
    """Forces on atoms from edge gradients.

    With r_ij = r_j - r_i + S·cell and g = dE/dr_ij, each edge adds +g to the centre i and -g to the neighbour j.

    Args:
        gradient: g in eV/Å, shape [n_edges, 3].
        edge_index: Centre and neighbour, shape [2, n_edges].
        n_atoms: Number of atoms.

    Returns:
        Forces in eV/Å, shape [n_atoms, 3].
    """
    zeros = torch.zeros(n_atoms, 3, dtype=gradient.dtype, device=gradient.device)
    return zeros.index_add(0, edge_index[0], gradient).index_add(0, edge_index[1], -gradient)


def strain_gradient(vectors: torch.Tensor, gradient: torch.Tensor, frame: torch.Tensor, n_frames: int) -> torch.Tensor:
    """dE/d(strain) of each frame before symmetrisation, which is the sum of r ⊗ g.

    Args:
        vectors: Vectors r in Å, which a strain ε changes to (1 + ε) r, shape [n, 3].
        gradient: dE/dr in eV/Å, shape [n, 3].
        frame: Frame of each vector, shape [n].
        n_frames: Number of frames.

    Returns:
        Shape [n_frames, 3, 3], eV.

    Source: Knuth et al., Comput. Phys. Commun. 190, 33 (2015), doi:10.1016/j.cpc.2015.01.003.
    """
    if n_frames == 1:
        return (vectors.t() @ gradient).unsqueeze(0)
    outer = (vectors.unsqueeze(2) * gradient.unsqueeze(1)).reshape(-1, 9)
    zeros = torch.zeros(n_frames, 9, dtype=outer.dtype, device=outer.device)
    return zeros.index_add(0, frame, outer).reshape(-1, 3, 3)


class ForceStress(Derivatives):
    """The derivatives ``forces``, ``stress`` and ``virial``, with ``stress_mask``."""

    provides = ("forces", "stress", "virial")

    def forward(self, data: Graph, gradients: EnergyGradients) -> Graph:
        """Compute forces [n_atoms, 3] in eV/Å, stress [n_frames, 3, 3] in eV/Å³ and virial [n_frames, 3, 3] in eV."""
        n_atoms, n_frames = data["batch"].shape[0], data["num_atoms"].shape[0]
        forces = torch.zeros(n_atoms, 3, dtype=torch.float64, device=data["batch"].device)
        strain = torch.zeros(n_frames, 3, 3, dtype=torch.float64, device=data["batch"].device)
        for edges in gradients.edge_sets:
            forces = forces + forces_from_edges(edges.gradient, edges.edge_index, n_atoms)
            frame = data["batch"].index_select(0, edges.edge_index[0])
            strain = strain + strain_gradient(edges.edge_vectors, edges.gradient, frame, n_frames)
        if gradients.positions is not None:
            forces = forces - gradients.positions
            strain = strain + strain_gradient(data["positions"], gradients.positions, data["batch"], n_frames)
        if gradients.cell is not None:
            strain = strain + torch.bmm(data["cell"].transpose(1, 2), gradients.cell)
        strain = 0.5 * (strain + strain.transpose(1, 2))
        stress, mask = stress_of_frames(strain, data["cell"], data["pbc"])
        return {"forces": forces, "virial": -strain, "stress": stress, "stress_mask": mask}


def stress_of_frames(strain: torch.Tensor, cell: torch.Tensor, pbc: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Stress of the frames that are periodic in some direction and whose cell has a volume.

    Args:
        strain: dE/d(strain) in eV, shape [n_frames, 3, 3].
        cell: Cell vectors as rows, Å, shape [n_frames, 3, 3].
        pbc: Periodic directions, shape [n_frames, 3].

    Returns:
        Stress in eV/Å³ (positive under tension, 0 for other frames), shape [n_frames, 3, 3], and its mask [n_frames].
    """
    volume = torch.cross(cell[:, 0], cell[:, 1], dim=1).mul(cell[:, 2]).sum(1).abs()
    lengths = cell.square().sum(2).sqrt().prod(1)
    mask = pbc.any(1) & (volume > 1e-9 * lengths) & (volume > 0)
    safe = torch.where(mask, volume, torch.ones_like(volume))
    return torch.where(mask[:, None, None], strain / safe[:, None, None], torch.zeros_like(strain)), mask
