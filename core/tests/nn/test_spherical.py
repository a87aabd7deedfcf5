import pytest
import torch
from e3nn import o3
from torch.fx.experimental.proxy_tensor import make_fx

from equipot.nn.spherical import SphericalHarmonics
from equipot_test_support.ops import check_to_the_second


def directions(count: int, seed: int = 0) -> torch.Tensor:
    vectors = torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return vectors / vectors.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("l_max", [0, 1, 2, 3, 6])
def test_values_equal_e3nn(l_max):
    unit = directions(40)
    expected = o3.spherical_harmonics(list(range(l_max + 1)), unit, normalize=True, normalization="component")
    torch.testing.assert_close(SphericalHarmonics(l_max)(unit), expected, rtol=0, atol=1e-13)


def test_values_by_hand():
    x, y, z = unit = torch.tensor([0.48, -0.6, 0.64], dtype=torch.float64)
    s3, s5, s15 = 3**0.5, 5**0.5, 15**0.5
    degree_2 = [s15 * x * z, s15 * x * y, s5 * (y * y - (x * x + z * z) / 2), s15 * y * z, s15 / 2 * (z * z - x * x)]
    expected = torch.tensor([1.0, s3 * x, s3 * y, s3 * z, *degree_2], dtype=torch.float64)
    torch.testing.assert_close(SphericalHarmonics(2)(unit[None])[0], expected, rtol=0, atol=1e-14)


def test_norm_of_each_degree():
    values = SphericalHarmonics(6)(directions(20))
    for l in range(7):
        squared = values[:, l**2 : (l + 1) ** 2].square().sum(1)
        torch.testing.assert_close(squared, torch.full((20,), 2.0 * l + 1.0, dtype=torch.float64), rtol=1e-12, atol=0)


def test_derivatives_of_first_and_second_order():
    def of_vectors(vectors):
        return SphericalHarmonics(3)(vectors / vectors.norm(dim=1, keepdim=True))

    check_to_the_second(of_vectors, [directions(3) * 1.7])


def test_nothing_in_the_state_dict():
    assert not SphericalHarmonics(4).state_dict()


@pytest.mark.slow
def test_traces_with_symbolic_sizes():
    module = SphericalHarmonics(2)
    traced = make_fx(module, tracing_mode="symbolic", _allow_non_fake_inputs=True)(directions(5))
    for count in (1, 0, 9):
        torch.testing.assert_close(traced(directions(count, 1)), module(directions(count, 1)), rtol=0, atol=0)
