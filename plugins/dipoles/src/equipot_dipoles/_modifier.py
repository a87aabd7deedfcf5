"""The modifier ``add_Dipoles``."""

from __future__ import annotations

import torch

from equipot.errors import ConfigError, problem
from equipot.model import GraphModel, features_of
from equipot_dipoles._head import Dipoles

HEAD = "dipoles"
"""Name of the head in a model."""


def add_Dipoles(  # noqa: N802 - registered names keep the field's spelling
    model: GraphModel, *, charged: bool = False, seed: int = 1
) -> GraphModel:
    """Predict dipole moments and partial charges of molecules.

    Args:
        model: A model whose builder has node features; it is not changed.
        charged: Whether frames may be ions: each then has a ``total_charge``, and dipole moments are relative to the
            centre of mass. Otherwise all frames are neutral.
        seed: Seed of the head's initial weights.

    Returns:
        The model with the head; the argument itself if it has this head already.

    Raises:
        ConfigError: If the builder has no node features, if the model has a head for other charges, or if the types of
            a model for ions are not elements, which have a mass.
    """
    layout = features_of(model, "add_Dipoles")
    if HEAD in model.outputs:
        head = model.outputs[HEAD]
        if isinstance(head, Dipoles) and head.charged == charged:
            return model
        raise ConfigError(problem("add_Dipoles", f"the model has another head {HEAD!r}", hint="take a model without"))
    numbers = model.info.atomic_numbers
    if numbers is None and charged:
        hint = "give chemical_species to the builder"
        raise ConfigError(problem("add_Dipoles.charged", "needs types that are elements, for their masses", hint=hint))
    head = Dipoles(
        layout,
        _masses(numbers) if numbers else torch.ones(len(model.info.type_names)),
        charged=charged,
        dtype=getattr(torch, model.info.model_dtype),
        generator=torch.Generator().manual_seed(seed),
    )
    return model.replace(outputs={**dict(model.heads()), HEAD: head})


def _masses(numbers: tuple[int, ...]) -> torch.Tensor:
    """Masses of elements in u."""
    from ase.data import atomic_masses

    return torch.tensor([float(atomic_masses[number]) for number in numbers], dtype=torch.float64)
