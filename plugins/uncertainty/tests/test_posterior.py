import math

import pytest
import torch

from equipot.errors import DataError
from equipot_uncertainty._posterior import Covariance, Seen, best_posterior, calibrated, common_scale, posterior
from equipot_uncertainty._rows import Rows


def linear_data(count, weights, noise, seed, stretch=None):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, len(weights), dtype=torch.float64, generator=generator)
    features = features if stretch is None else features * stretch
    return features, features @ weights + noise * torch.randn(count, dtype=torch.float64, generator=generator)


def test_the_variance_is_that_of_bayesian_linear_regression():
    features, _ = linear_data(40, torch.ones(5, dtype=torch.float64), 0.1, 1)
    covariance = features.T @ features
    found = posterior(covariance, 1e-3)
    tested, _ = linear_data(7, torch.ones(5, dtype=torch.float64), 0.1, 2)
    strength = 1e-3 * covariance.diagonal().mean()
    inverse = torch.linalg.inv(covariance + strength * torch.eye(5, dtype=torch.float64))
    torch.testing.assert_close(found.squares(tested), torch.einsum("np,pq,nq->n", tested, inverse, tested))


def test_calibrated_errors_of_a_regression_have_the_stated_size():
    """Few training frames: what the regression does not know is as large as the noise."""
    generator = torch.Generator().manual_seed(3)
    stretch = torch.logspace(0, -1, 30, dtype=torch.float64)
    z, sizes = [], []
    for seed in range(20):
        weights = torch.randn(30, dtype=torch.float64, generator=generator) / stretch
        features, labels = linear_data(32, weights, 0.1, 10 + seed, stretch)
        learnt = torch.linalg.lstsq(features, labels.unsqueeze(1)).solution.squeeze(1)
        seen, seen_labels = linear_data(200, weights, 0.1, 100 + seed, stretch)
        found = best_posterior(features.T @ features, seen, seen @ learnt - seen_labels)
        alpha = calibrated(found.squares(seen), seen @ learnt - seen_labels)
        tested, tested_labels = linear_data(400, weights, 0.0, 200 + seed, stretch)
        stds = alpha * found.squares(tested).sqrt()
        z.append(float(((tested @ learnt - tested_labels) / stds).square().mean().sqrt()))
        sizes.append(float(stds.mean()))
    assert sum(z) / len(z) == pytest.approx(1.0, abs=0.1)


def test_calibration_makes_the_mean_square_one():
    squares, errors = torch.tensor([1.0, 4.0, 9.0]), torch.tensor([2.0, -2.0, 3.0])
    alpha = calibrated(squares, errors)
    assert float((errors.square() / (alpha**2 * squares)).mean()) == pytest.approx(1.0)
    assert alpha == pytest.approx(math.sqrt((4.0 + 1.0 + 1.0) / 3.0))


def seen(mean_square, frames):
    return Seen(torch.ones(frames), torch.full((frames,), mean_square**0.5), frames)


def test_training_frames_count_unless_the_model_is_better_on_them():
    found = common_scale(seen(1.0, 50), seen(4.0, 100))  # a lucky validation set
    assert found.with_training
    assert found.alpha == pytest.approx(math.sqrt((50.0 * 1.0 + 100.0 * 4.0) / 150.0 * 150.0 / 148.0))
    found = common_scale(seen(1.0, 50), seen(0.9, 100))  # a standard error is 0.24
    assert found.with_training
    found = common_scale(seen(1.0, 50), seen(0.5, 100))
    assert not found.with_training
    assert found.alpha == pytest.approx(math.sqrt(50.0 / 48.0))
    assert common_scale(seen(4.0, 10), Seen(torch.empty(0), torch.empty(0), 0)).alpha == pytest.approx(5.0**0.5)


def test_the_scale_of_few_frames_gives_new_errors_a_mean_square_of_one():
    generator = torch.Generator().manual_seed(5)
    draws = torch.randn(5000, 10, dtype=torch.float64, generator=generator)
    alphas = torch.tensor([common_scale(Seen(torch.ones(10), one, 10), seen(1.0, 0)).alpha for one in draws])
    assert float((1.0 / alphas.square()).mean()) == pytest.approx(1.0, abs=0.03)


def test_energies_and_forces_count_by_the_errors_of_the_model():
    generator = torch.Generator().manual_seed(4)
    energy, forces = torch.randn(3, 2, generator=generator), torch.randn(4, 3, 2, generator=generator)
    errors, force_errors = torch.tensor([1.0, 2.0, torch.nan]), torch.full((4, 3), 0.5)
    force_errors[1] = torch.nan
    found = Covariance(2)
    found.add(
        Rows(energy.double(), errors.double(), energy.double(), torch.ones(3), forces.double(), force_errors.double())
    )
    rows = forces[[0, 2, 3]].reshape(9, 2).double()
    expected = energy[:2].double().T @ energy[:2].double() / 2.5 + rows.T @ rows / 0.25
    torch.testing.assert_close(found.weighted(), expected)


def test_a_singular_covariance_gets_a_ridge_that_works():
    features = torch.tensor([[1.0, 1.0], [2.0, 2.0]], dtype=torch.float64)
    found = best_posterior(features.T @ features, features, torch.tensor([0.1, 0.2], dtype=torch.float64))
    unknown = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    assert found.squares(unknown) > 100.0 * found.squares(features).max()


def test_frames_without_features_are_refused():
    nothing = torch.zeros(4, 2, dtype=torch.float64)
    with pytest.raises(DataError, match="its frames have no features"):
        best_posterior(torch.eye(2, dtype=torch.float64), nothing, torch.ones(4, dtype=torch.float64))
    with pytest.raises(ArithmeticError, match="not positive with a ridge of 0.1"):
        posterior(-torch.eye(2, dtype=torch.float64), 0.1)
