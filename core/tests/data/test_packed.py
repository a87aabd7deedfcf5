"""Packed frames are the frames that went in, and are counted and hashed as these."""

import hashlib

import numpy as np
import pytest
import torch

from equipot.data._collection import collect_frames
from equipot.data._dataset import FrameDataset, complete_labels
from equipot.data._label_contract import label_contract
from equipot.data._packed import DERIVED, PackedFrames, Packer
from equipot.data._readers import read_placed
from equipot.graph import collate, with_labels


def frame(rng, n, *labels):
    made = {
        "positions": torch.from_numpy(rng.normal(size=(n, 3))),
        "cell": torch.from_numpy(rng.normal(size=(1, 3, 3))),
        "pbc": torch.from_numpy(rng.random((1, 3)) < 0.5),
        "atomic_numbers": torch.from_numpy(rng.integers(1, 9, n)),
        "batch": torch.zeros(n, dtype=torch.int64),
        "num_atoms": torch.tensor([n]),
    }
    shapes = {"total_energy": (1,), "forces": (n, 3), "stress": (1, 3, 3)}
    for label in labels:
        mask = rng.random(shapes[label][0]) < 0.7
        mask[0] |= not mask.any()
        values = np.where(mask.reshape(-1, *[1] * (len(shapes[label]) - 1)), rng.normal(size=shapes[label]), 0.0)
        made |= {label: torch.from_numpy(values), f"{label}_mask": torch.from_numpy(mask)}
    return made


@pytest.fixture
def frames():
    rng = np.random.default_rng(3)
    kinds = [(), ("total_energy",), ("total_energy", "forces"), ("forces", "stress", "total_energy")]
    return [frame(rng, int(rng.integers(1, 7)), *kinds[int(rng.integers(4))]) for _ in range(40)]


@pytest.fixture
def packed(frames):
    packer = Packer()
    for one in frames:
        packer.add(one)
    assert len(packer) == len(frames)
    return packer.finish()


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert value.dtype == other[key].dtype
        assert torch.equal(value, other[key]), key


def test_frames_come_back_as_they_went_in(frames, packed):
    assert len(packed) == len(frames)
    for index, one in enumerate(frames):
        assert_same(packed[index], one)
        assert_same(packed[index - len(frames)], one)
    for one, other in zip(packed, frames, strict=True):
        assert_same(one, other)


def test_blocks_of_many_frames_keep_the_order(monkeypatch, frames):
    monkeypatch.setattr("equipot.data._packed._AT_ONCE", 3)
    packer = Packer()
    for one in frames:
        packer.add(one)
    packed = packer.finish()
    for one, other in zip(packed, frames, strict=True):
        assert_same(one, other)
    assert packed.content_hash() == slow_hash(frames)
    assert list(packed.ranges("forces")[0]) == [bool("forces" in one) for one in frames]


def test_subsets_and_slices(frames, packed):
    order = [7, 3, 3, 31]
    for one, index in zip(packed.subset(order), order, strict=True):
        assert_same(one, frames[index])
    assert_same(packed.subset(order)[1:][0], frames[3])
    assert_same(packed.subset(order).subset([3])[0], frames[31])
    assert packed.subset(order).num_atoms().tolist() == [len(frames[index]["positions"]) for index in order]


def test_labels_are_completed_as_those_of_single_frames(frames, packed):
    labels = ["total_energy", "forces", "virial", "atomic_energy"]
    for one, other in zip(complete_labels(packed, labels), complete_labels(frames, labels), strict=True):
        assert_same(one, other)
    batch = collate([complete_labels(packed, labels)[index] for index in range(4)])
    assert_same(batch, collate([with_labels(one, labels) for one in frames[:4]]))


def slow_hash(frames):
    """The definition: names, shapes, types and bytes of all fields of all frames."""
    digest = hashlib.sha256()
    for one in frames:
        for key in sorted(one):
            digest.update(f"{key}{tuple(one[key].shape)}{one[key].dtype}".encode())
            digest.update(one[key].contiguous().numpy().tobytes())
    return digest.hexdigest()


def test_the_content_hash_is_that_of_single_frames(frames, packed):
    assert packed.content_hash() == slow_hash(frames)
    assert FrameDataset(packed).content_hash() == FrameDataset(frames).content_hash()
    labels = ["total_energy", "forces", "stress", "virial"]
    assert packed.with_labels(labels).content_hash() == slow_hash(complete_labels(frames, labels))
    assert packed.subset([5, 2]).content_hash() == slow_hash([frames[5], frames[2]])


def test_ranges_leave_masked_values_out(frames, packed):
    for label in ("total_energy", "forces", "stress", "virial"):
        has, low, high = packed.ranges(label)
        for index, one in enumerate(frames):
            present = one[label][one[f"{label}_mask"]] if label in one else torch.zeros(0)
            assert has[index] == bool(present.numel())
            if present.numel():
                assert (low[index], high[index]) == (float(present.min()), float(present.max()))


def test_ranges_of_fields_without_masks(frames):
    packer = Packer()
    for index, one in enumerate(frames):
        packer.add({**one, "total_charge": torch.tensor([float(index % 3)], dtype=torch.float64)})
    has, low, high = packer.finish().ranges("total_charge")
    assert has.all()
    assert low.tolist() == high.tolist() == [index % 3 for index in range(len(frames))]


def test_elements_are_counted_with_their_first_frame(frames, packed):
    found = packed.elements()
    for number in range(1, 9):
        counts = [int((one["atomic_numbers"] == number).sum()) for one in frames]
        assert found[number] == (sum(counts), next(index for index, count in enumerate(counts) if count))
    places = [f"place {index}" for index in range(len(frames))]
    assert FrameDataset(packed, places).elements() == FrameDataset(frames, places).elements()


def test_views_do_not_copy(packed):
    first = packed.fields["positions"]
    assert packed[0]["positions"].data_ptr() == first.data_ptr()


def test_fields_that_follow_from_others_are_not_stored(packed):
    assert not set(DERIVED) & set(packed.fields)


def test_weights_of_packed_frames(tmp_path, write, water):
    """The same as of frames one by one, in a file that is read in the short way only where nothing has weights."""
    frames = water(6)
    for index, frame in enumerate(frames):
        frame.info["w"] = float(index)
    path = write("weighted.xyz", frames)
    contract = label_contract(None, weights={"frame": "w"})
    found = collect_frames(read_placed([path]), contract)
    complete = complete_labels(found.frames, ["total_energy", "forces"], {"total_energy": 0.5, "forces": 0.5})
    singly = complete_labels(list(found.frames), ["total_energy", "forces"], {"total_energy": 0.5, "forces": 0.5})
    assert isinstance(complete, PackedFrames)
    assert [report["forces"].ignored for report in found.reports] == ["weight 0", *[None] * 5]
    for one, other in zip(complete[1:], singly[1:], strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert complete[0].keys() == complete[1].keys()
    assert not complete[0]["forces_mask"].any()
    assert complete[3]["total_energy_weight"].tolist() == [1.5]
