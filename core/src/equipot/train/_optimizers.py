"""How torch's optimizers go through the parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from equipot.config._instantiate import Deferred

_CHOICES = ("fused", "foreach", "capturable", "differentiable")
"""Options of torch's optimizers that say how they compute; a config that sets one has chosen."""


def in_one_pass(optimizer: Callable[..., Any], parameters: Sequence[tuple[str, torch.Tensor]]) -> dict[str, bool]:
    """Options with which one of torch's optimizers updates all parameters in one operation, where it can.

    By default it runs about a dozen operations for each parameter, which takes longer than the step of a small model.

    Args:
        optimizer: Its class with the options of the config, to be called with the parameters.
        parameters: Names and tensors to optimise.

    Returns:
        ``{"fused": True}``, or nothing: for other classes, if the config chooses, or if a parameter is complex or on a
        device other than CPU and GPU.
    """
    kind, given = _parts(optimizer)
    if not str(getattr(kind, "__module__", "")).startswith("torch.optim"):
        return {}
    if "fused" not in inspect.signature(kind).parameters or any(name in given for name in _CHOICES):
        return {}
    fits = all(one.is_floating_point() and one.device.type in ("cpu", "cuda") for _, one in parameters)
    return {"fused": True} if fits else {}


def _parts(optimizer: Callable[..., Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The class, and the options that it gets."""
    if isinstance(optimizer, Deferred):
        return optimizer.target, optimizer.options
    return (optimizer.func, optimizer.keywords) if isinstance(optimizer, partial) else (optimizer, {})
