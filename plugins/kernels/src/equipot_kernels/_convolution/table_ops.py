"""The convolution with weights interpolated from a table, as torch ops.

These are the ops of ``ops`` with two arguments instead of the weights: the place of each edge between two
knots, and the table. A tensor with one row per edge and one column per weight is never made. Kernels compute
what forces and training on them need. Second derivatives with respect to positions, and all derivatives beyond
the second, are computed from the weights themselves.
"""

from __future__ import annotations

from typing import Any

import torch

from equipot_kernels._build.torch_ops import call, define, derivative_of, differentiate, needed, save_tensors
from equipot_kernels._convolution.family import backward_unit
from equipot_kernels._convolution.ops import conv_forward, forward_fake
from equipot_kernels._spline.radial import interpolate

Tensor = torch.Tensor

_REST = "Tensor row, Tensor index, Tensor ptr, Tensor sent_ptr, Tensor sent, int num_knots, int kernel"
"""Arguments without derivatives: the row of the table for each edge, edge index and lists, rows per pair of types."""


# ---------------------------------------------------------------------- forward


def _forward_cpu(*arguments: Any) -> Tensor:
    *tensors, num_knots, kernel = arguments
    x, y, place, table, row, index, ptr, *_ = (tensor.contiguous() for tensor in tensors)
    out = forward_fake(x, kernel)
    call(kernel, "table_forward", x.shape[0], x, y, place, row, table, num_knots, ptr, index[1], out)
    return out


table_forward = define(
    f"conv_table_forward(Tensor x, Tensor y, Tensor place, Tensor table, {_REST}) -> Tensor",
    _forward_cpu,
    forward_fake,
)


def _forward_derivative(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    x_wanted, y_wanted, place_wanted, table_wanted = needed(ctx, 4)
    edge_wanted = y_wanted or place_wanted
    gx, gy, gplace, gtable = table_backward(g, *ctx.saved_tensors, *ctx.constants, x_wanted, edge_wanted, table_wanted)
    kept = (gx if x_wanted else None, gy if y_wanted else None, gplace if place_wanted else None)
    return (*kept, gtable if table_wanted else None, *[None] * 7)


# --------------------------------------------------------------------- backward


def _backward_fake(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    _, x, y, place, table, *_, x_wanted, edge_wanted, table_wanted = arguments
    return (
        x.new_empty(x.shape if x_wanted else 0),
        y.new_empty(y.shape if edge_wanted else 0),
        place.new_empty(place.shape if edge_wanted else 0),
        table.new_empty(table.shape if table_wanted else 0),
    )


def _backward_cpu(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *tensors, num_knots, kernel, x_wanted, edge_wanted, table_wanted = arguments
    g, x, y, place, table, row, index, _, sent_ptr, sent = (tensor.contiguous() for tensor in tensors)
    made = _backward_fake(g, x, y, place, table, x_wanted, edge_wanted, table_wanted)
    if x_wanted or edge_wanted:
        name = backward_unit("table_backward", ("x" if x_wanted else "") + ("yr" if edge_wanted else ""))
        lookup, edges = (place, row, table, num_knots), (sent_ptr, sent, index[0])
        call(kernel, name, x.shape[0], g, x, y, *lookup, *edges, *made[:3])
    if table_wanted:
        lists = _table_rows(row, table.shape[0], num_knots, kernel)
        call(kernel, "table_gradient", table.shape[0], g, x, y, place, *lists, index[0], index[1], made[3])
    return made


def _table_rows(row: Tensor, n_rows: int, num_knots: int, kernel: int) -> tuple[Tensor, Tensor]:
    """Where the edges of each row of the table begin in the second tensor, and the edges ordered by row."""
    first, order = row.new_empty(n_rows + 1), row.new_empty(row.shape[0])
    call(kernel, "table_rows", row.shape[0], row, num_knots, n_rows, first, order, threads=False)
    return first, order


table_backward = define(
    f"conv_table_backward(Tensor g, Tensor x, Tensor y, Tensor place, Tensor table, {_REST}, "
    "bool x_wanted, bool edge_wanted, bool table_wanted) -> (Tensor, Tensor, Tensor, Tensor)",
    _backward_cpu,
    _backward_fake,
)


def _backward_derivative(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    g, x, y, place, table, *lists = ctx.saved_tensors
    *constants, x_wanted, edge_wanted, table_wanted = ctx.constants
    rest = (*lists, *constants)
    wanted = needed(ctx, 5)
    if table_wanted or wanted[2] or wanted[3]:
        flags = (x_wanted, edge_wanted, edge_wanted, table_wanted)
        cotangents = [grad for grad, flag in zip(grads, flags, strict=True) if flag]
        found = derivative_of(
            lambda *parts: _backward_composed(parts, rest, flags), (g, x, y, place, table), wanted, cotangents
        )
        return (*found, *[None] * 10)
    given = zip(grads, (x_wanted, edge_wanted, edge_wanted), (x, y, place), strict=False)
    hx, hy, hplace = (grad if flag else torch.zeros_like(part) for grad, flag, part in given)
    gg, gx, gtable = table_double(hx, hy, hplace, g, x, y, place, table, *rest, wanted[4])
    return (gg, gx if wanted[1] else None, None, None, gtable if wanted[4] else None, *[None] * 10)


def _composed(parts: tuple[Tensor, ...], rest: tuple[Any, ...]) -> Tensor:
    """The convolution, with the weights interpolated first."""
    x, y, place, table = parts
    row, *lists, _, kernel = rest
    made: Tensor = conv_forward(x, y, interpolate(table, row, place), *lists, kernel)
    return made


def _backward_composed(
    tensors: tuple[Tensor, ...], rest: tuple[Any, ...], flags: tuple[bool, ...]
) -> tuple[Tensor, ...]:
    """The wanted ones of the gradients by features, attributes, place and table."""
    g, *parts = tensors
    parts = [part if part.requires_grad else part.detach().requires_grad_() for part in parts]
    along = [part for part, flag in zip(parts, flags, strict=True) if flag]
    return torch.autograd.grad(_composed(tuple(parts), rest), along, g, create_graph=True)


# ---------------------------------------------------------------------- double


def _double_fake(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    g, x, _, _, table = arguments[3:8]
    return g.new_empty(g.shape), x.new_empty(x.shape), table.new_empty(table.shape if arguments[-1] else 0)


def _double_cpu(*given: Any) -> tuple[Tensor, Tensor, Tensor]:
    *tensors, num_knots, kernel, table_wanted = given
    tensors = [tensor.contiguous() for tensor in tensors]
    hx, hy, hplace, g, x, y, place, table, row, index, ptr, sent_ptr, sent = tensors
    gg, gx, gtable = _double_fake(*tensors[:8], table_wanted)
    changes, lookup = (hx, hy, hplace), (place, row, table, num_knots)
    call(kernel, "table_double_receive", x.shape[0], *changes, x, y, *lookup, ptr, index[1], gg)
    call(kernel, "table_double_send", x.shape[0], *changes, g, x, y, *lookup, sent_ptr, sent, index[0], gx)
    if table_wanted:
        lists = _table_rows(row, table.shape[0], num_knots, kernel)
        arguments = (g, x, y, place, *lists, index[0], index[1], gtable)
        call(kernel, "table_double_gradient", table.shape[0], *changes, *arguments)
    return gg, gx, gtable


table_double = define(
    "conv_table_double(Tensor hx, Tensor hy, Tensor hplace, Tensor g, Tensor x, Tensor y, Tensor place, "
    f"Tensor table, {_REST}, bool table_wanted) -> (Tensor, Tensor, Tensor)",
    _double_cpu,
    _double_fake,
)


def _double_derivative(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, row, index, ptr, sent_ptr, sent = ctx.saved_tensors
    *constants, table_wanted = ctx.constants
    rest = (row, index, ptr, sent_ptr, sent, *constants)
    cotangents = grads if table_wanted else grads[:2]
    found = derivative_of(
        lambda *parts: _double_composed(parts, rest, table_wanted=table_wanted), tensors, needed(ctx, 8), cotangents
    )
    return (*found, *[None] * 8)


def _double_composed(tensors: tuple[Tensor, ...], rest: tuple[Any, ...], *, table_wanted: bool) -> tuple[Tensor, ...]:
    """The same as ``conv_table_double``, by differentiating twice."""
    hx, hy, hplace, *parts = tensors
    g, x, y, place, table = (part if part.requires_grad else part.detach().requires_grad_() for part in parts)
    first = _backward_composed((g, x, y, place, table), rest, (True, True, True, False))
    along = [g, x, table] if table_wanted else [g, x]
    return torch.autograd.grad(first, along, [hx, hy, hplace], create_graph=True)


differentiate("conv_table_forward", _forward_derivative, save_tensors)
differentiate("conv_table_backward", _backward_derivative, save_tensors)
differentiate("conv_table_double", _double_derivative, save_tensors)
