import pytest

from equipot.data._options import file_groups, loader_options, split_options


def loader(**given):
    problems = []
    options = loader_options(given, "data.train_dataloader", problems)
    return options, problems


def test_loader_defaults():
    options, problems = loader(batch_size=4)
    assert problems == []
    assert options.batch_size == 4
    assert options.torch_options() == {
        "num_workers": 0,
        "pin_memory": False,
        "persistent_workers": False,
        "prefetch_factor": None,
    }


def test_torch_s_loader_may_be_named():
    assert loader(_target_="torch.utils.data.DataLoader", batch_size=4)[1] == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"batchsize": 3}, ["batchsize: unknown option; did you mean 'batch_size'?"]),
        ({"batch_size": 0}, ["batch_size: must be greater than 0, got 0"]),
        ({"batch_size": "5"}, ["batch_size: must be an integer, got '5'"]),
        ({"max_atoms": 5, "batch_size": 1}, ["max_atoms: cannot be given together with batch_size; choose one"]),
        ({"num_workers": -1}, ["num_workers: must be at least 0, got -1"]),
        ({"persistent_workers": True}, ["persistent_workers: needs num_workers of at least 1, got True"]),
    ],
)
def test_loader_problems(given, expected):
    assert loader(**given)[1] == [f"data.train_dataloader.{text}" for text in expected]


def test_files_of_sets():
    problems = []
    assert file_groups(None, "x", problems, one_set=True) == []
    assert file_groups("a", "x", problems, one_set=True) == [["a"]]
    assert file_groups(["a", "b"], "x", problems, one_set=True) == [["a", "b"]]
    assert file_groups("a", "x", problems, one_set=False) == [["a"]]
    assert file_groups(["a", ["b", "c"]], "x", problems, one_set=False) == [["a"], ["b", "c"]]
    assert problems == []
    file_groups([], "x", problems, one_set=False)
    file_groups([3, ""], "x", problems, one_set=True)
    assert problems == [
        "x: is an empty list; leave it out",
        "x: must be a path or a list of paths, got 3",
        "x: must be a path or a list of paths, got ''",
    ]


def test_split():
    problems = []
    found = split_options({"file_path": ["a", "b"], "train": 0.9, "val": 5}, "data.split_dataset", problems)
    assert problems == []
    assert found.files == ["a", "b"]
    assert found.sizes == {"train": 0.9, "val": 5}
    assert split_options(None, "x", problems) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"file": "a", "train": 0.5},
            ["x.file: unknown option; did you mean 'file_path'?", "x.file_path: required option is missing"],
        ),
        ({"file_path": "a"}, ["x: names no part; give train, val, test as fractions or numbers of frames"]),
        (
            {"file_path": "a", "train": 0.9, "val": 0.2},
            ["x: the fractions sum to 1.1, more than 1, got {'train': 0.9, 'val': 0.2}"],
        ),
    ],
)
def test_split_problems(given, expected):
    problems = []
    split_options(given, "x", problems)
    assert problems == expected
