"""The modifier ``freeze_Parameters``."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from equipot.errors import ConfigError, unknown

if TYPE_CHECKING:
    from equipot.model import GraphModel

SLOTS = ("energy", "scale_shift", "energy_terms", "outputs")


def freeze_Parameters(  # noqa: N802 - named like the modifiers of the field
    model: GraphModel, *, parts: list[str]
) -> GraphModel:
    """Stop training parts of a model; their values stay, and so does what the model computes.

    Args:
        model: Any model.
        parts: Names of parameters or of modules that hold them, as in ``model.named_parameters()``:
            ``energy.layers.0`` is everything in the first layer.

    Returns:
        A model whose named parameters do not require gradients; the same model if none did.

    Raises:
        ConfigError: If a name fits no parameter.
    """
    chosen = _chosen(model, parts)
    if not any(parameter.requires_grad for parameter in chosen):
        return model
    # A deep copy of the modules that takes every tensor from here: the frozen ones as new ones on the same
    # memory, the others as they are.
    tensors: dict[int, Any] = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    for parameter in chosen:
        tensors[id(parameter)] = torch.nn.Parameter(parameter.detach(), requires_grad=False)
    return model.replace(**{slot: copy.deepcopy(getattr(model, slot), tensors) for slot in SLOTS})


def _chosen(model: GraphModel, parts: list[str]) -> list[torch.nn.Parameter]:
    """The parameters that the names mean."""
    named = dict(model.named_parameters())
    matches = {part: [name for name in named if name == part or name.startswith(f"{part}.")] for part in parts}
    if wrong := [part for part, names in matches.items() if not names]:
        raise ConfigError([unknown("freeze_Parameters.parts", part, named, "parameter") for part in wrong])
    return [named[name] for names in matches.values() for name in names]
