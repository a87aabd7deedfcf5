"""What ops are checked for: derivatives, and arguments with strides."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd import gradcheck, gradgradcheck


def check_to_the_second(function: Callable[..., torch.Tensor], tensors: Sequence[torch.Tensor]) -> None:
    """Compare the first two derivatives of a function with finite differences.

    Args:
        function: Of the tensors.
        tensors: float64.
    """
    inputs = [tensor.requires_grad_() for tensor in tensors]
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


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


def check_strides(op: Callable[..., Any], tensors: tuple[torch.Tensor, ...], rest: tuple[Any, ...]) -> None:
    """The result of ``op(*tensors, *rest)`` is the same to the bit for tensors that are not contiguous.

    Args:
        op: Has one result.
        tensors: Their places in memory are changed: with gaps between elements, then between rows.
        rest: The other arguments.
    """
    tensors = tuple(one.detach() for one in tensors)
    expected = op(*tensors, *rest)
    spread = [torch.stack([one] * 2, dim=-1)[..., 0] for one in tensors]
    apart = [torch.cat([one, one], dim=-1)[..., : one.shape[-1]] for one in tensors]
    for strided in (spread, apart):
        assert not any(one.is_contiguous() for one in strided)
        torch.testing.assert_close(op(*strided, *rest), expected, rtol=0, atol=0)
