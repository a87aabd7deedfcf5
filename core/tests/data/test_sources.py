import pytest

from equipot.data._module import ASEDataOptions
from equipot.errors import ConfigError


def sources(**given):
    return ASEDataOptions(1, **given).sources()


def test_files_of_sets():
    found = sources(train_file_path=["a", "b"], val_file_path="c", test_file_path=["d", ["e", "f"]])
    assert found.parts == {"train": [["a", "b"]], "val": [["c"]], "test": [["d"], ["e", "f"]]}
    assert found.split == []
    assert sources(train_file_path="a").parts == {"train": [["a"]], "val": [], "test": []}


def test_split():
    found = sources(split_dataset={"file_path": ["a", "b"], "train": 0.9, "val": 5}, test_file_path="c")
    assert found.split == ["a", "b"]
    assert found.sizes == {"train": 0.9, "val": 5}
    assert found.parts["test"] == [["c"]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"train_file_path": []}, ["train_file_path: is an empty list; leave it out"]),
        (
            {"val_file_path": ["a", 3, ["b", ""]]},
            [
                "val_file_path: must be a path or a list of paths, got 3",
                "val_file_path: must be a path or a list of paths, got ''",
            ],
        ),
        (
            {"split_dataset": {"file": "a", "train": 0.5}},
            [
                "split_dataset.file: unknown option; did you mean 'file_path'?",
            ],
        ),
        (
            {"split_dataset": {"file_path": "a"}},
            ["split_dataset: names no part; give train, val, test as fractions or numbers of frames"],
        ),
        (
            {"split_dataset": {"file_path": "a", "train": 0.9, "val": 0.2}},
            ["split_dataset: the fractions sum to 1.1, more than 1, got {'train': 0.9, 'val': 0.2}"],
        ),
        (
            {"split_dataset": {"file_path": "a", "train": 0.9}, "train_file_path": "b"},
            ["split_dataset.train: train_file_path is given too; give one of them"],
        ),
        (
            {},
            [
                (
                    "split_dataset: no data are given; "
                    "give split_dataset or train_file_path, val_file_path, test_file_path"
                )
            ],
        ),
    ],
)
def test_problems(given, expected):
    with pytest.raises(ConfigError) as caught:
        sources(**given)
    assert caught.value.problems == [f"ASEDataOptions.{text}" for text in expected]
