import math

import pytest
import torch

from equipot.nn.init import normal_parameter, uniform_parameter


@pytest.mark.parametrize("make", [normal_parameter, uniform_parameter])
def test_draws_have_variance_one_and_are_the_same_in_both_dtypes(make):
    before = torch.get_rng_state()
    double = make((200, 50), torch.float64, torch.Generator().manual_seed(3))
    single = make((200, 50), torch.float32, torch.Generator().manual_seed(3))
    assert double.var().item() == pytest.approx(1.0, abs=0.05)
    assert double.mean().abs() < 0.05
    assert torch.equal(single, double.float())
    assert single.requires_grad
    assert torch.equal(torch.get_rng_state(), before)


def test_uniform_draws_are_bounded():
    drawn = uniform_parameter((1000,), torch.float64, torch.Generator().manual_seed(0))
    assert drawn.abs().max() < math.sqrt(3.0)
