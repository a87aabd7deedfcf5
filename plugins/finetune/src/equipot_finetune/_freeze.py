"""The modifier ``freeze_Parts``."""

from __future__ import annotations

import copy
import itertools
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch

from equipot.errors import ConfigError, did_you_mean, problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from equipot.model import GraphModel

SLOTS = ("energy", "scale_shift", "energy_terms", "outputs")
_SHOWN = 40


def freeze_Parts(  # noqa: N802 - named like the modifiers of the field
    model: GraphModel, *, parts: list[str], train: list[str] | None = None
) -> GraphModel:
    """Stop training parts of a model; their values stay, and so does what the model computes.

    Args:
        model: Any model.
        parts: Names of parameters or of modules that hold them, as in ``model.named_parameters()``, also with ``*``
            and ``?``: ``energy.layers.0`` is everything in the first layer, ``*embedding*`` every embedding.
        train: Parts of these that are trained all the same.

    Returns:
        A model whose named parameters do not require gradients; the same model if none did.

    Raises:
        ConfigError: If a name fits no parameter; the message lists the parts of the model.
    """
    named = dict(model.named_parameters())
    problems = [*part_problems("freeze_Parts.parts", parts, named), *part_problems("freeze_Parts.train", train, named)]
    if problems:
        raise ConfigError(problems)
    chosen = [one for name, one in named.items() if is_part(name, parts) and not is_part(name, train or ())]
    if not any(parameter.requires_grad for parameter in chosen):
        return model
    # A deep copy of the modules that takes every tensor from here: the frozen ones as new ones on the same
    # memory, the others as they are.
    tensors: dict[int, Any] = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    for parameter in chosen:
        tensors[id(parameter)] = torch.nn.Parameter(parameter.detach(), requires_grad=False)
    slots = {slot: copy.deepcopy(getattr(model, slot), tensors) for slot in SLOTS}
    return model.replace(**slots, evaluator=model.evaluator)


def is_part(name: str, patterns: Iterable[str]) -> bool:
    """Whether a parameter, or a module that holds it, has one of the names.

    Args:
        name: Of the parameter, with the names of its modules.
        patterns: Names, in which ``*`` and ``?`` stand for any characters.
    """
    holders = _holders(name)
    return any(fnmatchcase(holder, pattern) for pattern in patterns for holder in holders)


def part_problems(where: str, patterns: Sequence[str] | None, names: Iterable[str]) -> list[str]:
    """A message for each name that fits no parameter, with the parts that there are.

    Args:
        where: The option.
        patterns: Its value.
        names: Of all parameters.
    """
    names = list(names)
    every = list(dict.fromkeys(holder for name in names for holder in _holders(name)))
    found = []
    for pattern in patterns or ():
        if any(fnmatchcase(holder, pattern) for holder in every):
            continue
        short = [one for one in every if one.count(".") <= 1 or (one.count(".") == 2 and one.split(".")[2].isdecimal())]
        more = f" and {len(short) - _SHOWN} more" if len(short) > _SHOWN else ""
        hint = f"{did_you_mean(pattern, every)} parts: {', '.join(short[:_SHOWN])}{more}".strip()
        found.append(problem(where, "no parameter has this name", got=pattern, hint=hint))
    return found


def _holders(name: str) -> list[str]:
    """A parameter's name and those of the modules that hold it, the outermost first."""
    return list(itertools.accumulate(name.split("."), lambda outer, inner: f"{outer}.{inner}"))
