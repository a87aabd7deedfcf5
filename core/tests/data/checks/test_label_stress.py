"""Faults of stresses, planted in real frames: which check speaks, and of which frames."""

import numpy as np

from equipot_test_support.faults import (
    changed,
    found,
    water_boxes,
)


def test_stress_in_gpa_and_in_kcal():
    frames = [changed(atoms, stress=atoms.calc.results["stress"] * 1602.18) for atoms in water_boxes()]
    one = found(frames)["stress-large"]
    assert (one.severity, one.example) == ("warning", one.places[0])
    assert one.count == sum(np.abs(atoms.calc.results["stress"]).max() > 3 for atoms in frames) > 20
    assert "eV/Å³" in one.message
    more = [changed(atoms, stress=atoms.calc.results["stress"] * 23) for atoms in frames]
    assert "kcal/mol/Å³" in found(more, units="real")["stress-large"].message
