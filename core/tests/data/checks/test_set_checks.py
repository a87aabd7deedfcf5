"""Faults of whole sets: copies, elements, isolated atoms, and the size of energies."""

import numpy as np
import pytest
from ase import Atoms

from equipot.data.checks._block import blocks
from equipot.data.checks._set_checks import frame_hashes
from equipot_test_support.faults import alloys, changed, collection, ethanol, found, isolated_atoms, warned, water_boxes
from equipot_test_support.water import labelled


def test_frames_of_two_sets():
    frames = ethanol()
    moved = [changed(atoms, positions=atoms.positions + np.array([1.0, -2.0, 3.0])) for atoms in frames[:7]]
    sets = {"train": frames, "val0": [*ethanol(50)[40:], *moved]}
    one = found(sets)["frames-shared"]
    assert (one.severity, one.count) == ("warning", 7)
    assert one.example == "val0.xyz, frame 10 = train.xyz, frame 0"
    assert one.message == "7 frames of val0 are in train too"
    assert one.places[-1] == "val0.xyz, frame 16"
    assert "frames-repeated" not in found(sets)


def test_frames_repeated_in_one_set_are_a_note():
    one = found([*ethanol(5), *ethanol(2)])["frames-repeated"]
    assert (one.severity, one.count, one.example) == ("note", 2, "train.xyz, frame 5")


def test_isolated_atoms_may_be_in_every_set():
    sets = {"train": [*ethanol(5), *isolated_atoms()], "val0": [*ethanol(9)[5:], *isolated_atoms()]}
    assert not {"frames-shared", "frames-repeated"} & found(sets).keys()


def test_hash_of_frames():
    def made(atoms):
        (block,) = blocks(collection([water_boxes(2)[1], atoms]), range(2), "train")
        return frame_hashes(block)[1]

    atoms = water_boxes(1)[0]
    assert made(atoms) == made(changed(atoms, positions=atoms.positions + 1e-5, energy=0.0))
    assert made(atoms) != made(changed(atoms, positions=atoms.positions * 1.01))
    assert made(atoms) != made(changed(atoms, cell=atoms.cell.array * 1.01))
    assert made(atoms) != made(changed(atoms, pbc=False))
    swapped = atoms.numbers.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    assert made(atoms) != made(changed(atoms, numbers=swapped))


def test_elements_without_a_type_and_types_without_data():
    findings = found([*water_boxes(3), *ethanol(2)], types=["H", "O", "N"])
    one, other = findings["element-without-type"], findings["type-without-data"]
    assert (one.severity, one.count, one.example) == ("error", 1, "train.xyz, frame 3")
    assert one.message == "the model has no type for C"
    assert (other.severity, other.count, other.message) == ("note", 1, "no frame has N")


def test_an_element_that_the_split_left_out_of_train():
    one = found({"train": water_boxes(5), "val0": ethanol(5), "test0": water_boxes(8)[5:]})["element-not-in-train"]
    assert (one.severity, one.count, one.example) == ("warning", 1, "val0.xyz, frame 0")
    assert one.message == "C of val0 is not in the train set"


def test_rank_of_compositions():
    one = found(ethanol())["composition-rank"]
    assert (one.severity, one.count) == ("note", 2)
    assert one.message == "the compositions of the frames (1 of H, C, O) determine 1 of the 3 energies of elements"
    assert "composition-rank" not in found(alloys())
    assert "composition-rank" not in found([*ethanol(), *isolated_atoms()]), "isolated atoms say the rest"


@pytest.mark.parametrize("marked", [True, False])
def test_isolated_atoms_are_recognised(marked):
    atoms = isolated_atoms()
    for one in atoms:
        one.info.pop("config_type", None)
        one.info.update({"config_type": "IsolatedAtom"} if marked else {})
        if not marked:
            one.set_cell([12.0, 12.0, 12.0])
            one.pbc = True
    frames = [*ethanol(), *atoms]
    one = found(frames)["isolated-atoms"]
    assert (one.severity, one.count, one.example) == ("note", 3, "train.xyz, frame 40")
    assert one.message == f"3 isolated atoms (H, C, O{'' if marked else ', 3 of them not marked as such'})"
    assert warned(frames) == set()
    assert found([*ethanol(), *atoms[:1]])["isolated-atoms"].message.endswith("; none of C, O")


def test_a_crystal_of_one_atom_is_not_isolated():
    crystal = [labelled(Atoms("Cu", cell=np.eye(3) * 2.5, pbc=True), energy=-3.7)]
    assert "isolated-atoms" not in found(crystal)


def test_isolated_atoms_that_contradict():
    odd = isolated_atoms()
    odd.append(changed(odd[2], energy=odd[2].calc.results["energy"] + 1.9))
    one = found([*ethanol(), *odd])["isolated-atoms-differ"]
    assert one.severity == "warning"
    assert one.message == "isolated atoms of O have energies from -2038.5327 eV to -2036.6327 eV"
    cohesive = [changed(atoms, energy=-3.5 * len(atoms)) for atoms in ethanol()]
    other = found([*cohesive, *isolated_atoms()])["isolated-atoms-contradict"]
    assert (other.severity, other.count, other.example) == ("warning", 40, "train.xyz, frame 0")
    assert "by 460.3 eV/atom in the median of 40 frames" in other.message


def test_energies_per_atom():
    one = found([changed(atoms, energy=atoms.calc.results["energy"] / len(atoms) - 4.0) for atoms in alloys()])
    assert (one["energy-size"].severity, one["energy-size"].count) == ("warning", 30)
    assert (
        one["energy-size"].message == "the energies of 30 frames of 4 to 12 atoms do not grow with the number of atoms"
    )
    total = [changed(atoms, energy=atoms.calc.results["energy"] - 4.0 * len(atoms)) for atoms in alloys()]
    assert "energy-size" not in found(total)
