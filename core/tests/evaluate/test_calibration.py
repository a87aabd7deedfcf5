import numpy as np
import pytest

from equipot.evaluate import Calibration, auroc
from equipot.evaluate._calibration import LEVELS


def test_normal_errors_of_the_stated_size_are_calibrated():
    rng = np.random.default_rng(1)
    stds = rng.uniform(0.1, 2.0, 20_000)
    found = Calibration.of(stds * rng.normal(size=len(stds)), stds)
    assert found.rms_z == pytest.approx(1.0, abs=0.02)
    assert found.within_1 == pytest.approx(0.683, abs=0.01)
    assert found.within_2 == pytest.approx(0.954, abs=0.01)
    assert [level for level, _ in found.curve] == list(LEVELS)
    assert all(share == pytest.approx(level, abs=0.015) for level, share in found.curve)
    assert found.spearman > 0.3


def test_stds_that_are_half_as_large_as_errors_give_two():
    found = Calibration.of(np.array([2.0, -2.0, 2.0]), np.ones(3))
    assert (found.rms_z, found.within_1, found.within_2) == (2.0, 0.0, 1.0)
    assert found.spearman is None  # equal values have no order
    assert (found.rmse, found.rms_std, found.number) == (2.0, 1.0, 3)


def test_ranks_separate_sets():
    low, high = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0])
    assert auroc(low, high) == 1.0
    assert auroc(high, low) == 0.0
    assert auroc(low, low) == 0.5
    assert auroc(np.ones(4), np.ones(3)) == 0.5
    pairs = [(a < b) + 0.5 * (a == b) for a in (1.0, 2.0, 2.0) for b in (2.0, 0.5)]
    assert auroc(np.array([1.0, 2.0, 2.0]), np.array([2.0, 0.5])) == pytest.approx(np.mean(pairs))
