import numpy as np
import pytest
import torch

from equipot.ase import SkinNeighbors
from equipot.errors import DataError
from equipot.graph import collate
from equipot.model import ModelInfo
from equipot.neighbors import add_neighbors

CUTOFFS = ((4.0, 3.4, 4.0), (3.0, 3.0, 3.0), (4.0, 3.2, 4.0))
INFO = ModelInfo(
    type_names=("C", "H", "O"),
    chemical_species=("C", "H", "O"),
    r_max=4.0,
    cutoffs=CUTOFFS,
    model_dtype="float64",
    edge_sets=(("far", 5.0),),
)


def frame(seed, n_atoms=6, size=4.5, pbc=(True, True, True)):
    random = np.random.default_rng(seed)
    cell = size * np.eye(3) + 0.3 * random.normal(size=(3, 3))
    return {
        "positions": torch.from_numpy(random.random((n_atoms, 3)) @ cell),
        "cell": torch.from_numpy(cell)[None],
        "pbc": torch.tensor([pbc]),
        "atom_types": torch.from_numpy(random.integers(0, 3, n_atoms)),
        "batch": torch.zeros(n_atoms, dtype=torch.int64),
        "num_atoms": torch.tensor([n_atoms]),
    }


def fresh(frames):
    made = [add_neighbors(one, INFO.r_max, cutoffs=INFO.cutoff_matrix, edge_sets=INFO.edge_sets) for one in frames]
    return collate(made)


def moved(one, random, by=0.1, strain=0.0):
    mapping = torch.eye(3, dtype=torch.float64) + strain * torch.from_numpy(random.normal(size=(3, 3)))
    places = one["positions"] @ mapping + by * torch.from_numpy(random.uniform(-1, 1, tuple(one["positions"].shape)))
    return {**one, "positions": places, "cell": one["cell"] @ mapping}


def check(kept, frames):
    found, expected = kept.update(collate(frames)), fresh(frames)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("skin", [0.0, 0.8])
def test_batches_have_the_edges_of_new_lists(skin):
    random, kept = np.random.default_rng(1), SkinNeighbors(INFO, skin)
    kinds = [(True, True, True), (False, False, False), (True, False, True)]
    frames = [frame(seed, n_atoms=2 + seed, pbc=kinds[seed % 3]) for seed in range(7)]
    for step in range(12):
        check(kept, frames)
        frames = [moved(one, random, strain=0.002 * (step % 3)) for one in frames]
    assert kept.builds == 12 * 7 if skin == 0.0 else 7 < kept.builds < 60


def test_only_the_list_of_the_frame_that_moved_is_made_again():
    kept, frames = SkinNeighbors(INFO, 0.5), [frame(seed) for seed in range(5)]
    check(kept, frames)
    frames[3]["positions"] = frames[3]["positions"] + torch.tensor([[0.3, 0, 0]], dtype=torch.float64)
    check(kept, frames)
    assert kept.builds == 6


def test_frames_may_leave_join_and_change_places():
    kept, frames = SkinNeighbors(INFO, 0.5), [frame(seed, n_atoms=3 + seed) for seed in range(6)]
    check(kept, frames)
    check(kept, [frames[4], frames[0], frames[5]])
    assert kept.builds == 6
    check(kept, [frames[5], frame(9, n_atoms=5), frames[4]])
    assert kept.builds == 7
    check(kept, frames[:1])


def test_frames_of_the_same_atoms_never_share_a_list_by_mistake():
    kept, one = SkinNeighbors(INFO, 0.5), frame(0)
    others = [moved(one, np.random.default_rng(seed), by=0.5) for seed in range(4)]
    check(kept, others)
    check(kept, others[1:])
    check(kept, others[::-1])


def test_a_cell_may_return_to_what_it_was():
    kept, one = SkinNeighbors(INFO, 1.0), frame(2, n_atoms=9)
    wider = {**one, "cell": one["cell"] * 1.03, "positions": one["positions"] * 1.03}
    other = frame(3)
    for now in (one, wider, one, wider):
        check(kept, [now])
    for now in (one, wider, one, wider):
        check(kept, [now, other])
    assert kept.builds == 2


def test_an_error_in_one_frame_leaves_the_others_as_they_were():
    kept, first, second = SkinNeighbors(INFO, 0.5), frame(0), frame(1)
    wider = {**first, "cell": first["cell"] * 1.01, "positions": first["positions"] * 1.01}
    check(kept, [first, second])
    broken = {**second, "positions": torch.full_like(second["positions"], float("nan"))}
    with pytest.raises(DataError, match="coordinates must be finite"):
        kept.update(collate([wider, broken]))
    check(kept, [wider, second])
    check(kept, [first, second])
