from pathlib import Path

import numpy as np
import pytest
from ase.io import read, write

from equipot.artifacts import write_package
from equipot.errors import ConfigError
from equipot_uncertainty import farthest_points
from equipot_uncertainty._fit import add_uncertainty
from equipot_uncertainty._select import MOST_UNCERTAIN, choose, standardized

POINTS = np.array([[0.0], [1.0], [4.0], [9.0], [10.0]])


def test_farthest_points_by_hand():
    assert farthest_points(POINTS, 5) == [4, 0, 2, 1, 3]
    assert farthest_points(POINTS, 2) == [4, 0]  # the first of more
    assert farthest_points(POINTS, 2, known=np.array([[10.0]])) == [0, 2]
    assert farthest_points(np.zeros((3, 2)), 3) == [0, 1, 2]  # equal ones once each, in order


def test_farthest_points_cover_clusters_that_random_frames_miss():
    rng = np.random.default_rng(1)
    features = np.concatenate(
        [rng.normal(size=(500, 3)), rng.normal(size=(3, 3)) + 50.0, rng.normal(size=(3, 3)) - 50.0]
    )
    chosen = farthest_points(features, 6)
    assert {index for index in chosen if index >= 500} & {500, 501, 502}
    assert {index for index in chosen if index >= 503}
    assert len(set(chosen)) == 6


def test_rules_of_choice():
    stds = np.array([3.0, 1.0, 5.0, 5.0, 0.0])
    assert choose(3, "uncertainty", stds, POINTS) == [2, 3, 0]
    assert choose(2, "distance", None, POINTS) == [4, 0]
    features = np.arange(40.0).reshape(-1, 1)
    chosen = choose(2, "both", features[:, 0], features)
    assert sorted(chosen) == [40 - 2 * MOST_UNCERTAIN, 39]  # the ends of the uncertain ones
    with pytest.raises(ConfigError, match="uncertainty needs a model with uncertainties; add them"):
        choose(1, "uncertainty", None, POINTS)


def test_features_are_compared_in_units_of_their_spread():
    first, second = standardized([np.array([[0.0, 5.0, 1.0]]), np.array([[2.0, 5.0, 1001.0]])])
    np.testing.assert_allclose(np.abs(first), [[1.0, 0.0, 1.0]])
    np.testing.assert_allclose(first, -second)


@pytest.fixture
def files(tmp_path, monkeypatch, model, sets, water):
    """A pool with two hot frames, and a model with uncertainties and one without."""
    monkeypatch.chdir(tmp_path)
    write("pool.extxyz", [*water(10, 7), *water(2, 8, spread=0.5)])
    write("known.extxyz", water(4, 9))
    write_package(model, "bare.equipot.zip")
    write_package(add_uncertainty(model, sets["train"], sets["val"])[0], "with_std.equipot.zip")


@pytest.mark.slow
def test_the_command_writes_the_same_frames_each_time(files, equipot):
    for name in ("a", "b"):
        code, out, err = equipot(
            "select", "pool.extxyz", "with_std.equipot.zip", "--n", "3", "--output", f"{name}.extxyz"
        )
        assert (code, err) == (0, "")
        assert out.startswith(f"wrote {name}.extxyz: 3 of 12 frames\nenergy_std per atom: ")
    frames, pool = read("a.extxyz", ":"), read("pool.extxyz", ":")
    assert Path("a.extxyz").read_text() == Path("b.extxyz").read_text()
    for atoms in frames:
        np.testing.assert_allclose(atoms.positions, pool[atoms.info["pool_index"]].positions, atol=1e-7)
        assert atoms.info["energy_std_per_atom"] > 0.0
    assert {atoms.info["pool_index"] for atoms in frames} & {10, 11}


def test_distances_need_no_uncertainties(files, equipot):
    words = ("select", "pool.extxyz", "bare.equipot.zip", "--n", "2", "--known", "known.extxyz", "--by")
    assert equipot(*words, "distance")[0] == 0
    assert len(read("selected.extxyz", ":")) == 2
    code, _, err = equipot(*words, "both")
    assert code == 2
    assert "--by: both needs a model with uncertainties" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--n", "13"), "--n: the pool has only 12 frames, got 13"),
        (("--n", "1", "--output", "pool.extxyz"), "--output: would overwrite an input"),
        (("--n", "1", "--output", "chosen.txt"), "--output: must end in .extxyz or .xyz"),
        (("--n", "1", "--by", "distance", "--output", "no/c.extxyz"), "no/c.extxyz: cannot be written: No such file"),
    ],
)
def test_refusals(files, equipot, words, message):
    code, _, err = equipot("select", "pool.extxyz", "bare.equipot.zip", *words)
    assert code == 2
    assert message in err
