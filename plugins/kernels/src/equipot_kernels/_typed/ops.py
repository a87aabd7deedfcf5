"""Features times matrices of types as torch ops; the gradient of each op is made of the other two."""

from __future__ import annotations

import torch

from equipot_kernels._build import registry
from equipot_kernels._build.torch_ops import call, define, differentiate_trilinear

Tensor = torch.Tensor


def _apply_fake(matrices: Tensor, x: Tensor, ptr: Tensor, atoms: Tensor, kernel: int) -> Tensor:  # noqa: ARG001 - the op's schema
    return x.new_empty(x.shape[0], registry.sizes(kernel)["dim_out"])


def _transposed_fake(matrices: Tensor, g: Tensor, ptr: Tensor, atoms: Tensor, kernel: int) -> Tensor:  # noqa: ARG001 - the op's schema
    return g.new_empty(g.shape[0], registry.sizes(kernel)["dim_in"])


def _outer_fake(x: Tensor, g: Tensor, ptr: Tensor, atoms: Tensor, kernel: int) -> Tensor:  # noqa: ARG001 - the op's schema
    return x.new_empty(ptr.shape[0] - 1, registry.sizes(kernel)["size"])


def _apply_cpu(matrices: Tensor, x: Tensor, ptr: Tensor, atoms: Tensor, kernel: int) -> Tensor:
    out = _apply_fake(matrices, x, ptr, atoms, kernel)
    call(kernel, "apply", x.shape[0], matrices.contiguous(), x.contiguous(), ptr, atoms, out)
    return out


def _transposed_cpu(matrices: Tensor, g: Tensor, ptr: Tensor, atoms: Tensor, kernel: int) -> Tensor:
    out, spare = _transposed_fake(matrices, g, ptr, atoms, kernel), matrices.new_empty(matrices.shape)
    sizes = (ptr.shape[0] - 1, g.shape[0])
    call(kernel, "transposed", *sizes, matrices.contiguous(), spare, g.contiguous(), ptr, atoms, out)
    return out


def _outer_cpu(x: Tensor, g: Tensor, ptr: Tensor, atoms: Tensor, kernel: int) -> Tensor:
    out = _outer_fake(x, g, ptr, atoms, kernel)
    call(kernel, "outer", ptr.shape[0] - 1, x.contiguous(), g.contiguous(), ptr, atoms, out)
    return out


_REST = "Tensor ptr, Tensor atoms, int kernel) -> Tensor"

typed_apply = define(f"typed_apply(Tensor matrices, Tensor x, {_REST}", _apply_cpu, _apply_fake)
"""∂S/∂g: matrices [n_types, size], x [n_atoms, dim_in] to [n_atoms, dim_out]; ptr and atoms as of ``type_lists``."""

typed_transposed = define(f"typed_transposed(Tensor matrices, Tensor g, {_REST}", _transposed_cpu, _transposed_fake)
"""∂S/∂x: matrices [n_types, size], g [n_atoms, dim_out] to [n_atoms, dim_in]."""

typed_outer = define(f"typed_outer(Tensor x, Tensor g, {_REST}", _outer_cpu, _outer_fake)
"""∂S/∂M: x [n_atoms, dim_in], g [n_atoms, dim_out] to [n_types, size]."""

differentiate_trilinear(typed_apply, typed_transposed, typed_outer)
