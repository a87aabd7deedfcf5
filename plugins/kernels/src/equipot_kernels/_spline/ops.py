"""Splines as torch ops that can be differentiated any number of times.

``order`` is the derivative along the place between two knots that is taken; see ``spline_family``.
"""

from __future__ import annotations

from typing import Any

import torch

from equipot_kernels._build import registry
from equipot_kernels._build.torch_ops import define, differentiate, needed, pointer, threads

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
    registry.function(kernel, "evaluate")(row.shape[0], *map(pointer, (*given, out)), order, threads())
    return out


def _contract_cpu(table: Tensor, row: Tensor, place: Tensor, g: Tensor, order: int, kernel: int) -> Tensor:
    out = _contract_fake(table, row, place, g, order, kernel)
    given = [part.contiguous() for part in (table, row, place, g)]
    registry.function(kernel, "contract")(row.shape[0], *map(pointer, (*given, out)), order, threads())
    return out


def _scatter_cpu(
    g: Tensor, row: Tensor, place: Tensor, scale: Tensor | None, n_rows: int, order: int, kernel: int
) -> Tensor:
    out = _scatter_fake(g, row, place, scale, n_rows, order, kernel)
    given = [None if part is None else part.contiguous() for part in (row, place, scale, g)]
    made = (row.new_empty(n_rows + 1), row.new_empty(row.shape[0]), out)
    registry.function(kernel, "scatter")(row.shape[0], n_rows, *map(pointer, (*given, *made)), order, threads())
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


def _times(scale: Tensor | None, values: Tensor) -> Tensor:
    return values if scale is None else scale * values


def _save_evaluate(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001 - torch's signature
    table, row, place, scale, ctx.order, ctx.kernel = inputs
    ctx.save_for_backward(table, row, place, scale)


def _evaluate_derivative(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    table, row, place, scale = ctx.saved_tensors
    order, kernel = ctx.order, ctx.kernel
    of_table, _, of_place, *of_scale = needed(ctx, 3 if scale is None else 4)
    return (
        spline_scatter(g, row, place, scale, table.shape[0], order, kernel) if of_table else None,
        None,
        _times(scale, spline_contract(table, row, place, g, order + 1, kernel)) if of_place else None,
        spline_contract(table, row, place, g, order, kernel) if any(of_scale) else None,
        None,
        None,
    )


def _save_contract(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001 - torch's signature
    table, row, place, g, ctx.order, ctx.kernel = inputs
    ctx.save_for_backward(table, row, place, g)


def _contract_derivative(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
    table, row, place, g = ctx.saved_tensors
    order, kernel = ctx.order, ctx.kernel
    of_table, _, of_place, of_g = needed(ctx, 4)
    return (
        spline_scatter(g, row, place, h, table.shape[0], order, kernel) if of_table else None,
        None,
        h * spline_contract(table, row, place, g, order + 1, kernel) if of_place else None,
        spline_evaluate(table, row, place, h, order, kernel) if of_g else None,
        None,
        None,
    )


def _save_scatter(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001 - torch's signature
    g, row, place, scale, _, ctx.order, ctx.kernel = inputs
    ctx.save_for_backward(g, row, place, scale)


def _scatter_derivative(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
    g, row, place, scale = ctx.saved_tensors
    order, kernel = ctx.order, ctx.kernel
    of_g, _, of_place, *of_scale = needed(ctx, 3 if scale is None else 4)
    return (
        spline_evaluate(h, row, place, scale, order, kernel) if of_g else None,
        None,
        _times(scale, spline_contract(h, row, place, g, order + 1, kernel)) if of_place else None,
        spline_contract(h, row, place, g, order, kernel) if any(of_scale) else None,
        None,
        None,
        None,
    )


differentiate("spline_evaluate", _evaluate_derivative, _save_evaluate)
differentiate("spline_contract", _contract_derivative, _save_contract)
differentiate("spline_scatter", _scatter_derivative, _save_scatter)
