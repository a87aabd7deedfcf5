import pytest
import torch

from equipot.nn.cutoff import polynomial_cutoff


def x_values(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(
    ("p", "expected"),
    [  # 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2) at x = 1/2, by hand
        (2, 1 - 6 / 4 + 8 / 8 - 3 / 16),
        (6, 1 - 28 / 64 + 48 / 128 - 21 / 256),
    ],
)
def test_values_at_one_half(p, expected):
    torch.testing.assert_close(polynomial_cutoff(x_values(0.5), p).item(), expected, rtol=1e-15, atol=0)


def test_value_and_slope_at_zero_at_one_and_beyond():
    x = x_values(0.0, 1.0, 1.0 + 1e-12, 3.0)
    value = polynomial_cutoff(x, 6)
    (slope,) = torch.autograd.grad(value.sum(), x)
    assert value.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert slope.tolist() == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("p", [2.0, 5.0, 6.0])
def test_two_derivatives_vanish_smoothly_at_one(p):
    step = 1e-4
    x = x_values(1.0 - step)
    value = polynomial_cutoff(x, p)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    third = p * (p + 1) * (p + 2)  # |u'''(1)|
    assert value.item() == pytest.approx(third / 6 * step**3, rel=1e-2)
    assert first.item() == pytest.approx(-third / 2 * step**2, rel=1e-2)
    assert second.item() == pytest.approx(third * step, rel=1e-2)
