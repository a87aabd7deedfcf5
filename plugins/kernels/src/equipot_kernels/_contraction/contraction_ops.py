"""Matrices of atoms times tensors of edges as torch ops; the gradient of each op is made of the other two."""

from __future__ import annotations

import torch

from equipot_kernels._build.torch_ops import call, define, differentiate_trilinear

Tensor = torch.Tensor


def _filled(unit: str, first: Tensor, second: Tensor, ptr: Tensor, kernel: int, out: Tensor) -> Tensor:
    call(kernel, unit, ptr.shape[0] - 1, first.contiguous(), second.contiguous(), ptr, out)
    return out


def _apply_fake(matrices: Tensor, x: Tensor, ptr: Tensor, kernel: int) -> Tensor:  # noqa: ARG001 - the op's schema
    return x.new_empty(x.shape[0], matrices.shape[2], x.shape[2])


def _transposed_fake(matrices: Tensor, g: Tensor, ptr: Tensor, kernel: int) -> Tensor:  # noqa: ARG001 - the op's schema
    return g.new_empty(g.shape[0], matrices.shape[1], g.shape[2])


def _outer_fake(x: Tensor, g: Tensor, ptr: Tensor, kernel: int) -> Tensor:  # noqa: ARG001 - the op's schema
    return x.new_empty(ptr.shape[0] - 1, x.shape[1], g.shape[1], x.shape[2])


def _apply_cpu(matrices: Tensor, x: Tensor, ptr: Tensor, kernel: int) -> Tensor:
    return _filled("apply", matrices, x, ptr, kernel, _apply_fake(matrices, x, ptr, kernel))


def _transposed_cpu(matrices: Tensor, g: Tensor, ptr: Tensor, kernel: int) -> Tensor:
    return _filled("transposed", matrices, g, ptr, kernel, _transposed_fake(matrices, g, ptr, kernel))


def _outer_cpu(x: Tensor, g: Tensor, ptr: Tensor, kernel: int) -> Tensor:
    return _filled("outer", x, g, ptr, kernel, _outer_fake(x, g, ptr, kernel))


_REST = "Tensor ptr, int kernel) -> Tensor"

al_mv = define(f"al_mv(Tensor matrices, Tensor x, {_REST}", _apply_cpu, _apply_fake)
"""∂S/∂g: matrices [n_atoms, dim_in, dim_out, u], x [n_edges, dim_in, u] to [n_edges, dim_out, u]."""

al_mvt = define(f"al_mvt(Tensor matrices, Tensor g, {_REST}", _transposed_cpu, _transposed_fake)
"""∂S/∂x: matrices [n_atoms, dim_in, dim_out, u], g [n_edges, dim_out, u] to [n_edges, dim_in, u]."""

al_outer = define(f"al_outer(Tensor x, Tensor g, {_REST}", _outer_cpu, _outer_fake)
"""∂S/∂M: x [n_edges, dim_in, u], g [n_edges, dim_out, u] to [n_atoms, dim_in, dim_out, u]."""

differentiate_trilinear(al_mv, al_mvt, al_outer)
