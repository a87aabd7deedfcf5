"""Faults of forces, planted in real frames: which check speaks, and of which frames."""

import numpy as np
import pytest

from equipot_test_support.faults import (
    alloys,
    changed,
    ethanol,
    found,
    planted,
    warned,
    water_boxes,
)


def test_a_force_far_off_names_the_atom():
    def large(atoms):
        forces = atoms.calc.results["forces"].copy()
        forces[4] *= 500 / np.linalg.norm(forces[4])
        return changed(atoms, forces=forces)

    one = found(planted(ethanol(), large, 11))["force-far-off"]
    assert (one.severity, one.count, one.example) == ("warning", 1, "train.xyz, frame 11, atom 4")
    assert one.message.startswith("the largest force of 1 of 40 frames of train is up to 500 eV/Å, but ")


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


def many(number):
    """Frames with energies and forces that scatter as in a simulation, far more than a fit looks at."""
    rng, made = np.random.default_rng(3), []
    frames = ethanol()
    for index in range(number):
        atoms = frames[index % len(frames)]
        push = rng.normal(size=(9, 3)) * 0.3
        values = {"energy": atoms.calc.results["energy"] + 0.05 * rng.normal()}
        made.append(changed(atoms, forces=atoms.calc.results["forces"] + push - push.mean(axis=0), **values))
    return made


@pytest.mark.slow
def test_one_bad_frame_among_thousands_is_named():
    frames = many(2000)
    assert not {"energy-far-off", "force-far-off", "forces-sum"} & found(frames).keys()
    frames[1217] = changed(frames[1217], energy=frames[1217].calc.results["energy"] + 8.0)
    forces = frames[1018].calc.results["forces"].copy()
    forces[6] += [4.0, 0.0, -5.0]
    frames[1018] = changed(frames[1018], forces=forces)
    seen = found(frames)
    energy, force = seen["energy-far-off"], seen["forces-sum"]
    assert (energy.severity, energy.count, energy.example) == ("warning", 1, "train.xyz, frame 1217")
    assert (force.severity, force.count, force.example) == ("warning", 1, "train.xyz, frame 1018, atom 6")
    assert force.message.startswith("forces of 1 of 2000 frames of train do not sum to zero")
