"""A message-passing model in the engines that call Python, beside the same model in ASE."""

import importlib.metadata
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import units
from ase.build import bulk, molecule
from ase.io import write
from ase.md.verlet import VelocityVerlet
from ase.optimize import FIRE

from equipot.artifacts import write_package
from equipot.ase import EquipotCalculator
from equipot.compile import compile_model
from equipot.errors import ConfigError
from equipot.model import InvariantModel, NequIPGNNModel
from equipot.pair_potentials import ZBL
from equipot_engines import MLIAPModel, OpenMMPotentialFactory, TorchSimModel
from equipot_test_support import ROOT
from equipot_test_support.engines import record_capability
from equipot_test_support.mliap import Arrays, Tensors

BASE = {
    "seed": 1,
    "type_names": ["C", "H", "O"],
    "r_max": 3.6,
    "model_dtype": "float64",
    "avg_num_neighbors": 10.0,
    "per_type_energy_scales": 0.5,
    "pair_potential": ZBL(units="metal"),
}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A package of a small message-passing model."""
    model = NequIPGNNModel(**BASE, num_layers=2, l_max=1, num_features=4, radial_mlp_width=6).build()
    path = tmp_path_factory.mktemp("engines") / "model.equipot.zip"
    write_package(model, path)
    return path


def crystals(number):
    made = []
    for index in range(number):
        atoms = bulk("CO", ("zincblende", "rocksalt")[index % 2], a=4.4 + 0.1 * index).repeat((1 + index % 2, 1, 1))
        atoms.rattle(0.06, seed=index)
        made.append(atoms)
    return made


# ------------------------------------------------------------------ torch-sim


@pytest.fixture
def torch_sim():
    return pytest.importorskip("torch_sim", reason="needs torch-sim")


def record(capability, command, deviation=None):
    version = importlib.metadata.version("torch-sim-atomistic")
    record_capability("torch-sim", capability, version=version, command=command, deviation=deviation)


@pytest.mark.slow
def test_systems_that_move_together_move_as_in_ase(package, torch_sim):
    frames, step = crystals(5), 0.5 * units.fs
    state = torch_sim.initialize_state(frames, torch.device("cpu"), torch.float64)
    exact = {"dt": torch.tensor(step, dtype=torch.float64), "kT": torch.tensor(0.03, dtype=torch.float64)}
    init, update = torch_sim.integrators.nve(TorchSimModel(package), **exact)
    state = init(state, seed=1)
    first = 0
    for atoms in frames:
        atoms.set_momenta(state.momenta[first : first + len(atoms)].numpy())
        first += len(atoms)
        atoms.calc = EquipotCalculator(package)
        VelocityVerlet(atoms, timestep=step).run(25)
    for _ in range(25):
        state = update(state)
    deviation = 0.0
    for atoms, found in zip(frames, state.to_atoms(), strict=True):
        moves = (found.positions - atoms.positions) @ np.linalg.inv(atoms.cell.array)
        moves -= np.round(moves)  # torch-sim wraps atoms into the cell
        deviation = max(deviation, float(np.abs(moves @ atoms.cell.array).max()))
    assert deviation < 1e-10
    assert np.abs(state.energy.numpy() - [atoms.get_potential_energy() for atoms in frames]).max() < 1e-10
    record("NVE of several systems in one batch", "TorchSimModel('model.equipot.zip')", f"{deviation:.0e} Å")


@pytest.mark.slow
def test_systems_relax_together(package, torch_sim):
    frames = crystals(5)
    converged = torch_sim.generate_force_convergence_fn(force_tol=0.02, include_cell_forces=False)
    fire = torch_sim.optimizers.fire
    final = torch_sim.optimize(frames, TorchSimModel(package), optimizer=fire, convergence_fn=converged, max_steps=600)
    worst = 0.0
    for atoms, found, energy in zip(frames, final.to_atoms(), final.energy.tolist(), strict=True):
        found.calc = atoms.calc = EquipotCalculator(package)
        assert np.sqrt((found.get_forces() ** 2).sum(1).max()) < 0.02
        worst = max(worst, abs(found.get_potential_energy() - energy))
        FIRE(atoms, logfile=None).run(fmax=0.02, steps=600)
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=5e-3)
    assert worst < 1e-10
    record("relaxation of several systems in one batch", "torch_sim.optimize(...)", f"{worst:.0e} eV")


@pytest.mark.slow
def test_cells_relax_and_heat_baths_run(package, torch_sim):
    frames, model = crystals(4), TorchSimModel(package)
    start = model(torch_sim.initialize_state(frames, torch.device("cpu"), torch.float64))
    relax = torch_sim.optimizers.frechet_cell_fire
    final = torch_sim.optimize(frames, model, optimizer=relax, max_steps=30)
    calculator = EquipotCalculator(package, skin=0.0)
    deviation = max(
        abs(calculator.get_potential_energy(atoms) - energy)
        for atoms, energy in zip(final.to_atoms(), final.energy.tolist(), strict=True)
    )
    assert deviation < 1e-10
    assert bool((final.energy < start["energy"]).all())
    record("relaxation of cells", "torch_sim.optimize(...)", f"{deviation:.0e} eV")
    options = {"n_steps": 20, "timestep": 0.0005, "temperature": 300.0}
    hot = torch_sim.integrate(frames, model, integrator=torch_sim.integrators.nvt_langevin, **options)
    assert abs(calculator.get_potential_energy(hot.to_atoms()[3]) - float(hot.energy[3])) < 1e-10
    record("NVT of several systems in one batch", "torch_sim.integrate(...)")


@pytest.mark.slow
def test_the_batcher_of_torch_sim_splits_the_work(package, torch_sim):
    frames, model = crystals(7), TorchSimModel(package)
    batcher = torch_sim.BinningAutoBatcher(model=model, memory_scales_with="n_atoms", max_memory_scaler=9)
    found = torch_sim.static(frames, model, autobatcher=batcher)
    calculator = EquipotCalculator(package)
    energies = [float(one["potential_energy"]) for one in found]
    assert energies == pytest.approx([calculator.get_potential_energy(atoms) for atoms in frames], abs=1e-10)
    record("batches by memory (BinningAutoBatcher)", "torch_sim.static(...)")


@pytest.mark.nightly
def test_compiled_files_serve_batches(torch_sim, tmp_path):
    model = InvariantModel(**BASE).build().eval()
    compile_model(model, tmp_path / "model.equipot.pt2")
    state = torch_sim.initialize_state(crystals(5), torch.device("cpu"), torch.float64)
    compiled, eager = TorchSimModel(tmp_path / "model.equipot.pt2")(state), TorchSimModel(model)(state)
    deviation = float((compiled["forces"] - eager["forces"]).abs().max())
    assert deviation < 1e-10
    assert torch.allclose(compiled["stress"], eager["stress"], rtol=0, atol=1e-10)
    record("compiled files", "TorchSimModel('model.equipot.pt2')", f"{deviation:.0e} eV/Å")


# ------------------------------------------------------------------ OpenMM


@pytest.fixture
def openmm():
    import openmm
    from openmmml import MLPotential

    MLPotential.registerImplFactory("equipot", OpenMMPotentialFactory())  # what the entry point does
    return openmm


def topology_of(openmm, atoms):
    topology = openmm.app.Topology()
    residue = topology.addResidue("X", topology.addChain())
    for symbol in atoms.symbols:
        topology.addAtom(symbol, openmm.app.Element.getBySymbol(symbol), residue)
    if atoms.pbc.any():
        topology.setPeriodicBoxVectors(atoms.cell.array / 10 * openmm.unit.nanometer)
    return topology


@pytest.mark.slow
def test_openmm_moves_atoms_as_ase(package, openmm):
    import openmm.app
    from openmmml import MLPotential

    atoms = bulk("CO", "rocksalt", a=4.4, cubic=True)
    atoms.rattle(0.05, seed=1)
    system = MLPotential("equipot", model=str(package)).createSystem(topology_of(openmm, atoms), removeCMMotion=False)
    for index, mass in enumerate(atoms.get_masses()):
        system.setParticleMass(index, mass)
    # OpenMM's Verlet keeps velocities half a step behind, which are at rest here
    context = openmm.Context(system, openmm.VerletIntegrator(0.0005), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(atoms.positions / 10)
    start = context.getState(forces=True).getForces(asNumpy=True)._value / 10 * units.kJ / units.mol
    context.getIntegrator().step(20)
    state = context.getState(positions=True, energy=True, forces=True)
    energy = state.getPotentialEnergy()._value * units.kJ / units.mol
    forces = state.getForces(asNumpy=True)._value / 10 * units.kJ / units.mol
    atoms.calc = EquipotCalculator(package)
    assert np.abs(start - atoms.get_forces()).max() < 1e-10
    atoms.positions = state.getPositions(asNumpy=True)._value * 10
    assert abs(energy - atoms.get_potential_energy()) < 1e-10
    deviation = float(np.abs(forces - atoms.get_forces()).max())
    assert deviation < 1e-10
    command = "MLPotential('equipot', model='model.equipot.zip').createSystem(topology)"
    record_capability(
        "OpenMM", "dynamics", version=openmm.version.version, command=command, deviation=f"{deviation:.0e} eV/Å"
    )


@pytest.mark.slow
def test_openmm_has_the_model_beside_a_force_field(package, openmm):
    import openmm.app
    from openmmml import MLPotential

    atoms = molecule("CH3OH") + molecule("H2O")
    atoms.positions[6:] += [3.0, 0.3, 0.2]
    topology, field, nonbonded = topology_of(openmm, atoms), openmm.System(), openmm.NonbondedForce()
    for index, atom in enumerate(topology.atoms()):
        field.addParticle(atom.element.mass)
        nonbonded.addParticle(0.2 * (-1) ** index, 0.25, 0.4)
    field.addForce(nonbonded)
    mixed = MLPotential("equipot", model=str(package)).createMixedSystem(topology, field, range(6))
    found = []
    for _ in range(2):
        context = openmm.Context(mixed, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
        context.setPositions(atoms.positions / 10)
        forces = context.getState(forces=True).getForces(asNumpy=True)._value
        found.append(forces / 10 * units.kJ / units.mol)
        names = [force.getName() for force in mixed.getForces()]
        if "equipot" in names:
            mixed.removeForce(names.index("equipot"))
    deviation = float(np.abs((found[0] - found[1])[:6] - EquipotCalculator(package).get_forces(atoms[:6])).max())
    assert deviation < 1e-10
    command = "MLPotential('equipot', model='model.equipot.zip').createMixedSystem(topology, system, atoms)"
    record_capability(
        "OpenMM",
        "a model with a force field",
        version=openmm.version.version,
        command=command,
        deviation=f"{deviation:.0e} eV/Å",
    )


# ------------------------------------------------------------------ ML-IAP


def test_messages_pass_through_exchanged_ghosts(package):
    atoms, wrapper = crystals(4)[3], MLIAPModel(package)
    found = Tensors(atoms, np.arange(len(atoms)), wrapper.element_types, wrapper.rcutfac)
    assert found.ntotal > found.nlocal
    wrapper.compute_forces(found)
    calculator = EquipotCalculator(package)
    assert found.exchanges[0] == found.exchanges[1] == 1  # the first layer reads types alone
    assert found.energy == pytest.approx(calculator.get_potential_energy(atoms), abs=1e-10)
    assert np.abs(found.forces(len(atoms)) - calculator.get_forces(atoms)).max() < 1e-10
    with pytest.raises(ConfigError, match=r"passes messages \(hops\(2\)\), which needs LAMMPS with KOKKOS"):
        wrapper.compute_forces(Arrays(atoms, np.arange(len(atoms)), wrapper.element_types, wrapper.rcutfac))


# ------------------------------------------------------------------ pages


def code_of(page):
    """The Python blocks of a page, with few steps."""
    text = (ROOT / "docs/how-to" / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text.replace("n_steps=1000", "n_steps=3"), re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_page_about_torch_sim(package, torch_sim, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(package, "model.equipot.zip")
    write("data.extxyz", crystals(3))
    (code,) = code_of("torch-sim.md")
    names = {}
    exec(code, names)  # noqa: S102 - of the page
    assert names["relaxed"].energy.shape == names["hot"].energy.shape == (3,)


@pytest.mark.slow
def test_the_page_about_openmm(package, openmm, tmp_path, monkeypatch):
    import openmm.app

    monkeypatch.chdir(tmp_path)
    shutil.copy(package, "model.equipot.zip")
    topology, field = topology_of(openmm, molecule("CH3OH") + molecule("H2O")), openmm.System()
    for atom in topology.atoms():
        field.addParticle(atom.element.mass)
    forcefield = SimpleNamespace(createSystem=lambda *_arguments, **_options: field)
    names = {"topology": topology, "forcefield": forcefield, "openmm": openmm, "atoms": range(6)}
    for code in code_of("openmm.md"):
        exec(code, names)  # noqa: S102 - of the page
    assert [force.getName() for force in names["mixed"].getForces()] == ["equipot"]
