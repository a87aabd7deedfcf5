import math

import pytest
import torch

from equipot.nn.cutoff import polynomial_cutoff
from equipot.nn.radial import BesselBasis, RadialEmbedding


def test_bessel_functions_are_sines_over_the_distance():
    x = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)
    expected = torch.stack([torch.sin(n * math.pi * x) / (math.pi * x) for n in range(1, 6)], dim=1)
    torch.testing.assert_close(BesselBasis(5)(x), expected, rtol=1e-13, atol=1e-14)


def test_bessel_functions_and_two_derivatives_are_finite_at_small_distances():
    x = torch.tensor([1e-12, 1e-9, 1e-6, 1e-3], dtype=torch.float64, requires_grad=True)
    values = BesselBasis(4)(x)
    (slope,) = torch.autograd.grad(values.sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    torch.testing.assert_close(values[0], torch.arange(1.0, 5.0, dtype=torch.float64))
    assert torch.isfinite(slope).all()
    assert torch.isfinite(curvature).all()


def test_value_at_zero_distance_is_the_index():
    assert BesselBasis(3)(torch.zeros(1, dtype=torch.float64)).tolist() == [[1.0, 2.0, 3.0]]


def test_only_trainable_roots_are_parameters():
    assert not dict(BesselBasis(3).state_dict())
    basis = BesselBasis(3, trainable=True)
    assert basis.roots.dtype == torch.float64
    basis(torch.tensor([0.4], dtype=torch.float64)).sum().backward()
    assert basis.roots.grad is not None
    assert basis.roots.grad.abs().min() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_embedding_is_scale_times_bessel_times_cutoff(dtype):
    x = torch.tensor([0.1, 0.5, 0.99, 1.0, 1.5], dtype=torch.float64)
    embedding = RadialEmbedding(4, trainable=False, polynomial_cutoff_p=5.0, dtype=dtype, scale=0.7)(x)
    expected = 0.7 * BesselBasis(4)(x) * polynomial_cutoff(x, 5.0)[:, None]
    assert embedding.dtype == dtype
    torch.testing.assert_close(embedding.double(), expected, rtol=1e-6 if dtype == torch.float32 else 1e-14, atol=1e-9)
    assert (embedding[3:] == 0).all()
