"""Samples of frames: which, and as what arrays."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.data._collection import collect_frames
from equipot.data._frames import label_contract
from equipot.data.checks._sample import Sample, chosen_indices, structure_of

CONTRACT = label_contract(None)


def collection(frames):
    return collect_frames(((f"a.xyz, frame {index}", one) for index, one in enumerate(frames)), CONTRACT, mask_nan=True)


def labelled(n, **labels):
    atoms = Atoms(
        ["H", "O"] * (n // 2) or ["H"], positions=[[0, 0, 1.1 * k] for k in range(n)], cell=[9, 9, 9 + n], pbc=True
    )
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


def test_the_sample_is_spread_and_bounded():
    frames = [labelled(2, energy=0.0) for _ in range(700)]
    one = collection(frames)
    chosen = chosen_indices(one)
    assert len(chosen) == len(set(chosen)) == 300
    assert chosen[0] <= 1
    assert chosen[-1] >= 698
    assert len(chosen_indices(one, most_atoms=100)) == 50
    assert len(chosen_indices(one, most_atoms=10)) == 20, "never fewer than a fit needs"
    assert chosen_indices(collection(frames[:30])) == list(range(30))


def test_isolated_and_coinciding_atoms_are_left_out():
    alone = labelled(1, energy=-13.0)
    alone.info["config_type"] = "IsolatedAtom"
    double = labelled(2, energy=1.0)
    double.positions[1] = double.positions[0]
    sample = Sample.of("train", collection([labelled(2, energy=0.0), alone, labelled(1, energy=2.0), double]), "metal")
    assert [one.place for one in sample.structures] == ["a.xyz, frame 0"]
    assert sample.indices == [0]


def test_arrays_units_and_missing_labels():
    stress = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    forces = np.arange(6.0).reshape(2, 3)
    partly = np.where(np.arange(6).reshape(2, 3) == 0, np.nan, forces)
    one = collection([labelled(2, energy=10.0, forces=forces, stress=stress), labelled(2, energy=1.0, forces=partly)])
    whole = structure_of(one.frames[0], "here", "metal")
    assert (whole.energy, whole.place, whole.volume) == (10.0, "here", pytest.approx(9 * 9 * 11))
    assert np.array_equal(whole.forces, forces)
    assert np.array_equal(whole.stress, stress)
    assert structure_of(one.frames[0], "", "real").energy == pytest.approx(0.433641, rel=1e-5)
    assert structure_of(one.frames[1], "", "metal").forces is None
    assert structure_of(one.frames[1], "", "metal").stress is None


@pytest.mark.slow
def test_why_there_is_no_fit():
    forces = np.ones((2, 3))
    none = Sample.of("t", collection([labelled(2, energy=0.0)] * 30), "metal")
    few = Sample.of("t", collection([labelled(2, forces=forces)] * 10), "metal")
    thin = Sample.of("t", collection([labelled(2, forces=forces)] * 100), "metal")
    zero = Sample.of("t", collection([labelled(40, forces=np.zeros((40, 3)))] * 30), "metal")
    assert [one.why_no_fit() for one in (none, few, thin, zero)] == [
        "no forces",
        "fewer than 20 frames with forces",
        "too few forces for 2 elements",
        "all forces are zero",
    ]
    many = [labelled(6, forces=np.ones((6, 3))) for _ in range(30)]
    many[0].numbers = [1, 6, 7, 8, 9, 14]
    assert Sample.of("t", collection(many), "metal").why_no_fit() == "more than 4 elements"
