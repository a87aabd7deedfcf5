"""Energies by composition: what stands out, and how far sets are apart."""

import numpy as np
import pytest

from equipot.data.checks import _energy_rows
from equipot.data.checks._block import blocks
from equipot.data.checks._energy_rows import EnergyRows
from equipot_test_support.faults import alloys, changed, collection, ethanol


def rows(frames):
    made = EnergyRows()
    for block in blocks(collection(frames), range(len(frames)), "train"):
        made.add(block, np.isfinite(block.energies))
    return made


def test_deviations_from_a_common_composition(monkeypatch):
    frames = [*ethanol(30), *alloys()]
    frames[7] = changed(frames[7], energy=frames[7].calc.results["energy"] + 9.0)
    made = rows(frames)
    assert made.places[7] == "train.xyz, frame 7"
    assert made.atoms[[0, 30]].tolist() == [9.0, 4.0]
    monkeypatch.setattr(_energy_rows, "_COMMON", 30)
    off, spread = made.deviations()
    assert off[7] == pytest.approx(1.0, abs=0.1)
    assert off[7] / spread[7] > 20
    assert spread[0] < spread[30], "molecules scatter less than alloys of all compositions"


def test_how_far_sets_are_apart():
    shifted = [changed(one, energy=one.calc.results["energy"] - 2.0 * len(one)) for one in ethanol(40)[20:]]
    found = rows(ethanol(20)).offset(rows(shifted))
    assert (found.frames, found.shift) == (20, pytest.approx(-2.0, abs=0.1))
    assert rows(ethanol(20)).offset(rows(ethanol(40)[20:])) is None
    assert rows(ethanol(20)).offset(rows(alloys(5))) is None, "other elements"
