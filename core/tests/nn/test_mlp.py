import math

import pytest
import torch
import torch.nn.functional as F

from equipot.errors import ConfigError
from equipot.nn.mlp import NONLINEARITIES, NOT_ZERO_AT_ZERO, ScalarMLP


def make(dims, **options) -> ScalarMLP:
    return ScalarMLP(dims, dtype=torch.float64, generator=torch.Generator().manual_seed(0), **options)


def test_forward_scaling_by_hand():
    mlp = make([3, 5, 4, 2])
    w_0, w_1, w_2 = (weight.detach() for weight in mlp.weights)
    x = torch.randn(7, 3, dtype=torch.float64)
    hidden = F.silu(x @ w_0 / math.sqrt(3))
    hidden = F.silu(hidden @ w_1 * math.sqrt(2 / 5))
    torch.testing.assert_close(mlp(x), hidden @ w_2 * math.sqrt(2 / 4), rtol=1e-13, atol=1e-13)


def test_backward_scaling_by_hand():
    mlp = make([3, 5, 2], init="backward", nonlinearity="tanh")
    w_0, w_1 = (weight.detach() for weight in mlp.weights)
    x = torch.randn(7, 3, dtype=torch.float64)
    expected = torch.tanh(x @ w_0 * math.sqrt(2 / 5)) @ w_1 / math.sqrt(2)
    torch.testing.assert_close(mlp(x), expected, rtol=1e-13, atol=1e-13)


def test_without_nonlinearity_it_is_one_matrix_with_gains_of_one():
    mlp = make([3, 5, 2], nonlinearity=None)
    w_0, w_1 = (weight.detach() for weight in mlp.weights)
    x = torch.randn(7, 3, dtype=torch.float64)
    torch.testing.assert_close(mlp(x), x @ (w_0 @ w_1) / math.sqrt(3 * 5), rtol=1e-13, atol=1e-13)


def test_a_single_layer_has_no_activation():
    mlp = make([4, 1])
    x = torch.randn(3, 4, dtype=torch.float64)
    torch.testing.assert_close(mlp(x), x @ mlp.weights[0].detach() / 2.0, rtol=1e-14, atol=1e-14)


def test_initial_weights_are_uniform_with_variance_one():
    weight = make([200, 300]).weights[0]
    assert weight.abs().max() <= math.sqrt(3)
    assert weight.abs().max() > 1.73
    assert weight.var().item() == pytest.approx(1.0, abs=0.02)
    assert weight.mean().item() == pytest.approx(0.0, abs=0.02)


def test_both_dtypes_start_from_the_same_numbers_and_leave_torchs_random_state_alone():
    before = torch.random.get_rng_state()
    double = make([3, 4])
    single = ScalarMLP([3, 4], dtype=torch.float32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(double.weights[0].float(), single.weights[0])
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", NONLINEARITIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 3, 8, 37])
def test_nonlinearities_keep_zero_exactly(name, dtype, count):
    assert (NONLINEARITIES[name](torch.zeros(count, dtype=dtype)) == 0).all()


def test_shifted_softplus_by_hand():
    x = torch.tensor([-3.0, 0.5, 2.0], dtype=torch.float64)
    torch.testing.assert_close(NONLINEARITIES["ssp"](x), torch.log((1 + torch.exp(x)) / 2), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", NOT_ZERO_AT_ZERO)
def test_nonlinearities_that_are_not_zero_at_zero_are_refused_with_the_reason(name):
    with pytest.raises(ConfigError) as error:
        make([3, 4, 1], nonlinearity=name)
    assert str(error.value) == (
        f"ScalarMLP.nonlinearity: {name} is not 0 at 0, so an isolated atom would not get exactly its energy shift; "
        "use one of silu, mish, gelu, ssp, tanh"
    )


def test_unknown_nonlinearity():
    with pytest.raises(
        ConfigError, match="ScalarMLP.nonlinearity: is not a known nonlinearity, got 'relu6'; use one of silu"
    ):
        make([3, 1], nonlinearity="relu6")


@pytest.mark.parametrize("dims", [[6, 2], [6, 4, 3]])
def test_columns_may_come_apart(dims):
    mlp = make(dims)
    x = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = mlp(x[:, :1], x[:, 1:4], x[:, 4:])
    torch.testing.assert_close(found, mlp(x), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("dims", [(4, 1), (4, 3, 2), (4, 5, 3, 2)])
def test_outputs_are_linear_in_the_last_weights(dims):
    mlp = make(dims)
    x = torch.randn(7, 4, dtype=torch.float64)
    whole, parts = mlp.last_inputs(x), mlp.last_inputs(x[:, :1], x[:, 1:])
    assert whole.shape == (7, dims[-2])
    torch.testing.assert_close(whole @ mlp.last_weights, mlp(x), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(parts, whole, rtol=1e-13, atol=1e-13)
