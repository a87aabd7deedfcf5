"""Derivatives of ops."""

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import gradcheck, gradgradcheck


def check_to_the_third(op: Callable[..., Any], tensors: tuple[torch.Tensor, ...], rest: tuple[Any, ...]) -> None:
    """Compare the first three derivatives of ``op(*tensors, *rest)`` by the tensors with finite differences.

    Args:
        op: Has one result.
        tensors: float64, and they require gradients.
        rest: The other arguments.
    """
    assert gradcheck(lambda *parts: op(*parts, *rest), tensors)

    def gradient(*parts: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(op(*parts, *rest).square().sum(), parts, create_graph=True)

    assert gradcheck(gradient, tensors, fast_mode=True)
    assert gradgradcheck(gradient, tensors, fast_mode=True)
