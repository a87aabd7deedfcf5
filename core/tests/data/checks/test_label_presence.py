"""Faults of which labels are there, planted in real frames: which check speaks, and of which frames."""

import numpy as np

from equipot.data._frames import label_contract
from equipot.data.checks import judge
from equipot_test_support.faults import (
    changed,
    collection,
    ethanol,
    found,
    planted,
    warned,
    water_boxes,
)


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


def test_stress_without_a_cell():
    frames = planted(water_boxes(), lambda atoms: changed(atoms, pbc=False, cell=np.zeros((3, 3))), 7)
    one = found(frames)["stress-without-cell"]
    assert (one.severity, one.count, one.example) == ("warning", 1, "train.xyz, frame 7")


def test_keys_of_weights_and_of_other_energies_are_read():
    frames = [changed(one, info={"energy_free": 1.0, "force_conf": 2.0}) for one in ethanol(3)]
    plain = label_contract(None)
    assert "keys-unused" in found(frames)
    weighed = label_contract(
        {"total_energy": {"key": "energy", "force_consistent": "energy_free"}, "forces": "forces"},
        weights={"forces": "force_conf"},
    )
    read = judge({"train": collection(frames)}, weighed, accept=["composition-rank"])
    assert [one.code for one in read.findings if one.code == "keys-unused"] == []
    unread = judge({"train": collection(frames)}, plain, read_keys=["energy_free", "force_conf"])
    assert [one.code for one in unread.findings if one.code == "keys-unused"] == []
