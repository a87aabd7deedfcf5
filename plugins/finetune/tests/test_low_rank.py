import math

import pytest
import torch

from equipot.errors import ConfigError
from equipot.validation import check_options
from equipot_finetune import LowRankAdam
from equipot_testing.conformance import PartConformance


def weights(*shapes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    return [
        (f"part.{index}", torch.nn.Parameter(torch.randn(*shape, generator=generator, dtype=dtype)))
        for index, shape in enumerate(shapes)
    ]


def learn(optimizer, named, steps=1):
    """Gradients of a fixed loss, which is not linear in the weights."""
    for _ in range(steps):
        optimizer.zero_grad()
        sum((parameter - 2.0).pow(4).mean() for _, parameter in named).backward()
        optimizer.step()


def rank_of(change):
    return int(torch.linalg.matrix_rank(change.reshape(change.shape[0], -1), rtol=1e-9))


def test_changes_have_the_rank():
    named = weights((12, 10), (9, 4, 5), (7,), (3, 3))
    before = [parameter.detach().clone() for _, parameter in named]
    learn(LowRankAdam(named, lr=0.1, rank=2), named, steps=5)
    changes = [parameter.detach() - old for (_, parameter), old in zip(named, before, strict=True)]
    assert [rank_of(change) for change in changes[:2]] == [2, 2]
    assert rank_of(changes[3]) == 3  # two factors would have 12 numbers, the matrix has 9
    assert all(bool(change.any()) for change in changes)


def test_the_factors_follow_adam_on_the_factors():
    """The same as autograd through W0 + s L R and torch's own Adam."""
    ((name, parameter),) = weights((12, 10))
    optimizer = LowRankAdam([(name, parameter)], lr=0.05, rank=3, scale=0.5, betas=(0.8, 0.9), seed=5)
    base = parameter.detach().clone()
    left = torch.randn(12, 3, generator=torch.Generator().manual_seed(6), dtype=torch.float64) / math.sqrt(3)
    factors = [torch.nn.Parameter(left), torch.nn.Parameter(torch.zeros(3, 10, dtype=torch.float64))]
    reference = torch.optim.Adam(factors, lr=0.05, betas=(0.8, 0.9))
    for _ in range(6):
        learn(optimizer, [(name, parameter)])
        reference.zero_grad()
        (base + 0.5 * factors[0] @ factors[1] - 2.0).pow(4).mean().backward()
        reference.step()
        expected = base + 0.5 * factors[0] @ factors[1]
        torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-12, check_stride=False)


def test_what_is_trained_in_full_follows_torchs_adam():
    ours, theirs = weights((12, 10), (5,)), weights((12, 10), (5,))
    learn(LowRankAdam(ours, lr=0.05, full=["part"]), ours, steps=4)
    learn(torch.optim.Adam(theirs, lr=0.05), theirs, steps=4)
    for (_, found), (_, expected) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_training_starts_from_exactly_the_weights():
    """Without a gradient nothing moves, and the first change is about the rate."""
    named = weights((12, 10), (20, 20), dtype=torch.float32)
    before = [parameter.detach().clone() for _, parameter in named]
    optimizer = LowRankAdam(named, lr=1e-3, weight_decay=0.1)
    for _, parameter in named:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert all(torch.equal(parameter, old) for (_, parameter), old in zip(named, before, strict=True))
    learn(optimizer, named)
    change = (named[1][1].detach() - before[1]).square().mean().sqrt()
    assert 3e-4 < float(change) < 3e-3


def test_a_restored_state_goes_on_with_the_same_bits():
    for dtype in (torch.float32, torch.float64):
        whole, first, second = (weights((12, 10), (5,), dtype=dtype) for _ in range(3))
        optimizer = LowRankAdam(whole, lr=0.05)
        learn(optimizer, whole, steps=6)
        before = LowRankAdam(first, lr=0.05)
        learn(before, first, steps=3)
        with torch.no_grad():
            for (_, parameter), (_, saved) in zip(second, first, strict=True):
                parameter.copy_(saved)
        after = LowRankAdam(second, lr=0.05)
        after.load_state_dict(before.state_dict())
        learn(after, second, steps=3)
        assert all(torch.equal(a[1], b[1]) for a, b in zip(whole, second, strict=True))


def test_decay_pulls_back_to_the_start():
    named = weights((12, 10))
    before = named[0][1].detach().clone()
    optimizer = LowRankAdam(named, lr=0.1, weight_decay=2.0)
    learn(optimizer, named, steps=3)
    far = float((named[0][1].detach() - before).abs().max())
    for _ in range(60):
        named[0][1].grad = torch.zeros_like(before)
        optimizer.step()
    assert float((named[0][1].detach() - before).abs().max()) < 0.05 * far


@pytest.mark.parametrize(
    ("option", "value"),
    [("rank", 0), ("rank", 1.5), ("scale", 0.0), ("lr", -1.0), ("weight_decay", -0.1)],
)
def test_wrong_options_are_seen_in_the_check_of_a_config(option, value):
    _, problems = check_options(LowRankAdam, {"params": [], option: value}, "optimizer")
    assert len(problems) == 1
    assert problems[0].startswith(f"optimizer.{option}")


def test_what_only_the_optimizer_sees():
    message = "LowRankAdam.full: no parameter has this name, got 'nothing'; parts: part, part.0"
    with pytest.raises(ConfigError, match=message):
        LowRankAdam(weights((4, 4)), full=["nothing"])
    with pytest.raises(ConfigError, match="LowRankAdam.betas: must be at least 0 and below 1"):
        LowRankAdam(weights((4, 4)), betas=(0.9, 1.0))


def test_parameters_need_names():
    with pytest.raises(ConfigError, match="must be pairs of name and parameter"):
        LowRankAdam([torch.nn.Parameter(torch.ones(2))])


class TestLowRankAdam(PartConformance):
    name = "equipot_finetune.LowRankAdam"
