"""Faults of structures planted in real frames."""

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

from equipot.data.checks._geometry_checks import nearest, open_gap, radii
from equipot.data.checks._survey import view
from equipot_test_support.faults import alloys, changed, collection, ethanol, found, warned, water_boxes
from equipot_test_support.water import labelled

BOHR = 0.529177210903


def test_a_contact_names_the_pair():
    frames = ethanol()
    positions = frames[12].positions.copy()
    positions[3] = positions[0] + [0.0, 0.0, 0.15]
    frames[12] = changed(frames[12], positions=positions)
    one = found(frames)["contact"]
    assert (one.severity, one.count, one.example) == ("warning", 1, "train.xyz, frame 12")
    first, second = frames[12].symbols[[0, 3]]
    assert one.message == f"1 of 40 frames; in the first, {first} (atom 0) and {second} (atom 3) are 0.15 Å apart"


def test_a_contact_through_the_faces_of_the_cell():
    frames = alloys()
    positions = frames[4].positions.copy()
    positions[2] = positions[1] + frames[4].cell[0] + [0.2, 0, 0]
    frames[4] = changed(frames[4], positions=positions)
    assert found(frames)["contact"].example == "train.xyz, frame 4"


@pytest.mark.parametrize("frames", [ethanol, water_boxes, alloys])
def test_positions_in_bohr(frames):
    wrong = [changed(atoms, positions=atoms.positions / BOHR, cell=atoms.cell.array / BOHR) for atoms in frames()]
    one = found(wrong)["positions-too-far"]
    assert (one.severity, one.example) == ("warning", "train.xyz, frame 0")
    assert one.count > 0.95 * len(wrong)
    assert "1 Å is 1.89 Bohr" in one.message or frames is alloys


@pytest.mark.parametrize("frames", [water_boxes, alloys])
def test_fractional_positions(frames):
    wrong = [changed(atoms, positions=atoms.get_scaled_positions()) for atoms in frames()]
    both = found(wrong)
    assert (both["positions-too-close"].count, both["positions-too-close"].example) == (30, "train.xyz, frame 0")
    assert "as fractional ones do" in both["positions-too-close"].message
    assert "contact" not in both, "said once"


def test_noble_gases_do_not_bond():
    random = np.random.default_rng(0)
    gas = [
        labelled(Atoms("Ar8", 4.0 * np.argwhere(np.ones((2, 2, 2))) + random.normal(0, 0.1, (8, 3))), energy=-0.1 * one)
        for one in range(1, 11)
    ]
    assert warned(gas) == set()


def test_a_dissociation_curve_is_sound():
    curve = [labelled(Atoms("H2", [[0, 0, 0], [d, 0, 0]]), energy=-30 + 1 / d) for d in np.linspace(0.4, 6, 40)]
    assert warned(curve) == set()


@pytest.mark.parametrize("pbc", [False, [True, True, False]])
def test_a_full_cell_that_is_not_periodic(pbc):
    one = found([changed(atoms, pbc=pbc, stress=None) for atoms in water_boxes()])["pbc-missing"]
    assert (one.severity, one.count, one.example) == ("warning", 30, "train.xyz, frame 0")


def test_a_molecule_in_a_box_and_a_slab_are_sound():
    boxed = [changed(atoms, cell=np.eye(3) * 20.0) for atoms in ethanol(10)]
    slabs = alloys()
    for index, atoms in enumerate(slabs):
        cell = atoms.cell.array.copy()
        cell[2, 2] += 12.0
        slabs[index] = changed(atoms, cell=cell, pbc=[True, True, False])
    assert warned(boxed) == warned(slabs) == set()


def test_a_transposed_cell():
    turn = Rotation.from_euler("zxz", [20, 30, 40], degrees=True).as_matrix().T
    rotated = [
        changed(one, positions=one.positions @ turn, cell=one.cell.array @ turn, forces=None, stress=None)
        for one in alloys()
    ]
    assert warned(rotated) == set(), "distances are the same"
    one = found([changed(atoms, cell=atoms.cell.array.T) for atoms in rotated])["cell-overlap"]
    assert one.severity == "warning"
    assert one.count >= 15
    assert one.message.endswith("but not with the transposed cell")


def test_frames_that_lost_their_cell():
    frames = water_boxes()
    for index in (9, 10):
        frames[index] = changed(frames[index], cell=np.zeros((3, 3)), pbc=False, stress=None)
    one = found(frames)["cell-lost"]
    assert (one.severity, one.count, one.example) == ("warning", 2, "train.xyz, frame 9")
    assert "cell-lost" not in found(ethanol() + water_boxes()), "other compositions"


def seen(atoms):
    return view(collection([atoms]), 0)


def test_gap_of_a_cell():
    atoms = labelled(Atoms("O2", [[0, 0, 0.5], [0, 0, 1.7]], cell=[4, 5, 10], pbc=[True, True, False]), energy=0.0)
    assert open_gap(seen(atoms)) == pytest.approx(8.8)
    assert open_gap(seen(changed(atoms, pbc=True))) == np.inf
    assert open_gap(seen(changed(atoms, pbc=False))) == pytest.approx(4.0), "one plane of atoms: the whole cell"


def test_nearest_neighbours_and_atoms_at_one_place():
    atoms = labelled(Atoms("OH", [[0, 0, 0], [0.97, 0, 0]]), energy=0.0)
    one = nearest(seen(atoms))
    assert one.ratio == pytest.approx(0.97 / radii(np.array([8, 1])).sum())
    assert one.distance == pytest.approx(0.97)
    assert set(one.closest) == {0, 1}
    assert nearest(seen(changed(atoms, positions=[[0, 0, 0], [9, 0, 0]]))) is None


def test_atoms_at_one_place_or_too_far_away():
    frames = ethanol()
    frames[2] = changed(frames[2], positions=frames[2].positions[[0, 0, *range(2, 9)]])
    frames[4] = changed(frames[4], positions=frames[4].positions * 1e12)
    one = found(frames)["neighbours-impossible"]
    assert (one.severity, one.count, one.example) == ("error", 2, "train.xyz, frame 2")
    assert "atoms at the same place: 0 and 1" in one.message
