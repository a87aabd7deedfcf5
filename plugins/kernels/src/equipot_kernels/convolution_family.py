"""The family ``convolution``: gather, tensor product with edge attributes, sum over neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from equipot_kernels.convolution_plan import Plan, check_spec, plan_of
from equipot_kernels import convolution_units as units
from equipot_kernels.registry import INTEGER, POINTER

OPS = "equipot_kernels.convolution_ops"

_BACKWARD = ("xyw", "yw", "xw")
"""Sets of results that have a unit of their own; others are made by the smallest that holds them."""

_SOURCES: dict[str, Callable[[Plan], str]] = {
    "forward": units.forward,
    **{f"backward_{outputs}": (lambda plan, outputs=outputs: units.backward(plan, outputs)) for outputs in _BACKWARD},
    "double_receive": units.double_receive,
    "double_send": units.double_send,
}

UNITS: dict[str, list[Any]] = {
    "forward": [INTEGER, *[POINTER] * 6, INTEGER],
    **{f"backward_{outputs}": [INTEGER, *[POINTER] * 10, INTEGER] for outputs in _BACKWARD},
    "double_receive": [INTEGER, *[POINTER] * 9, INTEGER],
    "double_send": [INTEGER, *[POINTER] * 12, INTEGER],
}


def check(spec: Mapping[str, Any]) -> None:
    """Check a spec.

    Raises:
        KernelError: Saying what is wrong.
    """
    check_spec(spec)


def source(spec: Mapping[str, Any], unit: str) -> str:
    """The C++ text of a unit."""
    return _SOURCES[unit](plan_of(spec))


def backward_unit(wanted: str) -> str:
    """The smallest unit that gives the wanted results.

    Args:
        wanted: Letters of x, y, w.
    """
    fitting = [outputs for outputs in _BACKWARD if set(wanted) <= set(outputs)]
    return f"backward_{min(fitting, key=len)}"
