import pytest
import torch

from equipot.errors import DataError
from equipot.fields import FIELDS, LABELS, mask_key
from equipot.graph import (
    collate,
    compute_edge_vectors,
    edge_set_key,
    non_finite,
    num_atoms,
    num_frames,
    per_what,
    split,
)
from equipot.neighbors import add_neighbors


def frame(n, *, seed=0, **labels):
    generator = torch.Generator().manual_seed(seed)
    graph = {
        "positions": torch.rand((n, 3), generator=generator, dtype=torch.float64) * 4,
        "cell": torch.eye(3, dtype=torch.float64)[None] * 4,
        "pbc": torch.ones((1, 3), dtype=torch.bool),
        "atomic_numbers": torch.arange(1, n + 1),
        "atom_types": torch.arange(n) % 2,
        "batch": torch.zeros(n, dtype=torch.int64),
        "num_atoms": torch.tensor([n]),
        **labels,
    }
    return add_neighbors(graph, 2.5, edge_sets=[("far", 3.5)])


def test_batch_and_back():
    frames = [frame(3, seed=1), frame(1, seed=2), frame(4, seed=3)]
    batch = collate(frames)
    assert num_frames(batch) == 3
    assert num_atoms(batch) == 8
    assert batch["batch"].tolist() == [0, 0, 0, 1, 2, 2, 2, 2]
    for before, after in zip(frames, split(batch), strict=True):
        assert before.keys() == after.keys()
        for key, value in before.items():
            assert torch.equal(value, after[key]), key


def test_edges_keep_their_frame():
    frames = [frame(3, seed=1), frame(4, seed=3)]
    batch = collate(frames)
    for name in ("edge_index", "edge_index:far"):
        centre, neighbour = batch[name]
        assert torch.equal(batch["batch"][centre], batch["batch"][neighbour])
        assert batch[name].shape[1] == sum(one[name].shape[1] for one in frames)


def test_batching_batches_is_the_same_as_batching_frames():
    frames = [frame(2, seed=1), frame(3, seed=2), frame(1, seed=3)]
    once, twice = collate(frames), collate([collate(frames[:2]), frames[2]])
    for key, value in once.items():
        assert torch.equal(value, twice[key]), key


def test_edge_vectors_of_a_batch():
    frames = [frame(3, seed=1), frame(4, seed=3)]
    batch = collate(frames)
    keys = ("positions", "cell", "edge_index", "edge_cell_shift", "batch")
    vectors = compute_edge_vectors(*(batch[key] for key in keys))
    assert vectors.shape == (batch["edge_index"].shape[1], 3)
    assert float(vectors.norm(dim=1).max()) < 2.5
    singles = torch.cat([compute_edge_vectors(*(one[key] for key in keys)) for one in frames])
    assert torch.allclose(vectors, singles, rtol=0, atol=1e-14)


def test_missing_labels_are_zero_and_masked():
    forces = torch.ones((2, 3), dtype=torch.float64)
    energy = torch.tensor([-1.0], dtype=torch.float64)
    batch = collate([frame(2, forces=forces), frame(3, total_energy=energy)])
    assert batch["forces_mask"].tolist() == [True, True, False, False, False]
    assert batch["forces"][2:].abs().max() == 0
    assert batch["total_energy_mask"].tolist() == [False, True]
    assert batch["total_energy"].tolist() == [0.0, -1.0]


def test_given_masks_are_kept():
    forces = torch.ones((2, 3), dtype=torch.float64)
    mask = torch.tensor([True, False])
    batch = collate([frame(2, forces=forces, forces_mask=mask), frame(1)])
    assert batch["forces_mask"].tolist() == [True, False, False]


def test_labels_absent_everywhere_are_absent_keys():
    batch = collate([frame(1), frame(2)])
    assert not set(batch) & {*LABELS, *map(mask_key, LABELS)}


def test_fields_must_agree():
    other = frame(2)
    del other["atom_types"]
    with pytest.raises(DataError, match=r"frame 1 differs from frame 0 in the fields \['atom_types'\]"):
        collate([frame(2), other])
    with pytest.raises(DataError, match="at least one frame, got none"):
        collate([])


def test_what_a_key_is_per():
    assert per_what("forces") == per_what("forces_mask") == "atom"
    assert per_what("stress") == per_what("stress_mask") == "frame"
    assert per_what(edge_set_key("edge_index", "far")) == "edge"
    assert edge_set_key("edge_index", "") == "edge_index"
    with pytest.raises(DataError, match="made_up: unknown data field"):
        per_what("made_up")


def test_every_field_has_a_shape_that_says_per_what():
    for field in FIELDS.values():
        assert f"n_{field.per}s" in field.shape


def test_fields_that_are_not_finite_are_named():
    bad, good = torch.tensor([1.0, float("nan")]), torch.zeros(2)
    assert non_finite({"forces": bad, "total_energy": good, "atom_types": torch.tensor([1])}) == "forces"
    assert non_finite({"forces": bad, "stress": -1 / torch.zeros(1)}) == "forces, stress"
    assert non_finite({"forces": torch.zeros(0, 3)}) == ""
    assert non_finite({"forces": torch.full((2, 3), 1e308, dtype=torch.float64)}) == ""  # though their sum is infinite
    assert non_finite({"forces": torch.tensor([float("inf"), float("-inf")])}) == "forces"
