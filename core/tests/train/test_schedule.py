import pytest
import torch

from equipot.errors import ConfigError
from equipot.train._schedule import NEVER, EpochSchedule, lightning_scheduler


@pytest.fixture
def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def rate(optimizer):
    return optimizer.param_groups[0]["lr"]


def stepped(schedule, optimizer, epochs, **metrics):
    optimizer.step()
    for epoch in range(epochs):
        schedule.step(epoch, metrics, dict)
    return rate(optimizer)


def test_schedules_step_once_for_each_epoch(optimizer):
    schedule = EpochSchedule(torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5), {})
    assert stepped(schedule, optimizer, 3) == 0.125


def test_a_frequency_leaves_epochs_out(optimizer):
    schedule = EpochSchedule(torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5), {"frequency": 2})
    assert stepped(schedule, optimizer, 5) == 0.25


def plateau(optimizer, **options):
    made = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    return EpochSchedule(made, {"monitor": "val0_epoch/loss", **options})


def test_a_plateau_lowers_the_rate(optimizer):
    assert stepped(plateau(optimizer), optimizer, 3, **{"val0_epoch/loss": 1.0}) == 0.25


def test_a_metric_that_is_not_there_yet_is_asked_for(optimizer):
    asked = []
    schedule = plateau(optimizer)
    for epoch in range(2):
        schedule.step(epoch, {}, lambda: asked.append(1) or {"val0_epoch/loss": 1.0})
    assert (len(asked), rate(optimizer)) == (2, 0.5)


def test_a_metric_that_nobody_logs_is_an_error_unless_it_may_be_missing(optimizer):
    with pytest.raises(ConfigError, match=r"unknown metric, .*; did you mean 'val0_epoch/los'"):
        plateau(optimizer).step(0, {"val0_epoch/los": 1.0}, dict)
    plateau(optimizer, strict=False).step(0, {}, dict)
    assert rate(optimizer) == 1.0


def test_a_plateau_needs_a_metric(optimizer):
    with pytest.raises(ConfigError, match="needs a metric to monitor"):
        plateau(optimizer, monitor=None)


def test_schedules_of_batches_are_lightnings(optimizer):
    made = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    assert lightning_scheduler(made, {"interval": "step"}) == ({"scheduler": made, "interval": "step"}, None)
    mapping, schedule = lightning_scheduler(made, {})
    assert (mapping["interval"], mapping["frequency"]) == ("step", NEVER)
    assert schedule.scheduler is made
