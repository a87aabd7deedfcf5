"""Facts of planted data: labels, boundaries, isolated atoms, kinds, and what is refused."""

import numpy as np
import pytest
from ase import Atoms

from equipot.errors import ConfigError, DataError
from equipot_fit._facts import gather
from equipot_test_support.faults import alloys, changed, ethanol, isolated_atoms, water_boxes
from equipot_test_support.water import labelled


def test_molecules(facts_of):
    found = facts_of([*ethanol(30), *isolated_atoms()])
    assert (found.n_frames, found.n_atoms) == (30, (9, 9.0, 9))
    assert found.elements == {"C": 61, "H": 181, "O": 31}
    assert (found.periodic, found.labels) == ("none", {"total_energy": 30, "forces": 30})
    assert found.isolated == ("C", "H", "O")
    assert found.energies_rule == "isolated atoms"
    assert found.files == ("frames.extxyz",)
    assert (found.options, found.guessed_labels, found.unit) == ({}, False, "eV")


def test_scales_are_those_of_the_labels(facts_of):
    frames = ethanol(30)
    found = facts_of(frames)
    forces = np.concatenate([one.calc.results["forces"] for one in frames])
    energies = np.array([one.calc.results["energy"] / len(one) for one in frames])
    assert found.forces_rms == pytest.approx(np.sqrt((forces**2).mean()), rel=1e-9)
    assert found.energy_spread == pytest.approx(energies.std(), rel=1e-6), "one composition: the fit leaves the spread"
    assert found.stress_rms is None


def test_crystals_of_two_elements_determine_their_energies(facts_of):
    found = facts_of(alloys(20))
    assert (found.periodic, found.energies_rule) == ("all", "least squares")
    assert found.labels == {"total_energy": 20, "forces": 20, "stress": 20}
    assert (found.compositions > 5, found.n_atoms.smallest, found.n_atoms.largest) == (True, 4, 12)
    assert found.surroundings.density == pytest.approx(0.08, abs=0.01), "4 atoms in a cube of 3.7 Å"
    assert found.stress_rms > 0


def test_molecules_and_crystals_together(facts_of):
    found = facts_of([*ethanol(6), *water_boxes(4)])
    assert found.periodic == "mixed"
    assert found.labels == {"total_energy": 10, "forces": 10, "stress": 4}
    assert found.kinds > 1


def test_labels_that_some_frames_lack(facts_of):
    frames = ethanol(12)
    mixed = [*frames[:4], *(changed(one, forces=None) for one in frames[4:])]
    found = facts_of(mixed)
    assert found.labels == {"total_energy": 12, "forces": 4}
    forces = np.concatenate([one.calc.results["forces"] for one in frames[:4]])
    assert found.forces_rms == pytest.approx(np.sqrt((forces**2).mean()), rel=1e-9)


def test_energies_alone(facts_of):
    found = facts_of([changed(one, forces=None) for one in ethanol(12)])
    assert found.labels == {"total_energy": 12}
    assert found.forces_rms is None


def test_forces_alone(facts_of):
    found = facts_of([changed(one, energy=None) for one in ethanol(12)])
    assert found.labels == {"forces": 12}
    assert (found.energies_rule, found.energy_spread) == ("", None)


def test_other_keys_are_found_by_their_names(facts_of):
    frames = []
    for one in ethanol(8):
        atoms = Atoms(one.numbers, one.positions)
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = one.calc.results["energy"], one.calc.results["forces"]
        frames.append(atoms)
    found = facts_of(frames)
    assert found.guessed_labels
    assert found.options["labels"] == {"total_energy": "REF_energy", "forces": "REF_forces"}
    assert found.labels == {"total_energy": 8, "forces": 8}


def test_named_labels_are_not_guessed(facts_of):
    found = facts_of(ethanol(8), options={"labels": {"total_energy": "energy"}})
    assert not found.guessed_labels
    assert found.labels == {"total_energy": 8}
    assert found.options == {"labels": {"total_energy": "energy"}}


def test_config_types_are_kinds(facts_of):
    frames = ethanol(10)
    for index, one in enumerate(frames):
        one.info["config_type"] = "hot" if index < 4 else "cold"
    found = facts_of(frames)
    assert (found.groups, found.kinds, found.compositions) == ({"cold": 6, "hot": 4}, 2, 1)


def test_several_files_and_a_test_file(write):
    files = [write("a.extxyz", ethanol(12)), write("b.extxyz", isolated_atoms())]
    test = write("test.extxyz", ethanol(20)[12:])
    found = gather(files, test=[test])
    assert (found.files, found.test_files, found.n_test_frames) == (("a.extxyz", "b.extxyz"), ("test.extxyz",), 8)
    assert found.isolated == ("C", "H", "O")
    assert found.n_frames == 12, "those of the test file are apart"


def test_frames_that_test_and_train_are_a_finding(write):
    found = gather([write("a.extxyz", ethanol(12))], test=[write("b.extxyz", ethanol(4))])
    assert any(one.startswith("frames-shared: ") for one in found.findings)


@pytest.mark.parametrize("suffix", [".npz", ".db"])
def test_other_formats_give_the_same(write, suffix):
    from equipot._cli.main import main

    source = write("frames.extxyz", ethanol(12))
    assert main(["data", "convert", source, f"frames{suffix}"]) == 0
    one, other = gather([source]), gather([f"frames{suffix}"])
    for name in ("n_frames", "n_atoms", "elements", "labels", "forces_rms", "surroundings", "periodic"):
        assert getattr(one, name) == getattr(other, name), name


def test_the_same_files_give_the_same_facts(write):
    files = [write("a.extxyz", [*alloys(12), *ethanol(5)])]
    assert gather(files) == gather(files)


# ------------------------------------------------------------------------------ refusals


def plain(frames):
    return [Atoms(one.numbers, one.positions) for one in frames]


def test_nothing_is_learnt_without_labels(facts_of):
    with pytest.raises(
        DataError, match=r"^frames.extxyz: no frame has an energy or forces under the names energy, for"
    ):
        facts_of(plain(ethanol(5)))


@pytest.mark.parametrize(
    ("frames", "said"), [(ethanol(1), "has 1 frame;"), (isolated_atoms(), "has 0 frames besides 3")]
)
def test_too_few_frames(facts_of, frames, said):
    with pytest.raises(DataError, match=said):
        facts_of(frames)


def test_one_labelled_frame_is_too_few(facts_of):
    with pytest.raises(DataError, match="only 1 of 5 frames has labels"):
        facts_of([*ethanol(1), *plain(ethanol(5)[1:])])


def test_errors_of_the_checks_stop(facts_of):
    frames = ethanol(6)
    frames[2] = labelled(frames[2], energy=frames[2].calc.results["energy"], forces=np.full((9, 3), np.nan))
    with pytest.raises(DataError, match=r"label-nan: forces is NaN .* \(frames.extxyz, frame 2\)"):
        facts_of(frames)


def test_a_file_twice_and_none(write):
    name = write("a.extxyz", ethanol(4))
    with pytest.raises(DataError, match="a.extxyz: is given twice"):
        gather([name], test=[name])
    with pytest.raises(ConfigError, match="DATA: no file is given"):
        gather([])
