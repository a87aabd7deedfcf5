from collections import Counter

import numpy as np
import pytest

from equipot.data._splits import SplitRule, split_frames, split_indices, split_rule
from equipot.errors import ConfigError


def test_isolated_atoms_are_not_part_of_a_split():
    with pytest.raises(ConfigError) as error:
        split_indices(8, {"train": 8, "val": 2}, seed=1, isolated=2)
    assert error.value.problems[0].startswith(
        "data.split_dataset: wants 10 frames, the files have 8 and 2 of isolated atoms, which are not split and go to"
    )


def sizes(parts):
    return {part: len(indices) for part, indices in parts.items()}


@pytest.mark.parametrize(
    ("num_frames", "wished", "expected"),
    [
        (100, {"train": 0.8, "val": 0.1, "test": 0.1}, {"train": 80, "val": 10, "test": 10}),
        (7, {"train": 0.5, "val": 0.5}, {"train": 4, "val": 3}),
        (11, {"train": 1 / 3, "val": 1 / 3, "test": 1 / 3}, {"train": 4, "val": 4, "test": 3}),
        (10, {"train": 0.3, "val": 0.3}, {"train": 3, "val": 3}),
        (100, {"train": 0.29, "val": 0.57}, {"train": 29, "val": 57}),
        (10, {"train": 7, "val": 2}, {"train": 7, "val": 2}),
        (10, {"train": 7, "val": 0.2}, {"train": 7, "val": 2}),
        (10, {"train": 1, "val": 1}, {"train": 1, "val": 1}),
        (10, {"test": 1.0}, {"test": 10}),
    ],
)
def test_sizes(num_frames, wished, expected):
    parts = split_indices(num_frames, wished, seed=3)
    assert sizes(parts) == expected
    used = [index for indices in parts.values() for index in indices]
    assert len(set(used)) == len(used)
    assert set(used) <= set(range(num_frames))


def test_seed_decides():
    wished = {"train": 0.8, "val": 0.2}
    assert split_indices(50, wished, seed=1) == split_indices(50, wished, seed=1)
    assert split_indices(50, wished, seed=1) != split_indices(50, wished, seed=2)
    reordered = split_indices(50, {"val": 0.2, "train": 0.8}, seed=1)
    assert reordered == split_indices(50, wished, seed=1), "the order of the keys has no effect"


@pytest.mark.parametrize(
    ("num_frames", "wished", "message"),
    [
        (10, {"train": 0.8, "val": 0.3}, r"data.split_dataset: the fractions sum to 1\.1, more than 1"),
        (10, {"train": 9, "val": 2}, r"data.split_dataset: wants 11 frames, the files have 10"),
        (10, {"train": 9, "val": 0.2}, r"data.split_dataset: wants 11 frames, the files have 10"),
        (4, {"train": 0.9, "val": 0.05}, r"data.split_dataset.val: gives an empty set out of 4 frames, got 0\.05"),
        (0, {"train": 0.9}, r"data.split_dataset.train: gives an empty set out of 0 frames"),
        (4, {"train": 0}, r"data.split_dataset.train: must be greater than 0, got 0; leave the part out"),
        (4, {"train": -0.5}, r"data.split_dataset.train: must be greater than 0, got -0\.5"),
        (4, {"train": 2.5}, r"data.split_dataset.train: a fraction is at most 1\.0, got 2\.5"),
        (4, {"train": "all"}, r"data.split_dataset.train: must be a fraction or a number of frames, got 'all'"),
        (4, {"train": True}, r"data.split_dataset.train: must be a fraction or a number of frames, got True"),
        (4, {"tran": 0.5}, r"data.split_dataset.tran: unknown part; did you mean 'train'"),
    ],
)
def test_impossible_splits(num_frames, wished, message):
    with pytest.raises(ConfigError, match=message):
        split_indices(num_frames, wished, seed=1)


def test_frames_that_are_not_split_are_counted_in_the_message():
    with pytest.raises(ConfigError) as caught:
        split_indices(8, {"train": 9, "val": 1}, 1, isolated=2)
    (problem,) = caught.value.problems
    assert "wants 10 frames, the files have 8 and 2 of isolated atoms, which are not split and go to train" in problem


THIRDS = {"train": 0.8, "val": 0.1, "test": 0.1}


def rare(number, seed, *, frequency=0.01):
    """Elements of frames: 1 everywhere, and ten others now and then."""
    rng = np.random.default_rng(seed)
    return [{1, *(np.flatnonzero(rng.random(10) < frequency) + 20).tolist()} for _ in range(number)]


def every(elements, indices):
    return set().union(*(elements[index] for index in indices))


def used(parts):
    return [index for indices in parts.values() for index in indices]


class TestElements:
    @pytest.mark.parametrize("seed", range(40))
    def test_every_element_is_in_train_and_sizes_stay(self, seed):
        elements = rare(200, seed)
        old = split_indices(200, {"train": 20, "val": 60, "test": 60}, seed)
        new = split_frames(elements, {"train": 20, "val": 60, "test": 60}, seed)
        everywhere = every(elements, range(200))
        assert every(elements, new.parts["train"]) == everywhere
        assert sizes(new.parts) == sizes(old)
        assert len(set(used(new.parts))) == 140
        missing = everywhere - every(elements, old["train"])
        changed = sum(one != other for one, other in zip(new.parts["train"], old["train"], strict=True))
        assert (changed == 0) == (not missing), "a split with all elements stays as it is"
        assert changed <= len(missing)
        assert new.exchanged == changed
        assert new.missing == []

    def test_some_of_these_splits_were_without_an_element(self):
        """The test above would pass for a function that does nothing if all splits had all elements."""
        lacking = 0
        for seed in range(40):
            elements = rare(200, seed)
            train = split_indices(200, {"train": 20, "val": 60, "test": 60}, seed)["train"]
            lacking += every(elements, train) != every(elements, range(200))
        assert lacking > 20

    def test_eighty_five_elements_one_frame_each(self):
        elements = [{1}] * 500 + [{1, 5 + number} for number in range(84)]
        made = split_frames(elements, THIRDS, seed=3)
        assert every(elements, made.parts["train"]) == {1, *range(5, 89)}
        assert sizes(made.parts) == {"train": 468, "val": 58, "test": 58}

    def test_frames_in_no_part_are_taken_first(self):
        elements = [{1}] * 98 + [{1, 7}] * 2
        old = split_indices(100, {"train": 10, "val": 10}, 5)
        assert not {98, 99} & set(used(old))
        new = split_frames(elements, {"train": 10, "val": 10}, 5)
        assert new.parts["val"] == old["val"]
        assert set(new.parts["train"]) ^ set(old["train"]) == {98, old["train"][-1]}

    def test_a_train_set_too_small_for_all_elements(self):
        made = split_frames([{number} for number in range(1, 11)], {"train": 3, "val": 7}, 1)
        assert len(made.missing) == 7
        assert sizes(made.parts) == {"train": 3, "val": 7}

    def test_without_a_train_part_nothing_changes(self):
        elements = rare(50, 2, frequency=0.05)
        assert split_frames(elements, {"val": 20, "test": 30}, 2).parts == split_indices(50, {"val": 20, "test": 30}, 2)


class TestComposition:
    def test_each_part_has_its_share_of_each_label(self):
        rng = np.random.default_rng(0)
        labels = rng.choice(list("abcde"), size=1000, p=[0.5, 0.3, 0.1, 0.07, 0.03]).tolist()
        made = split_frames([{1}] * 1000, THIRDS, 4, rule=SplitRule("composition"), labels=labels)
        assert sizes(made.parts) == {"train": 800, "val": 100, "test": 100}
        assert sorted(used(made.parts)) == list(range(1000))
        for label, number in Counter(labels).items():
            for part, fraction in THIRDS.items():
                found = sum(labels[index] == label for index in made.parts[part])
                assert abs(found - fraction * number) <= 1.5, (label, part)

    def test_a_random_split_is_farther_off(self):
        """What the rule is for: the shares of a random split differ by several frames."""
        rng = np.random.default_rng(0)
        labels = rng.choice(list("abcde"), size=1000, p=[0.5, 0.3, 0.1, 0.07, 0.03]).tolist()
        parts = split_indices(1000, THIRDS, 4)
        found = [sum(labels[index] == label for index in parts["val"]) - 0.1 * labels.count(label) for label in "ab"]
        assert max(map(abs, found)) > 3

    def test_the_order_within_a_label_is_random_and_the_seed_s(self):
        def split(seed):
            return split_frames([{1}] * 60, THIRDS, seed, rule=SplitRule("composition"), labels=["x"] * 60).parts

        assert split(1) == split(1) != split(2)
        assert split(1)["train"] != sorted(split(1)["train"])

    def test_elements_are_kept(self):
        elements = [{1}] * 30 + [{1, number} for number in range(40, 50)]
        labels = [tuple(one) for one in elements]
        made = split_frames(elements, {"train": 0.5, "val": 0.5}, 1, rule=SplitRule("composition"), labels=labels)
        assert every(elements, made.parts["train"]) == {1, *range(40, 50)}


class TestGroups:
    def test_groups_stay_together(self):
        rng = np.random.default_rng(1)
        labels = rng.integers(0, 40, size=600).tolist()
        made = split_frames([{1}] * 600, THIRDS, 7, rule=SplitRule("group", key="mol"), labels=labels)
        parts_of = {}
        for part, indices in made.parts.items():
            for index in indices:
                parts_of.setdefault(labels[index], set()).add(part)
        assert all(len(parts) == 1 for parts in parts_of.values())
        assert sorted(used(made.parts)) == list(range(600))
        for part, fraction in THIRDS.items():
            assert abs(len(made.parts[part]) - fraction * 600) < 20, "to within about a group"

    def test_equal_blocks_give_exact_sizes(self):
        labels = [index // 10 for index in range(200)]
        made = split_frames([{1}] * 200, THIRDS, 7, rule=SplitRule("block", length=10), labels=labels)
        assert sizes(made.parts) == {"train": 160, "val": 20, "test": 20}
        other = split_frames([{1}] * 200, THIRDS, 8, rule=SplitRule("block", length=10), labels=labels)
        assert other.parts != made.parts

    def test_numbers_leave_the_rest_unused(self):
        labels = [index // 10 for index in range(200)]
        wished = {"train": 50, "val": 20}
        made = split_frames([{1}] * 200, wished, 7, rule=SplitRule("block", length=10), labels=labels)
        assert sizes(made.parts) == wished

    @pytest.mark.parametrize("seed", range(10))
    def test_elements_come_with_their_group(self, seed):
        labels = [index // 5 for index in range(100)]
        elements = [{1, 50 + label} if label % 4 == 0 else {1} for label in labels]
        made = split_frames(elements, {"train": 0.5, "val": 0.5}, seed, rule=SplitRule("group", key="k"), labels=labels)
        assert every(elements, made.parts["train"]) == every(elements, range(100))
        assert not {labels[index] for index in made.parts["train"]} & {labels[index] for index in made.parts["val"]}

    def test_too_few_groups(self):
        with pytest.raises(ConfigError, match="2 groups are too few or too different in size for .*test to get one"):
            split_frames([{1}] * 20, THIRDS | {}, 1, rule=SplitRule("group", key="k"), labels=[0] * 18 + [1] * 2)


@pytest.mark.parametrize(
    ("by", "rule"),
    [
        ("random", SplitRule()),
        ("composition", SplitRule("composition")),
        ("group:molecule", SplitRule("group", key="molecule")),
        ("block:50", SplitRule("block", length=50)),
    ],
)
def test_rules(by, rule):
    assert split_rule(by) == rule


@pytest.mark.parametrize("by", ["element", "group", "group:", "block", "block:0", "block:-3", "block:ten", 3, None])
def test_no_rules(by):
    with pytest.raises(ConfigError, match="data.split_dataset.by: is not a rule for a split"):
        split_rule(by)
