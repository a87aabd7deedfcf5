"""Matrices from environments as torch ops; the gradient of each op is made of the other two."""

from __future__ import annotations

import torch

from equipot_kernels._build import registry
from equipot_kernels._build.torch_ops import call, define, differentiate_trilinear

Tensor = torch.Tensor


def _matrices_fake(q: Tensor, a: Tensor, kernel: int) -> Tensor:
    sizes = registry.sizes(kernel)
    return a.new_empty(a.shape[0], sizes["dim_in"], sizes["dim_out"], q.shape[1])


def _environment_fake(q: Tensor, g: Tensor, kernel: int) -> Tensor:
    return g.new_empty(g.shape[0], registry.sizes(kernel)["dim_edge"], q.shape[1])


def _weights_fake(a: Tensor, g: Tensor, kernel: int) -> Tensor:  # noqa: ARG001 - the op's schema
    return a.new_empty(registry.sizes(kernel)["paths"], a.shape[2])


def _filled(unit: str, first: Tensor, second: Tensor, kernel: int, out: Tensor) -> Tensor:
    call(kernel, unit, second.shape[0], first.contiguous(), second.contiguous(), out)
    return out


def _matrices_cpu(q: Tensor, a: Tensor, kernel: int) -> Tensor:
    return _filled("matrices", q, a, kernel, _matrices_fake(q, a, kernel))


def _environment_cpu(q: Tensor, g: Tensor, kernel: int) -> Tensor:
    return _filled("environment", q, g, kernel, _environment_fake(q, g, kernel))


def _weights_cpu(a: Tensor, g: Tensor, kernel: int) -> Tensor:
    return _filled("weights", a, g, kernel, _weights_fake(a, g, kernel))


cg_matrices = define("cg_matrices(Tensor q, Tensor a, int kernel) -> Tensor", _matrices_cpu, _matrices_fake)
"""∂S/∂g: q [n_paths, u], a [n_atoms, dim_edge, u] to [n_atoms, dim_in, dim_out, u]."""

cg_environment = define("cg_environment(Tensor q, Tensor g, int kernel) -> Tensor", _environment_cpu, _environment_fake)
"""∂S/∂a: q [n_paths, u], g [n_atoms, dim_in, dim_out, u] to [n_atoms, dim_edge, u]."""

cg_weights = define("cg_weights(Tensor a, Tensor g, int kernel) -> Tensor", _weights_cpu, _weights_fake)
"""∂S/∂q: a [n_atoms, dim_edge, u], g [n_atoms, dim_in, dim_out, u] to [n_paths, u]."""

differentiate_trilinear(cg_matrices, cg_environment, cg_weights)
