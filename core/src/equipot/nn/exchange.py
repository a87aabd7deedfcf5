"""Where an engine with ghost atoms brings their features up to date."""

from __future__ import annotations

import torch


class GhostExchange(torch.nn.Module):
    """Does nothing; message-passing models call it on the features between layers.

    An engine that splits a system among processes puts its own module here, which fills the rows of
    ghost atoms with what their owners computed.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the features [n_atoms, dim] unchanged."""
        return features
