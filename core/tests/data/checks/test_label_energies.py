"""Faults of energies, planted in real frames: which check speaks, and of which frames."""

import numpy as np
import pytest

from equipot_test_support.faults import (
    alloys,
    changed,
    ethanol,
    found,
    planted,
    water_boxes,
)


@pytest.mark.parametrize("write", [float, lambda value: float(str(value))], ids=["binary", "text"])
def test_single_precision(write):
    def single(atoms):
        return changed(atoms, energy=write(np.float32(atoms.calc.results["energy"] - 1e6)))

    one = found([single(atoms) for atoms in ethanol()])["energy-precision"]
    assert (one.severity, one.count, one.example) == ("warning", 40, "train.xyz, frame 0")
    assert one.message.endswith("in single precision, with steps of 0.0625 eV (6.9 meV/atom)")
    shifted = [changed(atoms, energy=write(np.float32(atoms.calc.results["energy"] + 4200))) for atoms in ethanol()]
    assert "energy-precision" not in found(shifted), "small steps do no harm"


def test_an_energy_far_off():
    one = found(planted(ethanol(), lambda atoms: changed(atoms, energy=atoms.calc.results["energy"] + 10), 25))
    outlier = one["energy-far-off"]
    assert (outlier.severity, outlier.count, outlier.example) == ("warning", 1, "train.xyz, frame 25")
    assert "the first by 1." in outlier.message
    assert outlier.message.endswith("eV/atom")


def test_a_cohesive_energy_among_total_ones():
    def cohesive(atoms):
        return changed(atoms, energy=-3.5 * len(atoms))

    outlier = found(planted([*alloys(), *ethanol(15), *water_boxes(15)], cohesive, 33))["energy-far-off"]
    assert (outlier.count, outlier.example) == (1, "train.xyz, frame 33")


def test_sets_of_two_levels_of_theory():
    def shifted(atoms, size=0.8):
        return changed(atoms, energy=atoms.calc.results["energy"] + size * len(atoms))

    assert "sets-levels" not in found({"train": ethanol(30), "val0": ethanol(60)[30:]})
    sets = {"train": ethanol(30), "val0": ethanol(50)[30:], "test0": [shifted(one) for one in ethanol(70)[50:]]}
    one = found(sets)["sets-levels"]
    assert (one.severity, one.count, one.example, one.places) == ("warning", 20, "test0", ("train", "test0"))
    assert one.message.startswith("20 frames of test0 lie 0.8")
    alloy = {"train": alloys(24), "test0": [shifted(one, 3.0) for one in alloys()[24:]]}
    assert found(alloy)["sets-levels"].count == 6, "energies of the elements follow from the train set"
    assert "sets-levels" not in found({"train": alloys(24), "test0": alloys()[24:]})
    other = {"train": ethanol(20), "test0": [shifted(one, 9.0) for one in water_boxes(9)]}
    assert "sets-levels" not in found(other), "nothing follows from other elements and compositions"
