"""Environment sums as torch ops; the gradient of each op is made of the other two."""

from __future__ import annotations

import torch

from equipot_kernels._build import registry
from equipot_kernels._build.torch_ops import call, define, differentiate_trilinear, rows_of

Tensor = torch.Tensor


def _sizes(kernel: int) -> tuple[int, int, int]:
    sizes = registry.sizes(kernel)
    return sizes["dim"], sizes["blocks"], sizes["channels"]


def _sum_fake(y: Tensor, w: Tensor, ptr: Tensor, kernel: int) -> Tensor:  # noqa: ARG001 - the op's schema
    dim, _, channels = _sizes(kernel)
    return y.new_empty(ptr.shape[0] - 1, dim, channels)


def _weights_fake(y: Tensor, g: Tensor, ptr: Tensor, kernel: int) -> Tensor:  # noqa: ARG001 - the op's schema
    _, blocks, channels = _sizes(kernel)
    return y.new_empty(y.shape[0], blocks * channels)


def _attributes_fake(w: Tensor, g: Tensor, ptr: Tensor, kernel: int) -> Tensor:  # noqa: ARG001 - the op's schema
    return w.new_empty(w.shape[0], _sizes(kernel)[0])


def _sum_cpu(y: Tensor, w: Tensor, ptr: Tensor, kernel: int) -> Tensor:
    out = _sum_fake(y, w, ptr, kernel)
    w = rows_of(w)
    call(kernel, "sum", ptr.shape[0] - 1, y.contiguous(), w, w.stride(0), ptr, out)
    return out


def _weights_cpu(y: Tensor, g: Tensor, ptr: Tensor, kernel: int) -> Tensor:
    out = _weights_fake(y, g, ptr, kernel)
    call(kernel, "weights", ptr.shape[0] - 1, y.contiguous(), g.contiguous(), ptr, out)
    return out


def _attributes_cpu(w: Tensor, g: Tensor, ptr: Tensor, kernel: int) -> Tensor:
    out = _attributes_fake(w, g, ptr, kernel)
    w = rows_of(w)
    call(kernel, "attributes", ptr.shape[0] - 1, w, w.stride(0), g.contiguous(), ptr, out)
    return out


_REST = "Tensor ptr, int kernel) -> Tensor"

env_sum = define(f"env_sum(Tensor y, Tensor w, {_REST}", _sum_cpu, _sum_fake)
"""∂S/∂g: y [n_edges, dim], w [n_edges, blocks · u] to [n_atoms, dim, u]."""

env_weights = define(f"env_weights(Tensor y, Tensor g, {_REST}", _weights_cpu, _weights_fake)
"""∂S/∂w: y [n_edges, dim], g [n_atoms, dim, u] to [n_edges, blocks · u]."""

env_attributes = define(f"env_attributes(Tensor w, Tensor g, {_REST}", _attributes_cpu, _attributes_fake)
"""∂S/∂y: w [n_edges, blocks · u], g [n_atoms, dim, u] to [n_edges, dim]."""

differentiate_trilinear(env_sum, env_weights, env_attributes)
