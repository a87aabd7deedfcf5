"""Which frames are looked at, and how the checks see them."""

import numpy as np

from equipot.data._collection import LazyFrames
from equipot.data.checks import _survey
from equipot.data.checks._block import blocks
from equipot.data.checks._survey import draw, view
from equipot.units import KCAL_PER_MOL_IN_EV
from equipot_test_support.faults import changed, collection, ethanol, found


def test_all_frames_of_small_sets():
    drawn = draw({"train": collection(ethanol(30)), "val0": collection(ethanol(5))})
    assert str(drawn) == "all 35 frames"
    assert drawn.frames == drawn.near == {"train": range(30), "val0": range(5)}


def test_evenly_drawn_frames_of_large_sets(monkeypatch):
    sets = {"train": collection(ethanol(40)), "val0": collection(ethanol(20))}
    monkeypatch.setattr(_survey, "MOST_NEAR_FRAMES", 20)
    assert str(draw(sets)) == "60 frames: labels of all, distances of 21 evenly drawn ones"
    monkeypatch.setattr(_survey, "MOST_LAZY", 30)
    assert str(draw(sets)).startswith("60 frames: labels of all"), "frames in memory cost next to nothing"
    for one in sets.values():
        one.frames = LazyFrames(one.frames.__getitem__, range(len(one.frames)))
    drawn = draw(sets)
    assert str(drawn) == "60 frames: labels of 30 evenly drawn, distances of 15 evenly drawn ones"
    assert set(drawn.near["train"]) <= set(drawn.frames["train"]) == set(range(0, 40, 2))
    monkeypatch.setattr(_survey, "MOST_NEAR_ATOMS", 9 * 6)
    assert str(draw(sets)).endswith("distances of 6 evenly drawn ones"), "large frames take longer"


def test_a_fault_in_a_frame_that_is_not_drawn_is_not_seen(monkeypatch):
    frames = ethanol(40)
    frames[3] = changed(frames[3], positions=frames[3].positions * 0.1)
    assert "contact" in found(frames)
    monkeypatch.setattr(_survey, "MOST_NEAR_FRAMES", 20)
    assert "contact" not in found(frames)


def test_blocks_are_in_electron_volts_with_nan_where_masked():
    forces = ethanol(1)[0].calc.results["forces"].copy()
    forces[1] = np.nan
    one = collection([changed(ethanol(1)[0], energy=100.0, forces=forces)], mask_nan=True)
    (seen,) = blocks(one, range(1), "val0", "real")
    assert seen.energies.tolist() == [100.0 * KCAL_PER_MOL_IN_EV]
    assert np.isnan(seen.labels["forces"]).all(axis=1).tolist() == [False, True, *[False] * 7]
    assert (seen.missing["forces"].tolist(), seen.absent["forces"].tolist()) == ([True], [False])
    assert (seen.set_name, seen.places, "stress" in seen.labels) == ("val0", ["train.xyz, frame 0"], False)
    assert not view(one, 0).has_cell
    assert (one.frames[0]["forces"][1] == 0).all(), "the frame itself is not changed"
