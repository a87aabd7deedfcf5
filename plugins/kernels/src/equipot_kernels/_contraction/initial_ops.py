"""Contractions of tensors that are attributes times weights, as torch ops; gradients are made of the same three."""

from __future__ import annotations

from typing import Any

import torch

from equipot_kernels._build.torch_ops import call, define, differentiate, needed, rows_of, save_tensors

Tensor = torch.Tensor


def _apply_fake(matrices: Tensor, y: Tensor, w: Tensor, *_: Any) -> Tensor:  # noqa: ARG001 - the op's schema
    return y.new_empty(y.shape[0], matrices.shape[2], matrices.shape[3])


def _outer_fake(y: Tensor, w: Tensor, g: Tensor, ptr: Tensor, kernel: int) -> Tensor:  # noqa: ARG001 - the op's schema
    return y.new_empty(ptr.shape[0] - 1, y.shape[1], g.shape[1], g.shape[2])


def _backward_fake(matrices: Tensor, y: Tensor, w: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:  # noqa: ARG001 - the op's schema
    y_wanted, w_wanted = rest[-2:]
    return y.new_empty(y.shape if y_wanted else 0), w.new_empty(w.shape if w_wanted else 0)


def _apply_cpu(matrices: Tensor, y: Tensor, w: Tensor, ptr: Tensor, kernel: int) -> Tensor:
    out = _apply_fake(matrices, y, w)
    matrices, y, w = matrices.contiguous(), y.contiguous(), rows_of(w)
    call(kernel, "apply", ptr.shape[0] - 1, matrices, y, w, w.stride(0), ptr, out)
    return out


def _outer_cpu(y: Tensor, w: Tensor, g: Tensor, ptr: Tensor, kernel: int) -> Tensor:
    out = _outer_fake(y, w, g, ptr, kernel)
    y, w, g = y.contiguous(), rows_of(w), g.contiguous()
    call(kernel, "outer", ptr.shape[0] - 1, y, w, w.stride(0), g, ptr, out)
    return out


def _backward_cpu(matrices: Tensor, y: Tensor, w: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    g, ptr, kernel, y_wanted, w_wanted = rest
    gy, gw = _backward_fake(matrices, y, w, y_wanted, w_wanted)
    matrices, y, w, g = matrices.contiguous(), y.contiguous(), rows_of(w), g.contiguous()
    results = (gy if y_wanted else None, gw if w_wanted else None)
    call(kernel, "backward", ptr.shape[0] - 1, matrices, y, w, w.stride(0), g, ptr, *results)
    return gy, gw


init_apply = define(
    "init_apply(Tensor matrices, Tensor y, Tensor w, Tensor ptr, int kernel) -> Tensor", _apply_cpu, _apply_fake
)
"""∂S/∂g: matrices [n_atoms, dim_in, dim_out, u], y [n_edges, dim_in], w [n_edges, blocks · u] to
[n_edges, dim_out, u]."""

init_outer = define(
    "init_outer(Tensor y, Tensor w, Tensor g, Tensor ptr, int kernel) -> Tensor", _outer_cpu, _outer_fake
)
"""∂S/∂M: with g [n_edges, dim_out, u], to [n_atoms, dim_in, dim_out, u]."""

init_backward = define(
    "init_backward(Tensor matrices, Tensor y, Tensor w, Tensor g, Tensor ptr, int kernel, bool y_wanted, bool w_wanted)"
    " -> (Tensor, Tensor)",
    _backward_cpu,
    _backward_fake,
)
"""∂S/∂y and ∂S/∂w; a result that is not wanted is empty."""


def _backward(wanted: tuple[bool, bool], *arguments: Any) -> tuple[Tensor | None, Tensor | None]:
    if not any(wanted):
        return None, None
    gy, gw = init_backward(*arguments, *wanted)
    return gy if wanted[0] else None, gw if wanted[1] else None


def _apply_derivative(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
    matrices, y, w, ptr = ctx.saved_tensors
    of_matrices, of_y, of_w = needed(ctx, 3)
    along_matrices = init_outer(y, w, h, ptr, *ctx.constants) if of_matrices else None
    return along_matrices, *_backward((of_y, of_w), matrices, y, w, h, ptr, *ctx.constants), None, None


def _outer_derivative(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
    y, w, g, ptr = ctx.saved_tensors
    of_y, of_w, of_g = needed(ctx, 3)
    along_g = init_apply(h, y, w, ptr, *ctx.constants) if of_g else None
    return *_backward((of_y, of_w), h, y, w, g, ptr, *ctx.constants), along_g, None, None


def _added(terms: list[Tensor]) -> Tensor | None:
    return None if not terms else terms[0] if len(terms) == 1 else terms[0] + terms[1]


def _backward_derivative(ctx: Any, hy: Tensor, hw: Tensor) -> tuple[Tensor | None, ...]:
    matrices, y, w, g, ptr = ctx.saved_tensors
    kernel, from_y, from_w = ctx.constants
    of_matrices, of_y, of_w, of_g = needed(ctx, 4)
    # The derivative is that of S(M, hy, w, g) + S(M, y, hw, g).
    pairs = [pair for pair, flag in (((hy, w), from_y), ((y, hw), from_w)) if flag]
    along_y = _backward((True, False), matrices, y, hw, g, ptr, kernel)[0] if of_y and from_w else None
    along_w = _backward((False, True), matrices, hy, w, g, ptr, kernel)[1] if of_w and from_y else None
    return (
        _added([init_outer(*pair, g, ptr, kernel) for pair in pairs]) if of_matrices else None,
        along_y,
        along_w,
        _added([init_apply(matrices, *pair, ptr, kernel) for pair in pairs]) if of_g else None,
        *[None] * 4,
    )


differentiate("init_apply", _apply_derivative, save_tensors)
differentiate("init_outer", _outer_derivative, save_tensors)
differentiate("init_backward", _backward_derivative, save_tensors)
