import pytest
import torch

from equipot_robust_stats.manager import MedianScale
from equipot_testing.conformance import StatsManagerConformance


class TestRobustStatisticsManager(StatsManagerConformance):
    name = "RobustStatisticsManager"
    reads = ("forces",)


def test_scale_is_the_standard_deviation_of_normal_values():
    metric = MedianScale()
    values = 0.7 * torch.randn(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for part in values.split(999):
        metric.update(part)
    assert metric.compute() == pytest.approx(float(values.abs().median()) / 0.67449, rel=3e-3)
    assert metric.compute() == pytest.approx(0.7, rel=2e-2)


def test_outliers_do_not_move_it():
    values = torch.randn(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    clean, spoilt = MedianScale(), MedianScale()
    clean.update(values)
    values[:5] = 1e6
    spoilt.update(values)
    assert spoilt.compute() == pytest.approx(clean.compute(), rel=0.02)
    assert values.square().mean().sqrt() > 1e4


def test_nothing_nan_and_zero():
    assert MedianScale().compute() != MedianScale().compute()  # nan
    metric = MedianScale()
    metric.update(torch.tensor([1.0, float("nan")]))
    assert metric.compute() != metric.compute()
    zeros = MedianScale()
    zeros.update(torch.zeros(3))
    assert zeros.compute() < 1e-15
