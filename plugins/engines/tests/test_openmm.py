import subprocess
import sys
from pathlib import Path

import numpy as np
import openmm
import openmm.app
import pytest
from ase import Atoms, units
from openmm import unit
from openmmml import MLPotential

from equipot.ase import EquipotCalculator
from equipot.errors import ConfigError, DataError
from equipot_engines import OpenMMPotential, OpenMMPotentialFactory

KJ_PER_MOL = units.kJ / units.mol


def topology_of(atoms):
    topology = openmm.app.Topology()
    residue = topology.addResidue("X", topology.addChain())
    for symbol in atoms.symbols:
        topology.addAtom(symbol, openmm.app.Element.getBySymbol(symbol), residue)
    if atoms.pbc.any():
        topology.setPeriodicBoxVectors(atoms.cell.array / 10 * unit.nanometer)
    return topology


def standard(atoms):
    """The same frame with its cell as OpenMM wants it: lower triangular, and reduced."""
    atoms.set_cell(np.diag([4.6, 4.9, 5.3]) + np.array([[0, 0, 0], [0.4, 0, 0], [-0.3, 0.5, 0]]), scale_atoms=True)
    return atoms


def context_of(system, atoms, integrator=None):
    context = openmm.Context(
        system, integrator or openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(atoms.positions / 10)
    return context


def energy_and_forces(context):
    """In eV and Å."""
    state = context.getState(energy=True, forces=True)
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.angstrom)
    return state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) * KJ_PER_MOL, forces * KJ_PER_MOL


@pytest.fixture
def potential(model):
    """As users ask for it."""
    MLPotential.registerImplFactory("equipot", OpenMMPotentialFactory())  # what the entry point does
    return MLPotential("equipot", model=model)


def test_the_entry_point_names_the_factory():
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    line = f'equipot = "equipot_engines:{OpenMMPotentialFactory.__name__}"'
    assert f'[project.entry-points."openmmml.potentials"]\n{line}\n' in project


def test_the_factory_does_not_import_torch():
    code = "import sys, equipot_engines; equipot_engines.OpenMMPotentialFactory(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("first", ["import equipot_engines; equipot_engines.OpenMMPotential", "import openmmml"])
def test_either_package_may_be_imported_first(first):
    code = f"{first}; from openmmml import MLPotential; MLPotential('equipot')"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert "needs a model" in done.stderr.splitlines()[-1], done.stderr


@pytest.mark.parametrize("kind", ["crystals", "molecules"])
def test_energy_and_forces_are_those_of_ase(model, potential, kind, request):
    atoms = request.getfixturevalue(kind)(3)[2]
    if kind == "crystals":
        atoms = standard(atoms)
    system = potential.createSystem(topology_of(atoms))
    assert system.usesPeriodicBoundaryConditions() == (kind == "crystals")
    energy, forces = energy_and_forces(context_of(system, atoms))
    atoms.calc = EquipotCalculator(model)
    assert abs(energy - atoms.get_potential_energy()) < 1e-10
    assert np.abs(forces - atoms.get_forces()).max() < 1e-10


def test_particles_beside_a_force_field(model, potential, molecules):
    """Two water molecules: one with the model, and a charge of the other that acts on both."""
    first, second = molecules(1)[0], molecules(7)[6]
    second.positions += [3.1, 0.4, -0.2]
    atoms = first + second
    topology, field = topology_of(atoms), openmm.System()
    nonbonded = openmm.NonbondedForce()
    for index, atom in enumerate(topology.atoms()):
        field.addParticle(atom.element.mass)
        nonbonded.addParticle(0.3 * (-1) ** index, 0.2, 0.5)
    field.addForce(nonbonded)
    mixed = potential.createMixedSystem(topology, field, range(3, 6))
    energy, forces = energy_and_forces(context_of(mixed, atoms))
    (of_model,) = [force for force in mixed.getForces() if force.getName() == "equipot"]
    mixed.removeForce([force.getName() for force in mixed.getForces()].index(of_model.getName()))
    rest, rest_forces = energy_and_forces(context_of(mixed, atoms))
    second.calc = EquipotCalculator(model)
    assert abs(energy - rest - second.get_potential_energy()) < 1e-10
    assert np.abs((forces - rest_forces)[3:] - second.get_forces()).max() < 1e-10
    assert np.abs((forces - rest_forces)[:3]).max() == 0.0


def test_a_model_may_be_switched_on_slowly(potential, molecules):
    atoms = molecules(1)[0]
    field, bonds = openmm.System(), openmm.HarmonicBondForce()
    for atom in topology_of(atoms).atoms():
        field.addParticle(atom.element.mass)
    bonds.addBond(0, 1, 0.1, 1000.0)
    field.addForce(bonds)
    context = context_of(potential.createMixedSystem(topology_of(atoms), field, [0, 1, 2], interpolate=True), atoms)
    found = []
    for value in (0.0, 0.25, 1.0):
        context.setParameter("lambda_interpolate", value)
        found.append(energy_and_forces(context)[0])
    assert found[1] == pytest.approx(0.75 * found[0] + 0.25 * found[2], abs=1e-9)


def test_systems_can_be_stored(potential, molecules):
    atoms = molecules(2)[1]
    system = potential.createSystem(topology_of(atoms))
    again = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system))
    assert energy_and_forces(context_of(again, atoms))[0] == energy_and_forces(context_of(system, atoms))[0]


def spread_of_energy(system, atoms, n_steps):
    """eV, over 4 fs."""
    context = context_of(system, atoms, openmm.VerletIntegrator(0.004 / n_steps))
    context.setVelocitiesToTemperature(300, 1)
    totals = []
    for _ in range(n_steps):
        context.getIntegrator().step(1)
        state = context.getState(energy=True)
        total = state.getPotentialEnergy() + state.getKineticEnergy()
        totals.append(total.value_in_unit(unit.kilojoule_per_mole) * KJ_PER_MOL)
    return np.ptp(totals)


def test_dynamics_keep_their_energy_the_better_the_shorter_the_steps(potential, molecules):
    atoms = molecules(3)[2]
    system = potential.createSystem(topology_of(atoms), removeCMMotion=False)
    long, short = (spread_of_energy(system, atoms, n_steps) for n_steps in (20, 40))
    assert 0.0 < short < long / 3.0 < 0.1


# ------------------------------------------------------------------ what is refused


def test_models_that_it_cannot_serve(potential, energy_model, charged_model):
    with pytest.raises(ConfigError, match=r"OpenMMPotential.model: has no forces.*enable_ForceStressOutput"):
        MLPotential("equipot", model=energy_model)
    with pytest.raises(ConfigError, match=r"OpenMMPotential.model: reads total_charge"):
        OpenMMPotential(charged_model)


def test_options(potential, model):
    with pytest.raises(ConfigError, match=r"MLPotential\('equipot'\): has no options \['skin'\]"):
        MLPotential("equipot", model=model, skin=1.0)
    with pytest.raises(ConfigError, match=r"MLPotential\('equipot'\): needs a model"):
        MLPotential("equipot")


def test_atoms_that_the_model_does_not_know(potential, molecules):
    with pytest.raises(DataError, match=r"OpenMMPotential: the model has no atom type for \['Ne'\]"):
        potential.createSystem(topology_of(Atoms("NeH")))
    topology = topology_of(molecules(1)[0])
    topology.addAtom("site", None, next(topology.residues()))
    with pytest.raises(DataError, match="only elements have types in the model"):
        potential.createSystem(topology)


def test_the_locality_says_whether_interactions_are_long_ranged(potential, model):
    assert OpenMMPotential(model).getMLLongRange() is False


def test_runaway_dynamics_stop(model):
    calculator = EquipotCalculator(model, max_force=1e3)
    close = Atoms("CO", positions=[[0, 0, 0], [0, 0, 0.05]])
    context = context_of(MLPotential("equipot", model=calculator).createSystem(topology_of(close)), close)
    with pytest.raises(openmm.OpenMMException, match="more than max_force=1000"):
        context.getState(energy=True)
