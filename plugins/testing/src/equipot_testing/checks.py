"""Comparisons with messages in plain words: which law is broken, and by how much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from equipot_testing._checklist import check_that

if TYPE_CHECKING:
    from equipot.graph import Graph

__all__ = ["check_close", "check_equal", "check_outputs_equal", "check_that"]


def check_close(law: str, actual: torch.Tensor, expected: torch.Tensor, *, tolerance: float) -> None:
    """Fail unless two tensors agree.

    Args:
        law: What should hold, in words; starts the message.
        actual: What the component gives.
        expected: What the law asks for.
        tolerance: Allowed largest difference, relative to the largest expected value or to 1 where
            that is smaller.

    Raises:
        AssertionError: With the size of the difference.
    """
    actual, expected = actual.detach(), expected.detach()
    if actual.shape != expected.shape:
        raise AssertionError(f"{law}: shape {tuple(actual.shape)}, expected {tuple(expected.shape)}")
    if actual.numel() == 0:
        return
    if not bool(torch.isfinite(actual).all()):
        raise AssertionError(f"{law}: values are not finite")
    actual, expected = actual.to(torch.float64), expected.to(torch.float64)
    difference = float((actual - expected).abs().max())
    allowed = tolerance * max(1.0, float(expected.abs().max()))
    if not difference <= allowed:
        raise AssertionError(f"{law}: differs by {difference:.3g}, allowed {allowed:.3g}")


def check_equal(law: str, actual: torch.Tensor, expected: torch.Tensor) -> None:
    """Fail unless two tensors are equal bit for bit.

    Raises:
        AssertionError: With the size of the difference.
    """
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        raise AssertionError(
            f"{law}: {actual.dtype} {tuple(actual.shape)}, expected {expected.dtype} {tuple(expected.shape)}"
        )
    if not torch.equal(actual, expected):
        difference = float((actual.to(torch.float64) - expected.to(torch.float64)).abs().max())
        raise AssertionError(f"{law}: must be equal bit for bit, differs by {difference:.3g}")


def check_outputs_equal(law: str, actual: Graph, expected: Graph) -> None:
    """Fail unless two models' outputs are the same fields with the same bits.

    Raises:
        AssertionError: Naming the field.
    """
    if actual.keys() != expected.keys():
        raise AssertionError(f"{law}: outputs {sorted(actual)}, expected {sorted(expected)}")
    for key, value in expected.items():
        check_equal(f"{law} ({key})", actual[key], value)
