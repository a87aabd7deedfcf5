"""Random initial weights from an explicit generator; torch's global random state does not change."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch


def normal_parameter(shape: Sequence[int], dtype: torch.dtype, generator: torch.Generator) -> torch.nn.Parameter:
    """Parameter drawn from N(0, 1); numbers are drawn in float64, so that they are the same for every dtype."""
    return torch.nn.Parameter(torch.randn(tuple(shape), dtype=torch.float64, generator=generator).to(dtype))


def uniform_parameter(shape: Sequence[int], dtype: torch.dtype, generator: torch.Generator) -> torch.nn.Parameter:
    """Parameter drawn uniformly from (-√3, √3), which has variance 1; otherwise as ``normal_parameter``."""
    unit = torch.rand(tuple(shape), dtype=torch.float64, generator=generator)
    return torch.nn.Parameter(((2.0 * unit - 1.0) * math.sqrt(3.0)).to(dtype))
