import random

import pytest
import torch

from equipot.data._loader import BatchOrder, TrainLoader, best_fit, check_sizes, evaluation_loader
from equipot.errors import ConfigError, DataError


class Numbers(torch.utils.data.Dataset):
    """Frames whose energy is their index."""

    def __init__(self, sizes):
        self.sizes = sizes

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        n = self.sizes[index]
        return {
            "positions": torch.zeros((n, 3), dtype=torch.float64),
            "batch": torch.zeros(n, dtype=torch.int64),
            "num_atoms": torch.tensor([n]),
            "total_energy": torch.tensor([float(index)], dtype=torch.float64),
        }


def indices(batch):
    return [int(value) for value in batch["total_energy"]]


def loader(count=10, batch_size=3, seed=5, **options):
    return TrainLoader(Numbers([1] * count), BatchOrder(count, seed, batch_size=batch_size), **options)


def epochs(of, count):
    return [[indices(batch) for batch in of] for _ in range(count)]


def test_each_epoch_has_every_frame_once_in_its_own_order():
    first, second = epochs(loader(), 2)
    for epoch in (first, second):
        assert sorted(sum(epoch, [])) == list(range(10))
        assert [len(batch) for batch in epoch] == [3, 3, 3, 1]
    assert first != second
    assert epochs(loader(), 2) == [first, second]
    assert epochs(loader(seed=6), 1)[0] != first


def test_without_shuffling_the_order_is_kept():
    order = BatchOrder(5, 1, batch_size=2, shuffle=False)
    assert order.batches(0) == order.batches(7) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("steps", range(1, 12))
@pytest.mark.parametrize("workers", [0])
def test_resuming_after_any_number_of_steps(steps, workers):
    unbroken = sum(epochs(loader(), 3), [])
    assert unbroken_after(steps, workers) == unbroken


def unbroken_after(steps, workers):
    """Three epochs with a stop after some steps, as Lightning does it: state given after iter()."""
    options = {"num_workers": workers}
    before = loader(**options)
    seen = []
    while len(seen) < steps:
        for batch in before:
            seen.append(indices(batch))
            if len(seen) == steps:
                break
    state = before.state_dict()
    after = loader(**options)
    iterator = iter(after)
    after.load_state_dict(state)
    seen += [indices(batch) for batch in iterator]
    while len(seen) < 12:
        seen += [indices(batch) for batch in after]
    return seen


def test_resuming_with_workers():
    assert unbroken_after(6, workers=2) == sum(epochs(loader(), 3), [])


def test_sets_that_give_several_frames_at_once_are_asked_for_them():
    class Several(Numbers):
        def __getitems__(self, indices):
            return [self[index] for index in indices]

    several = TrainLoader(Several([1] * 10), BatchOrder(10, 5, batch_size=3))
    assert epochs(several, 2) == epochs(loader(), 2)


def test_state_is_plain_and_names_its_run():
    one = loader()
    next(iter(one))
    state = one.state_dict()
    assert state == {"epoch": 0, "batch": 1, "since": 1, "seed": 5, "num_frames": 10, "num_batches": 4}
    with pytest.raises(ConfigError) as caught:
        loader(count=9, seed=1).load_state_dict(state)
    assert caught.value.problems == [
        "data (seed): the run to resume has 5, got 1; resume with the same data and seed",
        "data (num_frames): the run to resume has 10, got 9; resume with the same data and seed",
        "data (num_batches): the run to resume has 4, got 3; resume with the same data and seed",
    ]


def test_epochs_shorter_than_the_set_go_through_all_frames():
    """Lightning's limit_train_batches takes fewer batches from each iterator than an epoch has."""
    one = loader()
    seen = []
    for _ in range(4):
        iterator = iter(one)
        seen += [indices(next(iterator)) for _ in range(3)]
    assert seen == sum(epochs(loader(), 3), [])


def test_loading_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    epochs(loader(), 1)
    order = BatchOrder(4, 5, batch_size=2, shuffle=False)
    list(evaluation_loader(Numbers([1] * 4), order))
    assert torch.equal(torch.get_rng_state(), before)


class TestLimits:
    @pytest.fixture
    def sizes(self):
        generator = random.Random(3)
        return [generator.choice([1, 2, 3, 20, 57, 96]) for _ in range(60)]

    @pytest.mark.parametrize("limit", [96, 97, 130, 400, 10_000])
    def test_no_batch_exceeds_the_limit_and_none_is_lost(self, sizes, limit):
        order = BatchOrder(60, 1, sizes=sizes, limit=limit)
        for epoch in range(30):
            batches = order.batches(epoch)
            assert max(sum(sizes[frame] for frame in batch) for batch in batches) <= limit
            assert sorted(frame for batch in batches for frame in batch) == list(range(60))
            assert len(batches) == len(order), "Lightning asks for the number once"
            assert all(batches)
            assert batches == order.batches(epoch)
        assert order.batches(0) != order.batches(1)

    def test_few_batches(self, sizes):
        order = BatchOrder(60, 1, sizes=sizes, limit=130)
        assert len(best_fit(sizes, 130)) <= len(order) <= 1.5 * sum(sizes) / 130

    def test_batches_through_the_loader(self, sizes):
        one = TrainLoader(Numbers(sizes), BatchOrder(60, 1, sizes=sizes, limit=130))
        batches = list(one)
        assert max(batch["positions"].shape[0] for batch in batches) <= 130
        assert sorted(sum((indices(batch) for batch in batches), [])) == list(range(60))

    def test_too_large_frames_are_named(self):
        with pytest.raises(DataError) as caught:
            check_sizes([3, 9, 12], 8, ["a 0", "a 1", "a 2"], "atoms", "data.train_dataloader.max_atoms")
        assert str(caught.value) == (
            "data.train_dataloader.max_atoms: 2 frames are larger than a batch may be: "
            "a 1 (9 atoms), a 2 (12 atoms), got 8; at least 12 is needed"
        )
        check_sizes([3, 8], 8, ["a", "b"], "atoms", "x")


def test_processes_share_an_epoch(monkeypatch):
    from equipot import _processes

    assert _processes.share() == (0, 1), "this process is alone"
    batches = BatchOrder(10, 5, batch_size=2).batches(0)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(_processes, "share", lambda rank=rank: (rank, 2))
        order = BatchOrder(10, 5, batch_size=2)
        assert len(order) == 3
        shares.append(list(order))
    assert [len(share) for share in shares] == [3, 3]
    assert shares[0] == batches[0::2]
    assert shares[1] == [batches[1], batches[3], batches[0]], "the last process starts again from the first batch"


def test_evaluation_is_the_same_each_time():
    one = evaluation_loader(Numbers([1] * 5), BatchOrder(5, 1, batch_size=2, shuffle=False))
    assert epochs(one, 2) == [[[0, 1], [2, 3], [4]]] * 2
