"""Faults of labels planted in real frames: which check speaks, of how many frames, and which one it names."""

import numpy as np
import pytest

from equipot_test_support.faults import alloys, changed, ethanol, found, warned, water_boxes


@pytest.mark.parametrize("frames", [ethanol, water_boxes, alloys])
def test_nothing_is_said_of_sound_frames(frames):
    assert warned(frames()) == set()


def planted(frames, change, *indices):
    """Frames of which some are changed."""
    return [change(one) if not indices or index in indices else one for index, one in enumerate(frames)]


def test_nan():
    def nan(atoms):
        forces = atoms.calc.results["forces"].copy()
        forces[2, 1] = np.nan
        return changed(atoms, forces=forces)

    one = found(planted(ethanol(), nan, 3, 17))["label-nan"]
    assert (one.severity, one.count, one.example) == ("error", 2, "train.xyz, frame 3")
    assert one.message == "forces is NaN or infinite in 2 of 40 frames"
    assert one.places == ("train.xyz, frame 3", "train.xyz, frame 17")
    assert "label-nan" not in found(planted(ethanol(), nan, 3), used={"total_energy"}), "not in use"


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


def test_partly_missing_but_not_in_isolated_atoms():
    frames = planted(water_boxes(), lambda atoms: changed(atoms, stress=None), 2)
    one = found(frames)["label-partly-missing"]
    assert (one.severity, one.count, one.example) == ("note", 1, "train.xyz, frame 2")
    assert one.message == "1 of 30 frames lack stress or a part of it"
    assert "label-partly-missing" not in found([*water_boxes(5), water_boxes(1)[0][:1]])


def renamed(atoms):
    """The same labels under the keys of another program."""
    results = atoms.calc.results
    made = changed(atoms, energy=None, forces=None, info={"dft_energy": results["energy"]})
    made.set_array("dft_forces", results["forces"])
    return made


def test_labels_under_another_key():
    frames = [renamed(atoms) for atoms in ethanol(6)]
    both = found(frames)
    one, other = both["label-absent"], both["label-overlooked"]
    assert (one.severity, one.count, one.example) == ("error", 6, "train.xyz, frame 0")
    assert "'energy' of total_energy; perhaps it is 'dft_energy' (keys found: dft_energy, dft_forces)" in one.message
    assert (other.severity, other.count) == ("warning", 6)
    assert other.message == "no frame has the key 'forces' of forces, but there is dft_forces"
    assert "keys-unused" not in both, "they were named already"
    assert not warned(frames, {"total_energy": "dft_energy", "forces": "dft_forces"})
    left = found(frames, {"total_energy": "dft_energy"})["keys-unused"]
    assert (left.severity, left.message) == ("note", "dft_forces: in up to 6 of 6 frames, and not read")


def test_a_label_that_was_named_and_is_not_there():
    named = {"total_energy": "energy", "stress": {"key": "virials", "convention": "virial"}}
    one = found(water_boxes(4), named)["label-absent"]
    assert (one.severity, one.count, one.example) == ("error", 4, "train.xyz, frame 0")
    assert one.message.startswith("no frame has the key 'virials' of stress; perhaps it is 'stress' (keys found: ")
    assert "label-absent" not in found(ethanol(4)), "stress by ASE's own name may be absent"


def test_charges_that_are_not_read():
    frames = planted(ethanol(6), lambda atoms: changed(atoms, info={"total_charge": 1}, arrays={"magmoms": [0.5] * 9}))
    one = found(frames)["charge-spin-unused"]
    assert (one.severity, one.count, one.example) == ("note", 6, "train.xyz, frame 0")
    assert one.message == "magmoms, total_charge: in up to 6 of 6 frames, and not read"
    read = {"total_energy": "energy", "forces": "forces", "total_charge": "total_charge"}
    assert "total_charge" not in found(frames, read)["charge-spin-unused"].message
    assert "charge-spin-unused" not in found(frames, read, read_keys={"magmoms"})


def test_numbers_of_the_calculation_are_no_labels():
    frames = [changed(atoms, info={"elec_energy_tol": 1e-6, "energy_weight": 2.0}) for atoms in ethanol(3)]
    assert "keys-unused" not in found(frames)


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


def test_a_force_far_off_names_the_atom():
    def large(atoms):
        forces = atoms.calc.results["forces"].copy()
        forces[4] *= 500 / np.linalg.norm(forces[4])
        return changed(atoms, forces=forces)

    one = found(planted(ethanol(), large, 11))["force-far-off"]
    assert (one.severity, one.count, one.example) == ("warning", 1, "train.xyz, frame 11, atom 4")
    assert one.message.startswith("the largest force of 1 of 40 frames of train is up to 500 eV/Å, but ")


def test_stress_in_gpa_and_in_kcal():
    frames = [changed(atoms, stress=atoms.calc.results["stress"] * 1602.18) for atoms in water_boxes()]
    one = found(frames)["stress-large"]
    assert (one.severity, one.example) == ("warning", one.places[0])
    assert one.count == sum(np.abs(atoms.calc.results["stress"]).max() > 3 for atoms in frames) > 20
    assert "eV/Å³" in one.message
    more = [changed(atoms, stress=atoms.calc.results["stress"] * 23) for atoms in frames]
    assert "kcal/mol/Å³" in found(more, units="real")["stress-large"].message


def test_forces_of_fixed_atoms():
    def fixed(atoms):
        forces = atoms.calc.results["forces"].copy()
        forces[atoms.positions[:, 2] < np.median(atoms.positions[:, 2])] = 0.0
        return changed(atoms, forces=forces)

    one = found(planted(water_boxes(), fixed, 1, 2, 3))["forces-of-fixed-atoms"]
    assert (one.severity, one.count, one.example) == ("warning", 3, "train.xyz, frame 1")


def test_zero_forces_by_symmetry_are_sound():
    def symmetric(atoms):
        forces = np.zeros_like(atoms.calc.results["forces"])
        forces[:2] = [[0.3, 0, 0], [-0.3, 0, 0]]
        return changed(atoms, forces=forces)

    assert warned(planted(alloys(), symmetric, 4)) == set()


def test_stress_without_a_cell():
    frames = planted(water_boxes(), lambda atoms: changed(atoms, pbc=False, cell=np.zeros((3, 3))), 7)
    one = found(frames)["stress-without-cell"]
    assert (one.severity, one.count, one.example) == ("warning", 1, "train.xyz, frame 7")
