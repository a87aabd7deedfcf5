"""All parameters are updated in one operation where torch can."""

from functools import partial

import pytest
import torch

from equipot.config._instantiate import Deferred
from equipot.train._optimizers import in_one_pass

REAL = [("weight", torch.nn.Parameter(torch.zeros(2)))]
FUSED = {"fused": True}


class Own(torch.optim.Adam):
    """A class of somebody else."""


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (partial(torch.optim.Adam, lr=0.1), FUSED),
        (Deferred(torch.optim.AdamW, {"lr": 0.1}), FUSED),
        (torch.optim.SGD, FUSED),
        (Deferred(torch.optim.Adam, {"foreach": True}), {}),
        (partial(torch.optim.Adam, fused=False), {}),
        (torch.optim.RAdam, {}),
        (torch.optim.LBFGS, {}),
        (Own, {}),
    ],
)
def test_it_is_asked_for_where_the_class_has_it_and_the_config_does_not_choose(optimizer, expected):
    assert in_one_pass(optimizer, REAL) == expected


@pytest.mark.parametrize("other", [torch.zeros(1, dtype=torch.complex64), torch.zeros(1, device="meta")])
def test_every_parameter_must_fit(other):
    assert in_one_pass(torch.optim.Adam, [*REAL, ("other", torch.nn.Parameter(other))]) == {}


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.Adagrad])
def test_the_steps_are_the_same_up_to_rounding(kind):
    found = []
    for options in ({}, in_one_pass(kind, REAL)):
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 50, dtype=torch.float64))
        optimizer = kind([("weight", weight)], lr=0.1, **options)
        for _ in range(5):
            optimizer.zero_grad()
            (weight.sin().sum() + weight.square().sum()).backward()
            optimizer.step()
        found.append(weight.detach())
    torch.testing.assert_close(*found, rtol=1e-14, atol=1e-14)
