"""Faults of labels that say nothing, planted in real frames: which check speaks, and of which frames."""

import numpy as np

from equipot_test_support.faults import (
    changed,
    ethanol,
    found,
    planted,
    water_boxes,
)


def test_zero_in_all_and_in_some_frames():
    def zero(atoms):
        return changed(atoms, stress=np.zeros(6))

    one = found(planted(water_boxes(), zero))["label-zero"]
    assert (one.severity, one.count, one.example) == ("error", 30, "train.xyz, frame 0")
    some = found(planted(water_boxes(), zero, 5, 6))["label-zero-frames"]
    assert (some.severity, some.count, some.example) == ("warning", 2, "train.xyz, frame 5")
    assert some.message == "stress is exactly zero in 2 of 30 frames of train"
    still = found(planted(ethanol(), lambda atoms: changed(atoms, forces=np.zeros((9, 3))), 8))["forces-zero-frames"]
    assert (still.severity, still.count, still.example) == ("note", 1, "train.xyz, frame 8")


def test_constant():
    one = found([changed(atoms, energy=-4213.5) for atoms in ethanol(12)])["label-constant"]
    assert (one.count, one.example) == (12, "train.xyz, frame 0")
    assert one.message == "total_energy has the same value in all 12 frames of train"
    assert "label-constant" not in found([changed(atoms, energy=-4213.5) for atoms in ethanol(4)]), "too few"
