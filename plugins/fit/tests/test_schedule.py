"""The learning rate by steps."""

import pytest
import torch

from equipot.errors import ConfigError
from equipot_fit import WarmupDecay
from equipot_fit._schedule import factor_at


def rates(steps, **options):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=2.0)
    schedule = WarmupDecay(optimizer, **options)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found, schedule


def test_warm_up_then_constant_then_linear_to_zero():
    found, schedule = rates(11, warmup_steps=3, decays=[[6, 10]])
    assert found == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 1.5, 1.0, 0.5, 0.0])
    assert schedule.end == 10


def test_without_decay_it_stays():
    found, schedule = rates(5)
    assert found == [2.0] * 5
    assert schedule.end is None


def test_a_decay_within_the_warm_up_goes_on_from_there():
    assert [factor_at(step, 9, [[4, 6]]) for step in (3, 4, 5, 6)] == pytest.approx([0.4, 0.5, 0.25, 0.0])


@pytest.mark.parametrize("later", [[57, 91], [60, 62], [93, 1000]])
def test_a_later_decay_changes_nothing_before_it_and_nothing_at_its_start(later):
    first = [[33, 101]]
    both = [*first, later]
    assert [factor_at(step, 7, both) for step in range(later[0] + 1)] == [
        factor_at(step, 7, first) for step in range(later[0] + 1)
    ]
    assert factor_at(later[1], 7, both) == 0.0


@pytest.mark.parametrize("start", range(20, 60, 7))
def test_a_decay_that_is_added_while_training_gives_the_bits_of_one_known_before(start):
    known, _ = rates(80, warmup_steps=11, decays=[[start, 77]])
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=2.0)
    schedule = WarmupDecay(optimizer, warmup_steps=11)
    found = []
    for step in range(80):
        if step == start:
            schedule.add_decay(start, 77)
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert found == known


@pytest.mark.parametrize("decays", [[[5, 5]], [[5, 4]], [[5, 9], [5, 8]], [[5, 9], [3, 8]], [[5]], [[1, 2, 3]]])
def test_decays_out_of_order_are_refused(decays):
    with pytest.raises(ConfigError, match=r"WarmupDecay.decays: is not in order"):
        rates(1, decays=decays)


def test_its_state_restores_decays_that_were_added():
    _, schedule = rates(5, warmup_steps=2)
    schedule.add_decay(5, 8)
    _, other = rates(0, warmup_steps=2)
    other.load_state_dict(schedule.state_dict())
    assert other.decays == [[5, 8]]
    assert other.get_lr() == schedule.get_lr()
