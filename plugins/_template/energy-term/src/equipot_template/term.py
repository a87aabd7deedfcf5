"""The energy term Template: atoms bound by the density of their neighbours, and its options."""

import dataclasses

import torch
from equipot.graph import Graph
from equipot.model import BuildContext, EnergyTerm, EnergyTermModule
from equipot.nn.cutoff import polynomial_cutoff


def template_energy(density: torch.Tensor, strength: float) -> torch.Tensor:
    r"""Energy of atoms.

    .. math:: E = -A\left(\sqrt{1 + \rho} - 1\right)

    Args:
        density: Density of the neighbours without unit, float64, shape [n_atoms]; 0 without neighbours.
        strength: A in eV.

    Returns:
        Energy of each atom in eV, float64, shape [n_atoms]; 0 without neighbours.

    Source: after Finnis and Sinclair, Phil. Mag. A 50, 45 (1984), DOI 10.1080/01418618408244210.
    """
    return -strength * (torch.sqrt(1 + density) - 1)


class TemplateModule(EnergyTermModule):
    """Sums over the neighbours of each atom, which go to 0 smoothly at r_max."""

    requires = ("edge_lengths", "normalized_edge_lengths", "edge_index", "atom_types")
    locality = "strict"  # an atom's energy depends on its neighbours only

    def __init__(self, strength: float, decay: float) -> None:
        """Keep the options; a term that learns makes its parameters here."""
        super().__init__()
        self.strength, self.decay = strength, decay

    def forward(self, data: Graph) -> torch.Tensor:
        """Energy of each atom in eV, float64, shape [n_atoms]."""
        cutoff = polynomial_cutoff(data["normalized_edge_lengths"], 6.0)
        weights = torch.exp(-data["edge_lengths"] / self.decay) * cutoff
        none = weights.new_zeros(data["atom_types"].shape[0])
        return template_energy(none.index_add(0, data["edge_index"][0], weights), self.strength)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Template(EnergyTerm):
    """Energy term Template."""

    strength: float = 1.0
    """Factor of the energy in eV."""

    decay: float = 1.0
    """Distance in Å over which the density of a neighbour falls to 1/e."""

    def build(self, context: BuildContext) -> EnergyTermModule:
        """Make the module; the context has the types, cutoffs and units of the model."""
        return TemplateModule(self.strength, self.decay)
