"""The place in a model where an engine updates the features of ghost atoms."""

from __future__ import annotations

import torch


class GhostExchange(torch.nn.Module):
    """Does nothing; message-passing models call it on the features between layers.

    An engine that distributes a system over several processes replaces it by its own module, which fills the rows
    of ghost atoms with the features that their owners computed.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the features [n_atoms, dim] unchanged."""
        return features
