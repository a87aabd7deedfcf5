"""Modules that a kernel plugin may put a faster one in place of.

A modifier calls ``replace_slots(model.energy, make)`` with a function that knows the slot classes it
has kernels for; it never looks at names or at the structure of a model.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable


class KernelSlot(torch.nn.Module):
    """Base of the modules that may be replaced by ones with the same ``forward``.

    A replacement holds the same parameters and buffers under the same names (see ``adopt``), so that
    state dicts do not depend on it.
    """

    def adopt(self, module: torch.nn.Module) -> None:
        """Hold the parameters, buffers and submodules of another module instead of own ones.

        Both share them from now on: what is loaded into or moved with one is seen by the other.

        Args:
            module: The module that this one replaces.
        """
        for held in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            self.__dict__[held] = module.__dict__[held]

    kernel_modifier: ClassVar[str] = ""
    """Of a module on kernels: registered name of the modifier that puts it in, whose declaration says how a
    compiled model finds them (``ModifierEntry.kernel_loader``)."""

    def kernel_specs(self, dtype: torch.dtype) -> list[dict[str, Any]]:
        """The kernels that a compiled model with this module calls: JSON values, stored in its manifest.

        Args:
            dtype: Data type of the model's features.
        """
        return []

    def exact(self) -> torch.nn.Module | None:
        """What this module approximates, on the same weights; None: it is exact to rounding."""
        return None


def replace_slots(module: torch.nn.Module, make: Callable[[KernelSlot], torch.nn.Module | None]) -> torch.nn.Module:
    """A module in which slots are replaced; the argument is unchanged.

    Args:
        module: Any module, for example a model's energy module.
        make: Gives the replacement of a slot, or None to leave it as it is. Called once a slot.

    Returns:
        A copy that shares all tensors and all submodules in which nothing was replaced; the argument
        itself if nothing was.
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
