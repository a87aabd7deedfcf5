import pickle

import pytest
import torch

from equipot.data import FrameCollection, LazyFrames, _dataset, collect_frames
from equipot.data._dataset import FrameDataset, complete_labels
from equipot.data._frames import frame_from_atoms, label_contract
from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
from equipot.errors import DataError


@pytest.fixture
def frames(water):
    return [frame_from_atoms(atoms, label_contract(None))[0] for atoms in water(4)]


class Counting:
    def __init__(self, inner):
        self.inner, self.calls = inner, 0

    def __call__(self, frame):
        self.calls += 1
        return self.inner(frame)


def transforms(r_max=3.0):
    return [ChemicalSpeciesToAtomTypeMapper(["H", "O"]), Counting(NeighborListTransform(r_max))]


@pytest.mark.parametrize("whole", [0, 2, 2000])
def test_neighbours_are_made_once_and_come_back_equal(frames, monkeypatch, whole):
    """However many frames are kept as they are, and not in a compact form."""
    monkeypatch.setattr(_dataset, "_WHOLE_FRAMES", whole)
    dataset = FrameDataset(frames, transforms=transforms())
    first = [dataset[index] for index in range(4)]
    second = [dataset[index] for index in range(4)]
    assert dataset.transforms[1].calls == 4
    for before, after in zip(first, second, strict=True):
        assert before.keys() == after.keys()
        for key, value in before.items():
            assert value.dtype == after[key].dtype, key
            assert torch.equal(value, after[key]), key


def test_without_room_the_neighbours_are_computed_again(frames):
    dataset = FrameDataset(frames, transforms=transforms(), cache_bytes=0)
    assert torch.equal(dataset[1]["edge_index"], dataset[1]["edge_index"])
    assert dataset.transforms[1].calls == 2


def test_frames_are_new_dicts_each_time(frames):
    dataset = FrameDataset(frames, transforms=transforms())
    dataset[0].clear()
    assert "edge_index" in dataset[0]


def test_large_shifts_survive_the_cache(frames, monkeypatch):
    monkeypatch.setattr(_dataset, "_WHOLE_FRAMES", 0)
    frame = {
        **frames[0],
        "cell": torch.eye(3, dtype=torch.float64)[None] * 9,
        "pbc": torch.ones((1, 3), dtype=torch.bool),
    }
    frame["positions"] = frame["positions"].clone()
    frame["positions"][0] += 9.0 * 70000
    dataset = FrameDataset([frame], transforms=transforms())
    first, again = dataset[0], dataset[0]
    assert first["edge_cell_shift"].abs().max() == 70000
    assert torch.equal(first["edge_cell_shift"], again["edge_cell_shift"])


def test_changed_labels_are_cached_too(frames):
    dataset = FrameDataset(frames, transforms=[lambda frame: {**frame, "forces": -frame["forces"]}])
    assert torch.equal(dataset[0]["forces"], -frames[0]["forces"])
    assert torch.equal(dataset[0]["forces"], -frames[0]["forces"])


def test_refused_frames_are_named(frames):
    dataset = FrameDataset(frames, ["a.xyz, frame 5"] * 4, [ChemicalSpeciesToAtomTypeMapper(["H"])])
    with pytest.raises(DataError, match=r"^a.xyz, frame 5: atom types: no type for \['O'\]"):
        dataset[2]
    with pytest.raises(DataError, match=r"places: must have one entry per frame \(4\), got 1"):
        FrameDataset(frames, ["a"])


def test_sizes(frames):
    dataset = FrameDataset(frames, transforms=transforms())
    assert dataset.num_atoms() == [3] * 4
    assert dataset.num_edges() == [6] * 4
    assert len(dataset) == 4


def test_content_hash_sees_every_value_and_the_order(frames):
    reference = FrameDataset(frames).content_hash()
    assert FrameDataset([dict(reversed(frame.items())) for frame in frames]).content_hash() == reference
    assert FrameDataset(frames[::-1]).content_hash() != reference
    changed = {**frames[0], "forces": frames[0]["forces"] + 1e-13}
    assert FrameDataset([changed, *frames[1:]]).content_hash() != reference
    masked = {**frames[0], "forces_mask": ~frames[0]["forces_mask"]}
    assert FrameDataset([masked, *frames[1:]]).content_hash() != reference


def test_labels_are_completed_for_all_frames(frames):
    del frames[1]["forces"], frames[1]["forces_mask"]
    completed = complete_labels(frames, ["total_energy", "forces", "stress", "atomic_energy"])
    assert completed[1]["forces"].tolist() == [[0.0] * 3] * 3
    assert completed[1]["forces_mask"].tolist() == [False] * 3
    assert completed[0]["forces_mask"].tolist() == [True] * 3
    assert completed[0]["stress"].shape == (1, 3, 3)
    assert completed[0]["stress_mask"].tolist() == [False]
    assert completed[0]["atomic_energy"].shape == (3,)


class Reader:
    """Makes frames and counts how often; as picklable as what reads files."""

    def __init__(self, frames):
        self.frames, self.calls = frames, 0

    def __call__(self, index):
        self.calls += 1
        return {key: value.clone() for key, value in self.frames[index].items()}


def test_lazy_frames_are_made_again_and_equal(frames):
    reader = Reader(frames)
    lazy = LazyFrames(reader, range(4))
    part = FrameCollection(lazy, [{}] * 4, list("abcd"), [()] * 4, [False] * 4).subset([3, 1])
    completed = complete_labels(part.frames, ["stress"])
    assert isinstance(completed, LazyFrames)
    assert reader.calls == 0, "nothing is read before it is needed"
    dataset = FrameDataset(completed, part.places, transforms(), cache_bytes=0)
    whole = FrameDataset(complete_labels([frames[3], frames[1]], ["stress"]), transforms=transforms())
    for _ in range(2):
        for index in range(2):
            ours, theirs = dataset[index], whole[index]
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert reader.calls == 4, "none is kept"
    assert dataset.content_hash() == whole.content_hash()
    assert [frame["positions"][0, 0] for frame in lazy[1:3]] == [one["positions"][0, 0] for one in frames[1:3]]
    restored = pickle.loads(pickle.dumps(completed))  # noqa: S301 - as loaders do for their processes
    assert torch.equal(restored[0]["positions"], frames[3]["positions"])


def test_frames_are_counted_without_being_kept(water):
    contract = label_contract(None)
    atoms = [(f"f{index}", one) for index, one in enumerate(water(3))]
    kept, counted = (collect_frames(atoms, contract, keep=keep) for keep in (True, False))
    assert len(kept.frames) == 3
    assert len(counted.frames) == 0
    assert (kept.places, kept.reports, kept.labels) == (counted.places, counted.reports, counted.labels)
    assert counted.labels == {"total_energy", "forces"}
