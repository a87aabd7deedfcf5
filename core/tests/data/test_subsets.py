"""Subsets of a train set: nested, with all elements, and nothing else of the data changes."""

import numpy as np
import pytest

from equipot.data import ASEDataModule
from equipot.data._splits import nested
from equipot.data._subsets import first_frames
from equipot.errors import ConfigError


def elements_of_first(elements, found, number):
    return set().union(*(elements[index] for index in found.order[:number]))


@pytest.mark.parametrize("seed", range(5))
def test_the_first_frames_have_all_elements(seed):
    rng = np.random.default_rng(seed)
    elements = [{1, *rng.integers(2, 40, size=3).tolist()} for _ in range(200)]
    found = nested(elements, seed)
    assert sorted(found.order) == list(range(200)), "every frame once"
    everywhere = set().union(*elements)
    assert elements_of_first(elements, found, found.smallest) == everywhere
    assert elements_of_first(elements, found, found.smallest - 1) != everywhere
    assert found.smallest <= len(everywhere) / 2, "frames that bring several elements come first"


def test_frames_of_one_kind_are_in_random_order():
    orders = [nested([{1, 8}] * 50, seed).order for seed in (1, 2)]
    assert orders[0] != orders[1]
    assert nested([{1, 8}] * 50, 1) == nested([{1, 8}] * 50, 1)
    assert nested([{1, 8}] * 50, 1).smallest == 1


def test_labels_are_spread_evenly():
    labels = ["rare"] * 10 + ["usual"] * 90
    order = nested([{1}] * 100, 3, labels=labels).order
    assert [sum(labels[index] == "rare" for index in order[:number]) for number in (10, 50, 100)] == pytest.approx(
        [1, 5, 10], abs=1
    )


@pytest.mark.parametrize("number", [1, 5])
def test_too_small_and_too_large_subsets(number):
    with pytest.raises(ConfigError) as caught:
        first_frames(nested([{1}, {2}, {1}, {1}], 1), number)
    (problem,) = caught.value.problems
    assert problem.startswith("data.train_subset.frames: the train set has 4 frames, the first 2 of which have all")


def module(**options):
    return ASEDataModule(1, cache_dir=None, **options)


def places(one):
    return {name: list(one.dataset(name).places) for name in one.set_names}


def test_of_a_split_only_the_train_set_is_made_smaller(write, water):
    path = write("a.extxyz", water(20))
    split = {"split_dataset": {"file_path": path, "train": 12, "val": 4, "test": 4}}
    whole = places(module(**split))
    small, large = (module(**split, train_subset={"frames": number}) for number in (3, 6))
    assert set(places(small)["train"]) < set(places(large)["train"]) < set(whole["train"])
    assert {len(places(small)["train"]), len(places(large)["train"])} == {3, 6}
    for one in (small, large):
        assert {name: places(one)[name] for name in ("val0", "test0")} == {
            name: whole[name] for name in ("val0", "test0")
        }
        assert [f"{path}, frame {index}" for index in one.split_indices["train"]] == places(one)["train"]
    other = module(**split, train_subset={"frames": 6, "seed": 2})
    assert places(other)["train"] != places(large)["train"]


def test_a_train_set_from_a_file_of_its_own(write, water):
    first, second = write("a.extxyz", water(8)), write("b.extxyz", water(2, 5))
    one = module(train_file_path=first, val_file_path=second, train_subset={"frames": 3})
    assert (len(one.dataset("train")), len(one.dataset("val0"))) == (3, 2)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"frames": 0}, "train_subset.frames: must be greater than 0"),
        ({"seed": 3}, "train_subset.frames: required option is missing"),
        ({"frames": 3, "sed": 1}, "train_subset.sed: unknown option"),
    ],
)
def test_wrong_options(write, water, given, said):
    with pytest.raises(ConfigError, match=said):
        module(train_file_path=write("a.extxyz", water(4)), train_subset=given)
