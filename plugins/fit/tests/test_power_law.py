"""Planted power laws are found with ranges that hold what they say; what says nothing is refused."""

import math

import numpy as np
import pytest

from equipot_fit._power_law import FARTHEST, MeaninglessError, fit_power_law

SIZES = [25, 50, 100, 200, 400]


def planted(n, a=250.0, b=0.5, c=0.0):
    return a * np.asarray(n, dtype=float) ** -b + c


def test_a_power_law_without_scatter_is_found():
    law = fit_power_law(SIZES, planted(SIZES))
    assert law.error(400).middle == pytest.approx(12.5, rel=0.03)
    assert law.error(1600).middle == pytest.approx(6.25, rel=0.2)
    low, middle, high = law.frames(planted(1000))
    assert low < 1000 < high
    assert 700 < middle < 1500
    assert np.quantile(law.exponent, 0.1) < 0.5 < np.quantile(law.exponent, 0.9)


@pytest.mark.parametrize("c", [0.0, 3.0, 8.0])
@pytest.mark.parametrize("seeds", [1, 3])
def test_nine_of_ten_ranges_hold_the_truth(c, seeds):
    rng = np.random.default_rng(7)
    frames = SIZES * seeds
    held = []
    for _ in range(40):
        errors = planted(frames, c=c) * np.exp(0.05 * rng.standard_normal(len(frames)))
        low, _, high = fit_power_law(frames, errors).error(1600)
        held.append(low < planted(1600, c=c) < high)
    assert np.mean(held) >= 0.8


def test_a_floor_is_seen_and_what_lies_below_it_is_not_promised():
    law = fit_power_law(SIZES, planted(SIZES, a=500.0, b=1.0, c=10.0))
    assert law.error(4000).low > 5.0
    assert law.frames(5.0).middle == math.inf
    frames = law.to_dict([5.0])["targets"][0]["frames"]
    assert (frames["middle"], frames["high"]) == (None, None)


def test_ranges_grow_with_the_distance_and_with_the_scatter():
    rng = np.random.default_rng(3)
    noise = rng.standard_normal(len(SIZES))

    def width(scatter, frames):
        low, _, high = fit_power_law(SIZES, planted(SIZES) * np.exp(scatter * noise)).error(frames)
        return high / low

    assert width(0.02, 400) < width(0.02, 1600) < width(0.02, 4000)
    assert width(0.02, 1600) < width(0.08, 1600)


def test_an_error_that_is_reached_already_needs_fewer_frames():
    low, middle, high = fit_power_law(SIZES, planted(SIZES)).frames(planted(100))
    assert low < 100 < high < 400
    assert middle == pytest.approx(100, rel=0.2)


@pytest.mark.parametrize(
    ("frames", "errors", "said"),
    [
        ([100, 200, 200], [3.0, 2.0, 2.1], "3 different numbers of frames are needed, there are 2"),
        ([100, 150, 200], [3.0, 2.5, 2.0], r"The largest number of frames \(200\) is less than 3 times the smallest"),
        (SIZES, [10.0, 10.1, 9.9, 10.0, 10.05], "errors fall by less than 10%; more time or a larger model may help"),
        (SIZES, [10.0, 3.0, 12.0, 2.0, 11.0], "The errors scatter by .* about any curve"),
        (SIZES, [5.0, 10.0, 20.0, 40.0, 80.0], "The errors scatter by"),
        (SIZES, [5.0, 4.0, 3.0, 2.0, 0.0], "Some errors are zero or not finite"),
        (SIZES, [5.0, 4.0, math.nan, 2.0, 1.0], "Some errors are zero or not finite"),
    ],
)
def test_what_says_nothing_is_refused(frames, errors, said):
    with pytest.raises(MeaninglessError, match=said):
        fit_power_law(frames, errors)


def test_it_does_not_look_too_far_ahead():
    law = fit_power_law(SIZES, planted(SIZES))
    with pytest.raises(MeaninglessError, match=r"4001 frames are more than 10 times the largest .* \(400\)"):
        law.error(FARTHEST * 400 + 1)
    assert law.frames(planted(40_000)).middle == math.inf
    assert [one["frames"] for one in law.to_dict()["ahead"]] == [800, 1600, 4000]


def test_the_same_points_give_the_same_numbers():
    rng = np.random.default_rng(1)
    errors = planted(SIZES) * np.exp(0.1 * rng.standard_normal(len(SIZES)))
    assert fit_power_law(SIZES, errors).to_dict([5.0]) == fit_power_law(SIZES, errors).to_dict([5.0])
