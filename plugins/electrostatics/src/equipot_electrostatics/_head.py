"""The head that gives out the charges of a term, and the modifier that adds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot.errors import ConfigError, problem
from equipot.model import OutputHead
from equipot_electrostatics._module import LatentElectrostaticsModule

if TYPE_CHECKING:
    from equipot.graph import Graph
    from equipot.model import GraphModel


class LatentChargesHead(OutputHead):
    """The charges that a term computes, with the same weights.

    Args:
        term: The term, whose network the head shares.
    """

    provides = ("latent_charges",)
    locality = "global"

    def __init__(self, term: LatentElectrostaticsModule) -> None:
        super().__init__()
        self.charges = term.charges
        of_charges = ("node_features", "atom_types", "batch", "num_atoms", "total_charge")
        self.requires = tuple(key for key in term.requires if key in of_charges)

    def forward(self, data: Graph) -> Graph:
        """``latent_charges`` in e, [n_atoms, n_channels]."""
        return {"latent_charges": self.charges(data)}


def enable_LatentCharges(model: GraphModel) -> GraphModel:  # noqa: N802 - as modifiers are named
    """Add the output ``latent_charges`` to a model with the term LatentElectrostatics.

    Args:
        model: A model with one such term.

    Returns:
        The model with the output, or the same model if it has it; energies and forces stay the same.

    Raises:
        ConfigError: If it has no such term, or several.
    """
    if any(isinstance(head, LatentChargesHead) for _, head in model.heads()):
        return model
    terms = {name: term for name, term in model.components() if isinstance(term, LatentElectrostaticsModule)}
    if len(terms) != 1:
        what = "needs a model with one term LatentElectrostatics"
        raise ConfigError(problem("modifier enable_LatentCharges", what, got=sorted(terms)))
    (term,) = terms.values()
    return model.replace(outputs={**dict(model.heads()), "latent_charges": LatentChargesHead(term)})
