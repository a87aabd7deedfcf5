"""The family ``convolution``: gather, tensor product with edge attributes, sum over neighbours."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from equipot_kernels._build.registry import INTEGER, POINTER
from equipot_kernels._convolution import tables, units
from equipot_kernels._convolution.plan import Plan, check_spec, plan_of
from equipot_kernels._convolution.weights import Weights

OPS = "equipot_kernels._convolution.table_ops"

_EXPLICIT, _TABLE = Weights(table=False), Weights(table=True)

_BACKWARD = {"backward": ("xyw", "yw", "xw"), "table_backward": ("xyr", "yr", "x")}
"""Sets of results that have a unit of their own; other sets use the smallest unit that contains them."""


def _partial(function: Callable[..., str], *arguments: Any, **options: Any) -> Callable[[Plan], str]:
    return lambda plan: function(plan, *arguments, **options)


_SOURCES: dict[str, Callable[[Plan], str]] = {
    "forward": _partial(units.forward, _EXPLICIT),
    **{f"backward_{outputs}": _partial(units.backward, _EXPLICIT, outputs) for outputs in _BACKWARD["backward"]},
    "double_receive": _partial(units.double_receive, _EXPLICIT),
    "double_send": _partial(units.double_send, _EXPLICIT),
    "table_forward": _partial(units.forward, _TABLE),
    **{
        f"table_backward_{outputs}": _partial(units.backward, _TABLE, outputs)
        for outputs in _BACKWARD["table_backward"]
    },
    "table_double_receive": _partial(units.double_receive, _TABLE),
    "table_double_send": _partial(units.double_send, _TABLE),
    "table_rows": tables.rows_of_edges,
    "table_gradient": _partial(tables.gradient, double=False),
    "table_double_gradient": _partial(tables.gradient, double=True),
}

_LOOKUP = [POINTER, POINTER, POINTER, INTEGER]
"""Places between knots, rows of the table, table, number of knots."""

UNITS: dict[str, list[Any]] = {
    "forward": [INTEGER, *[POINTER] * 6, INTEGER],
    **{f"backward_{outputs}": [INTEGER, *[POINTER] * 10, INTEGER] for outputs in _BACKWARD["backward"]},
    "double_receive": [INTEGER, *[POINTER] * 9, INTEGER],
    "double_send": [INTEGER, *[POINTER] * 12, INTEGER],
    "table_forward": [INTEGER, *[POINTER] * 2, *_LOOKUP, *[POINTER] * 3, INTEGER],
    **{
        f"table_backward_{outputs}": [INTEGER, *[POINTER] * 3, *_LOOKUP, *[POINTER] * 6, INTEGER]
        for outputs in _BACKWARD["table_backward"]
    },
    "table_double_receive": [INTEGER, *[POINTER] * 5, *_LOOKUP, *[POINTER] * 3, INTEGER],
    "table_double_send": [INTEGER, *[POINTER] * 6, *_LOOKUP, *[POINTER] * 4, INTEGER],
    "table_rows": [INTEGER, POINTER, INTEGER, INTEGER, POINTER, POINTER],
    "table_gradient": [INTEGER, *[POINTER] * 9, INTEGER],
    "table_double_gradient": [INTEGER, *[POINTER] * 12, INTEGER],
}

FORCES = tuple(name for name in UNITS if name.removeprefix("table_").startswith(("forward", "backward")))


def check(spec: Mapping[str, Any]) -> None:
    """Check a spec.

    Raises:
        KernelError: If it is not valid.
    """
    check_spec(spec)


def sizes(spec: Mapping[str, Any]) -> dict[str, int]:
    """Numbers that the shapes of results depend on."""
    return {"dim_out": plan_of(spec).dim_out}


def source(spec: Mapping[str, Any], unit: str) -> str:
    """The C++ source text of a unit."""
    return _SOURCES[unit](plan_of(spec))


@functools.lru_cache(maxsize=64)
def backward_unit(kind: str, wanted: str) -> str:
    """The smallest unit that computes the wanted results.

    Args:
        kind: ``backward`` or ``table_backward``.
        wanted: Letters of its results.
    """
    fitting = [outputs for outputs in _BACKWARD[kind] if set(wanted) <= set(outputs)]
    return f"{kind}_{min(fitting, key=len)}"
