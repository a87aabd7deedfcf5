import re
import time

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet
from ase.mep import NEB
from ase.optimize import BFGS, FIRE, MDMin

from equipot.ase import EquipotCalculator
from equipot.ase._guard import Guard
from equipot.errors import ConfigError, DataError


@pytest.fixture
def calculator(make_model):
    return EquipotCalculator(make_model(per_type_energy_shifts={"C": -10.0, "H": -13.6, "O": -20.0}))


def hot(atoms, kelvin, seed=1):
    thermal = np.sqrt(kelvin * units.kB / atoms.get_masses())[:, None]
    atoms.set_velocities(thermal * np.random.default_rng(seed).normal(size=(len(atoms), 3)))
    return atoms


def test_runaway_dynamics_stop_and_name_the_atom(calculator):
    atoms = hot(molecule("CH3CH2OH"), 300.0)
    atoms.calc = calculator
    steps = []
    dynamics = VelocityVerlet(atoms, timestep=30.0 * units.fs)  # 60 times too long
    dynamics.attach(lambda: steps.append(atoms.get_temperature()))
    with pytest.raises(DataError) as caught:
        dynamics.run(10_000)
    message = str(caught.value)
    found = re.match(r"EquipotCalculator, calculation (\d+): atom (\d) \(([CHO])\) at \(", message)
    assert found
    assert int(found[1]) == len(steps) + 1
    assert found[3] == atoms.symbols[int(found[2])]
    assert "more than max_" in message
    assert "the time step is too long, atoms are too close, or the frame is far from the training data" in message
    assert max(steps) < 1e7


@pytest.mark.parametrize("kelvin", [300.0, 3000.0])
def test_dynamics_that_are_well_do_not(calculator, kelvin):
    atoms = hot(molecule("CH3CH2OH"), kelvin)
    atoms.calc = calculator
    VelocityVerlet(atoms, timestep=0.5 * units.fs).run(25)
    options = {"temperature_K": kelvin, "friction": 0.1, "fixcm": False, "rng": np.random.default_rng(2)}
    Langevin(atoms, 0.5 * units.fs, **options).run(25)


@pytest.mark.parametrize("optimizer", [BFGS, FIRE, MDMin])
def test_relaxations_of_bad_structures_do_not(calculator, optimizer):
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.4, seed=4)
    atoms.positions[8] = atoms.positions[0] + [0.1, 0.0, 0.0]  # a hydrogen on the carbon
    atoms.calc = calculator
    assert np.abs(atoms.get_forces()).max() > 1e3
    optimizer(atoms, logfile=None).run(fmax=0.05, steps=30)


def test_random_structures_bands_and_other_frames_do_not(calculator):
    random = np.random.default_rng(3)
    for _ in range(10):
        atoms = Atoms("CHO" * 8, random.uniform(0, 7, (24, 3)), cell=[7.0] * 3, pbc=True)
        atoms.calc = calculator
        atoms.get_forces()
        atoms.positions += random.uniform(-50, 50, (24, 3))
        atoms.wrap()
        atoms.get_forces()
    images = [molecule("CH3OH") for _ in range(4)]
    images[-1].rotate(120, "x", center="COM")
    band = NEB(images, method="improvedtangent", allow_shared_calculator=True)
    band.interpolate()
    for image in images:
        image.calc = calculator
    BFGS(band, logfile=None).run(fmax=0.05, steps=3)


def test_the_fastest_atom_is_named():
    atoms = Atoms("OHe", [[0, 0, 0], [1.25, 2, 3]], momenta=[[0, 0, 1.0], [0, 3.0, 4.0]])
    kelvin = 2.0 * atoms.get_kinetic_energy() / 3.0 / units.kB  # of both
    own = 25.0 / 4.002602 / (3.0 * units.kB)
    assert 0.9 * kelvin < own < kelvin
    Guard(max_temperature=1.01 * own).check_speeds(atoms, "here")
    Guard(max_temperature=None).check_speeds(atoms, "here")
    with pytest.raises(DataError) as caught:
        Guard(max_temperature=0.99 * own).check_speeds(atoms, "here")
    assert str(caught.value).startswith(
        f"here: atom 1 (He) at (1.25, 2, 3) Å moves with a kinetic energy of {own:.3g} K, more than "
        f"max_temperature={0.99 * own:g}; "
    )
    assert "max_temperature=None switches this limit off" in str(caught.value)
    Guard().check_speeds(Atoms("H"), "here")


def test_atoms_without_mass_and_momenta_that_are_no_numbers():
    guard = Guard()
    guard.check_speeds(Atoms("X", masses=[0.0], momenta=[[0.0, 0.0, 0.0]]), "here")
    with pytest.raises(DataError, match=r"atom 1 \(H\) at .* kinetic energy of nan K"):
        guard.check_speeds(Atoms("H2", momenta=[[0, 0, 0], [np.nan, 0, 0]]), "here")


def test_the_largest_force_is_named():
    atoms = Atoms("CO", [[0, 0, 0], [0, 0, 1.1]])
    forces = np.array([[3e19, 0, 0], [0, 4e19, 0]], np.float32)  # their squares are beyond float32
    with pytest.raises(DataError, match=r"here: atom 1 \(O\) at \(0, 0, 1.1\) Å has a force of 4e\+19 eV/Å, more than"):
        Guard().check_forces(atoms, forces, "here")
    Guard(max_force=5e19).check_forces(atoms, forces, "here")
    Guard(max_force=None).check_forces(atoms, forces, "here")


def test_what_is_not_finite_is_refused_without_limits():
    guard = Guard(max_force=None, max_temperature=None)
    atoms = Atoms("CO", [[0, 0, 0], [0, 0, 1.1]])
    outputs = {"atomic_energy": torch.ones(2), "forces": torch.zeros(2, 3), "stress": torch.zeros(1, 3, 3)}
    guard.check_outputs(atoms, outputs, "here")
    outputs["stress"][0, 0, 0] = float("inf")
    with pytest.raises(DataError, match="here: the model gives non-finite stress; the time step"):
        guard.check_outputs(atoms, outputs, "here")
    outputs["forces"][1, 2] = float("nan")
    with pytest.raises(DataError, match=r"non-finite forces, stress; the first is atom 1 \(O\) at \(0, 0, 1.1\) Å"):
        guard.check_outputs(atoms, outputs, "here")


@pytest.mark.parametrize("option", ["max_force", "max_temperature"])
def test_limits_are_options_of_the_calculator(make_model, option):
    with pytest.raises(ConfigError, match=f"EquipotCalculator.{option}: .*greater than 0, got -1"):
        EquipotCalculator(make_model(), **{option: -1.0})
    atoms = hot(molecule("CH3OH"), 300.0)
    atoms.calc = EquipotCalculator(make_model(), **{option: 0.01})
    for _ in range(2):  # nothing is left that would be returned the second time
        with pytest.raises(DataError, match=f"EquipotCalculator, calculation .: .* more than {option}=0.01"):
            atoms.get_forces()
        with pytest.raises(DataError, match=f"more than {option}=0.01"):
            atoms.calc.calculate(atoms)
        assert atoms.calc.results == {}
    atoms.calc = EquipotCalculator(make_model(), **{option: None})
    atoms.get_forces()


def test_they_cost_little(calculator):
    atoms = hot(bulk("C", cubic=True).repeat(5), 300.0)
    forces = np.zeros((len(atoms), 3))
    guard = Guard()
    start = time.perf_counter()
    for _ in range(20):
        guard.check_speeds(atoms, "here")
        guard.check_forces(atoms, forces, "here")
    each = (time.perf_counter() - start) / 20
    atoms.calc = calculator
    start = time.perf_counter()
    atoms.get_forces()
    assert each < 0.05 * (time.perf_counter() - start)
