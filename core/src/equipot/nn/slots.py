"""Modules that a plugin may replace: by faster ones, or by those of an engine.

A modifier calls ``replace_slots(model.energy, make)`` with a function that knows for which slot classes there are
kernels; it depends neither on names nor on the structure of a model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar

import torch


class KernelSlot(torch.nn.Module):
    """Base class of modules that may be replaced by others with the same ``forward``.

    A replacement has the same parameters and buffers under the same names (see ``adopt``), so that it does not
    change state dicts.
    """

    def adopt(self, module: torch.nn.Module) -> None:
        """Use the parameters, buffers and submodules of another module instead of own ones.

        Both modules share them from now on: loading or moving the weights of one changes the other too.

        Args:
            module: The module that this one replaces.
        """
        for held in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            self.__dict__[held] = module.__dict__[held]

    kernel_modifier: ClassVar[str] = ""
    """For modules that call kernels: registered name of the modifier that inserts them. Its declaration says how a
    compiled model loads the kernels (``ModifierEntry.kernel_loader``)."""

    def kernel_specs(self, dtype: torch.dtype) -> list[dict[str, Any]]:
        """The kernels that a compiled model with this module calls, as JSON values for its manifest.

        Args:
            dtype: Data type of the model's features.
        """
        return []

    def exact(self) -> torch.nn.Module | None:
        """The module that this one approximates, with the same weights; None: it is exact up to rounding."""
        return None


def replace_slots(module: torch.nn.Module, make: Callable[[KernelSlot], torch.nn.Module | None]) -> torch.nn.Module:
    """Replace slots in a module, without changing the module itself.

    Args:
        module: Any module, for example the energy module of a model.
        make: Gives the replacement of a slot, or None to keep it. It is called once per slot.

    Returns:
        A copy that shares all tensors, and all submodules in which nothing was replaced; the module
        itself if nothing was replaced at all.
    """
    done: dict[torch.nn.Module, torch.nn.Module] = {}

    def visit(current: torch.nn.Module) -> torch.nn.Module:
        if current not in done:
            new = make(current) if isinstance(current, KernelSlot) else None
            done[current] = new if new is not None else _with_children(current, visit)
        return done[current]

    return visit(module)


def _with_children(module: torch.nn.Module, visit: Callable[[torch.nn.Module], torch.nn.Module]) -> torch.nn.Module:
    children = {name: None if child is None else visit(child) for name, child in module._modules.items()}  # noqa: SLF001 - named_children skips repeated modules
    if all(new is module._modules[name] for name, new in children.items()):  # noqa: SLF001
        return module
    copied = copy.copy(module)
    copied.__dict__["_modules"] = children
    return copied
