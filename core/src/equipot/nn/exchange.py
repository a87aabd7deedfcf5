"""The place in a model where an engine updates the features of ghost atoms, and the ops by which files ask for it.

An engine that distributes a system over several processes gives each of them copies of atoms of others: ghosts. A model
calls a ``GhostExchange`` on what neighbours read of an atom beyond its type. Files for such engines hold a
``CalledExchange`` in its place: a call of the op ``equipot::exchange``, which the engine registers for the CPU.
"""

from __future__ import annotations

from typing import Any

import torch

from equipot.nn.slots import KernelSlot

NAMESPACE = "equipot"


class GhostExchange(KernelSlot):
    """Does nothing; message-passing models call it on the features between layers.

    An engine that distributes a system over several processes replaces it by its own module, which fills the rows
    of ghost atoms with the features that their owners computed.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the features [n_atoms, dim] unchanged."""
        return features


class CalledExchange(KernelSlot):
    """Calls the op ``equipot::exchange``: forward and reverse communication in an engine, a copy in Python."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The features [n_atoms, dim], those of ghosts as their owners have them."""
        found: torch.Tensor = exchange(features)
        return found


def _define(name: str, argument: str) -> Any:
    """Define an op that copies, unless an engine has brought it into this process."""
    qualified = f"{NAMESPACE}::{name}"
    if not torch._C._dispatch_has_kernel(qualified):  # noqa: SLF001 - torch has no public question
        _library.define(f"{name}(Tensor {argument}) -> Tensor")
    # An engine's function for the CPU goes before this one.
    _library.impl(name, _copied, "CompositeExplicitAutograd")
    torch.library.register_fake(qualified, _copied, lib=_library)
    return getattr(getattr(torch.ops, NAMESPACE), name)


def _copied(values: torch.Tensor) -> torch.Tensor:
    return values.clone(memory_format=torch.contiguous_format)


_library = torch.library.Library(NAMESPACE, "FRAGMENT")

exchange = _define("exchange", "features")
"""``exchange(features)``, [n_atoms, dim]: rows of ghosts become those of their owners (forward communication)."""

exchange_reverse = _define("exchange_reverse", "gradients")
"""``exchange_reverse(gradients)``, [n_atoms, dim]: rows of ghosts are added to those of their owners and become 0."""

for _name, _derivative in (("exchange", exchange_reverse), ("exchange_reverse", exchange)):
    torch.library.register_autograd(
        f"{NAMESPACE}::{_name}", lambda _context, g, derivative=_derivative: derivative(g), lib=_library
    )
