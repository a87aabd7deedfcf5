import pytest

from equipot.data._splits import split_indices
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
