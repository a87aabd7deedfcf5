"""Splines as torch ops that can be differentiated any number of times.

``order`` says which derivative along the place between two knots is computed; see ``family``.
"""

from __future__ import annotations

from typing import Any

import torch

from equipot_kernels._build.torch_ops import call, define, differentiate, needed, save_tensors

Tensor = torch.Tensor


def _evaluate_fake(table: Tensor, row: Tensor, *_: Any) -> Tensor:
    return table.new_empty(row.shape[0], table.shape[2])


def _contract_fake(table: Tensor, row: Tensor, place: Tensor, *_: Any) -> Tensor:  # noqa: ARG001 - the op's schema
    return place.new_empty(row.shape[0])


def _scatter_fake(*arguments: Any) -> Tensor:
    g, n_rows = arguments[0], arguments[4]
    made: Tensor = g.new_empty(n_rows, 4, g.shape[1])
    return made


def _evaluate_cpu(table: Tensor, row: Tensor, place: Tensor, scale: Tensor | None, order: int, kernel: int) -> Tensor:
    out = _evaluate_fake(table, row, place, scale, order, kernel)
    given = [None if part is None else part.contiguous() for part in (table, row, place, scale)]
    call(kernel, "evaluate", row.shape[0], *given, out, order)
    return out


def _contract_cpu(table: Tensor, row: Tensor, place: Tensor, g: Tensor, order: int, kernel: int) -> Tensor:
    out = _contract_fake(table, row, place, g, order, kernel)
    given = [part.contiguous() for part in (table, row, place, g)]
    call(kernel, "contract", row.shape[0], *given, out, order)
    return out


def _scatter_cpu(
    g: Tensor, row: Tensor, place: Tensor, scale: Tensor | None, n_rows: int, order: int, kernel: int
) -> Tensor:
    out = _scatter_fake(g, row, place, scale, n_rows, order, kernel)
    given = [None if part is None else part.contiguous() for part in (row, place, scale, g)]
    made = (row.new_empty(n_rows + 1), row.new_empty(row.shape[0]), out)
    call(kernel, "scatter", row.shape[0], n_rows, *given, *made, order)
    return out


spline_evaluate = define(
    "spline_evaluate(Tensor table, Tensor row, Tensor place, Tensor? scale, int order, int kernel) -> Tensor",
    _evaluate_cpu,
    _evaluate_fake,
)
"""∂F/∂g: table [n_rows, 4, dim], row, place and scale [n_edges] to [n_edges, dim]."""

spline_contract = define(
    "spline_contract(Tensor table, Tensor row, Tensor place, Tensor g, int order, int kernel) -> Tensor",
    _contract_cpu,
    _contract_fake,
)
"""∂F/∂s: table [n_rows, 4, dim], row and place [n_edges], g [n_edges, dim] to [n_edges], float64."""

spline_scatter = define(
    "spline_scatter(Tensor g, Tensor row, Tensor place, Tensor? scale, SymInt n_rows, int order, int kernel) -> Tensor",
    _scatter_cpu,
    _scatter_fake,
)
"""∂F/∂T: g [n_edges, dim], row, place and scale [n_edges] to [n_rows, 4, dim]."""


def _along_place_and_scale(ctx: Any, table: Tensor, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """∂F/∂f and ∂F/∂s, which the derivatives of ``evaluate`` and ``scatter`` share."""
    _, row, place, *scale = ctx.saved_tensors
    *_, order, kernel = ctx.constants
    _, _, of_place, *of_scale = needed(ctx, 3 + len(scale))
    along_place = spline_contract(table, row, place, g, order + 1, kernel) if of_place else None
    if along_place is not None and scale:
        along_place = scale[0] * along_place
    return along_place, spline_contract(table, row, place, g, order, kernel) if any(of_scale) else None


def _evaluate_derivative(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    table, row, place, *scale = ctx.saved_tensors
    *_, order, kernel = ctx.constants
    factor = scale[0] if scale else None
    along_table = spline_scatter(g, row, place, factor, table.shape[0], order, kernel) if needed(ctx, 1)[0] else None
    return along_table, None, *_along_place_and_scale(ctx, table, g), None, None


def _contract_derivative(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
    table, row, place, g = ctx.saved_tensors
    order, kernel = ctx.constants
    of_table, _, of_place, of_g = needed(ctx, 4)
    return (
        spline_scatter(g, row, place, h, table.shape[0], order, kernel) if of_table else None,
        None,
        h * spline_contract(table, row, place, g, order + 1, kernel) if of_place else None,
        spline_evaluate(table, row, place, h, order, kernel) if of_g else None,
        None,
        None,
    )


def _scatter_derivative(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
    g, row, place, *scale = ctx.saved_tensors
    *_, order, kernel = ctx.constants
    factor = scale[0] if scale else None
    along_g = spline_evaluate(h, row, place, factor, order, kernel) if needed(ctx, 1)[0] else None
    return along_g, None, *_along_place_and_scale(ctx, h, g), None, None, None


# The scale may be None: then it is the first of the constants that save_tensors keeps.
differentiate("spline_evaluate", _evaluate_derivative, save_tensors)
differentiate("spline_contract", _contract_derivative, save_tensors)
differentiate("spline_scatter", _scatter_derivative, save_tensors)
