"""The modifier template: adds a soft wall between atoms to any model."""

import torch
from equipot.errors import ConfigError, problem
from equipot.graph import Graph
from equipot.model import EnergyTermModule, GraphModel

TERM = "template"
"""Name of the energy term it adds."""


class Wall(EnergyTermModule):
    """A repulsion of close atoms: height · (1 − r / radius)³ for each pair closer than the radius."""

    requires = ("edge_lengths", "edge_index", "atom_types")

    def __init__(self, height: float, radius: float) -> None:
        """Keep height (eV) and radius (Å)."""
        super().__init__()
        self.height, self.radius = height, radius

    def forward(self, data: Graph) -> torch.Tensor:
        """Energy of each atom in eV, half of its pairs', float64, shape [n_atoms]."""
        pairs = self.height * (1 - data["edge_lengths"] / self.radius).clamp(min=0) ** 3
        zeros = torch.zeros(data["atom_types"].shape[0], dtype=pairs.dtype, device=pairs.device)
        return zeros.index_add(0, data["edge_index"][0], 0.5 * pairs)


def template(model: GraphModel, *, height: float = 5.0, radius: float = 1.5) -> GraphModel:
    """Modifier template.

    Args:
        model: The model, which is not changed.
        height: Energy of two atoms at the same place, in eV.
        radius: Distance in Å from which on there is no wall; at most the model's cutoff radius.

    Returns:
        The model with the wall; the argument itself if it has this wall already.

    Raises:
        ConfigError: If the wall is wider than the model's cutoff radius.
    """
    if not 0 < radius <= model.info.r_max:
        hint = f"at most the model's r_max = {model.info.r_max}"
        raise ConfigError(problem("template.radius", "must be greater than 0", got=radius, hint=hint))
    terms = dict(model.energy_terms.items())
    old = terms.get(TERM)
    if isinstance(old, Wall) and (old.height, old.radius) == (height, radius):
        return model
    return model.replace(energy_terms={**terms, TERM: Wall(height, radius)})
