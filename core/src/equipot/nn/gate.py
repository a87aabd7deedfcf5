"""Gated nonlinearity for equivariant features."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from equipot.nn.irreps import FeatureLayout, Irrep

SILU_SCALE = 1.6791767923989418
"""1 / sqrt(<silu(z)²>) for normal z, as estimated by e3nn; trained weights depend on its exact value."""

TANH_SCALE = 1.5937334472592695
"""1 / sqrt(<tanh(z)²>) for normal z, as estimated by e3nn."""

_EVEN, _ODD = Irrep(0, 1), Irrep(0, -1)


class Gate(torch.nn.Module):
    """Activate scalars; multiply every channel with l > 0 by an activated scalar of its own.

    Even scalars and gates go through silu, odd scalars through tanh, each scaled to second moment 1
    for normal input. The input has, in addition to the output's irreps, one even scalar for each gated
    channel; these gates come after the even scalars that are kept, in the order of the blocks.

    Args:
        layout_out: Irreps of the result.

    Source: Weiler et al. (2018), arXiv:1807.02547, section 3.3.
    """

    def __init__(self, layout_out: FeatureLayout) -> None:
        super().__init__()
        self.layout_out = layout_out
        self.gated = tuple(block for block in layout_out.blocks if block.irrep.l > 0)
        num_gates = sum(block.mul for block in self.gated)
        kept = [(block.mul, block.irrep) for block in layout_out.blocks]
        self.layout_in = FeatureLayout([*kept, (num_gates, _EVEN)])

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Activate scalars and gate the other channels.

        Args:
            features: Shape [n, layout_in.dim].

        Returns:
            Shape [n, layout_out.dim].
        """
        even = features[:, : self.layout_in.mul(_EVEN)]
        activated = (SILU_SCALE * F.silu(even)).unsqueeze(1)
        used = self.layout_out.mul(_EVEN)
        parts = [activated[:, :, :used]] if used else []
        for block in self.layout_out.blocks[len(parts) :]:
            x = self.layout_in.view(features, self.layout_in.block(block.irrep))
            if block.irrep == _ODD:
                parts.append(TANH_SCALE * torch.tanh(x))
            else:
                parts.append(x * activated[:, :, used : used + block.mul])
                used += block.mul
        return self.layout_out.join(parts)
