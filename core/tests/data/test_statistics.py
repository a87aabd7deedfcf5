import math

import numpy as np
import pytest
import torch

from equipot.data._statistics import (
    Count,
    Max,
    Mean,
    MeanAbsolute,
    Min,
    RootMeanSquare,
    StandardDeviation,
    as_reduction,
)
from equipot.errors import ConfigError

VALUES = np.random.default_rng(2).normal(loc=-3.0, scale=2.0, size=(40, 3))

CASES = [
    (Mean(), VALUES.mean()),
    (MeanAbsolute(), np.abs(VALUES).mean()),
    (RootMeanSquare(), np.sqrt((VALUES**2).mean())),
    (StandardDeviation(), VALUES.std(ddof=1)),
    (StandardDeviation(unbiased=False), VALUES.std()),
    (StandardDeviation(squared=True), VALUES.var(ddof=1)),
    (Min(), VALUES.min()),
    (Max(), VALUES.max()),
    (Min(abs=True), np.abs(VALUES).min()),
    (Max(abs=True), np.abs(VALUES).max()),
    (Count(), 120.0),
]
IDS = [f"{type(metric).__name__}-{index}" for index, (metric, _) in enumerate(CASES)]


@pytest.mark.parametrize(("metric", "expected"), CASES, ids=IDS)
@pytest.mark.parametrize("pieces", [[40], [1, 39], [7, 0, 13, 20]])
def test_against_numpy_in_any_pieces(metric, expected, pieces):
    one = metric.fresh()
    for piece in torch.from_numpy(VALUES).split(pieces):
        one.update(piece)
    assert one.compute() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(("metric", "expected"), CASES, ids=IDS)
def test_fresh_keeps_options_and_drops_values(metric, expected):
    used = metric.fresh()
    used.update(torch.from_numpy(VALUES))
    again = used.fresh()
    assert math.isnan(again.compute()) or again.compute() == 0.0
    again.update(torch.from_numpy(VALUES))
    assert again.compute() == used.compute()


def test_large_offsets_keep_their_digits():
    energies = torch.tensor([1e7 + 0.001, 1e7 + 0.002, 1e7 + 0.003], dtype=torch.float64)
    metric = StandardDeviation()
    for energy in energies:
        metric.update(energy)
    assert metric.compute() == pytest.approx(0.001, rel=1e-6)


def test_float32_values_are_summed_in_float64():
    metric = Mean()
    metric.update(torch.full((3,), 0.1, dtype=torch.float32))
    assert metric.compute() == pytest.approx(float(np.float32(0.1)), abs=1e-17)


def test_single_value_has_no_unbiased_deviation():
    metric = StandardDeviation()
    metric.update(torch.ones(1))
    assert math.isnan(metric.compute())


@pytest.mark.parametrize("metric", [Mean(), RootMeanSquare(), StandardDeviation(), Min(), Max()])
def test_nan_is_not_hidden(metric):
    metric.update(torch.tensor([1.0, math.nan, 2.0]))
    metric.update(torch.tensor([3.0]))
    assert math.isnan(metric.compute())


def test_names():
    assert isinstance(as_reduction("RootMeanSquare"), RootMeanSquare)
    with pytest.raises(ConfigError, match="statistics.metric: unknown metric, got 'RMS'; metrics: Mean"):
        as_reduction("RMS")
    with pytest.raises(ConfigError, match="did you mean 'StandardDeviation'"):
        as_reduction("StandardDevation")
