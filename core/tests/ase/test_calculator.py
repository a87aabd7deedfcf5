import dataclasses

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from equipot.ase import EquipotCalculator, SkinNeighbors
from equipot.errors import ConfigError, DataError
from equipot.model import EnergyTermModule, apply_modifier
from equipot.neighbors import add_neighbors
from equipot.units import KCAL_PER_MOL_IN_EV
from equipot_test_support.crystals import crystal
from equipot_test_support.terms import ChargeTerm


def with_velocities(atoms, temperature=300.0, seed=1):
    thermal = np.sqrt(temperature * units.kB / atoms.get_masses())[:, None]
    atoms.set_velocities(thermal * np.random.default_rng(seed).normal(size=(len(atoms), 3)))
    return atoms


def test_all_properties(model):
    atoms = crystal()
    atoms.calc = EquipotCalculator(model)
    energies = atoms.get_potential_energies()
    assert atoms.get_potential_energy() == pytest.approx(energies.sum(), abs=1e-11)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    assert atoms.get_forces().shape == (4, 3)
    assert atoms.get_stress().shape == (6,)
    names = ["energy", "free_energy", "energies", "forces", "stress", "stresses"]
    assert atoms.calc.implemented_properties == names


@pytest.mark.parametrize("make_atoms", [crystal, lambda: molecule("CH3OH")])
def test_forces_match_finite_differences(model, make_atoms):
    atoms = make_atoms()
    atoms.rattle(0.05, seed=1)
    atoms.calc = EquipotCalculator(model)
    forces = atoms.get_forces()
    assert np.abs(forces).max() > 0.1
    assert np.abs(calculate_numerical_forces(atoms, eps=1e-4) - forces).max() < 2e-6


def test_stress_matches_finite_differences_on_a_triclinic_cell(model):
    atoms = crystal()
    atoms.calc = EquipotCalculator(model)
    stress = atoms.get_stress()
    assert np.abs(stress).min() > 1e-4
    assert np.abs(calculate_numerical_stress(atoms, eps=1e-5) - stress).max() < 2e-7


def test_a_file_and_its_model_give_the_same(make_model, make_checkpoint, package_file):
    atoms = crystal()
    energies = [
        EquipotCalculator(one, **options).get_potential_energy(atoms)
        for one, options in (
            (make_model(), {}),
            (package_file, {}),
            (str(package_file), {}),
            (make_checkpoint(make_model()), {"weights": "raw"}),
        )
    ]
    assert len(set(energies)) == 1
    averaged = EquipotCalculator(make_checkpoint(make_model())).get_potential_energy(atoms)
    assert averaged != energies[0]


def test_a_given_model_is_copied(model):
    model.train()
    calculator = EquipotCalculator(model)
    before = calculator.get_potential_energy(crystal())
    with torch.no_grad():
        model.energy.weights.mul_(2.0)
    assert model.training
    assert calculator.get_potential_energy(crystal()) == before
    calculator.reset()
    assert calculator.get_potential_energy(crystal()) == before


def test_what_is_no_model_is_refused(make_model):
    from equipot.model import InvariantModel

    with pytest.raises(ConfigError, match=r"a recipe is built with .build\(\)"):
        EquipotCalculator(InvariantModel(type_names=["H"], r_max=3.0))


# ------------------------------------------------------------------ missing properties


@pytest.mark.parametrize("pbc", [False, (True, True, False)])
def test_frames_without_volume_have_no_stress(model, pbc):
    atoms = molecule("CH3OH")
    if pbc:
        atoms.set_cell([6.0, 6.0, 0.0])
        atoms.pbc = pbc
    atoms.calc = EquipotCalculator(model)
    atoms.get_forces()
    with pytest.raises(
        PropertyNotImplementedError, match="this frame has no stress: it is not periodic or its cell has no volume"
    ):
        atoms.get_stress()
    assert atoms.calc.get_property("stress", atoms, allow_calculation=False) is None


def test_a_slab_has_the_stress_of_its_cell(model):
    atoms = crystal()
    atoms.pbc = (True, True, False)
    atoms.cell[2] *= 3.0
    atoms.calc = EquipotCalculator(model)
    stress = atoms.get_stress()
    in_plane = calculate_numerical_stress(atoms, eps=1e-5)[[0, 1, 5]]
    assert np.abs(stress[[0, 1, 5]] - in_plane).max() < 2e-7


def test_an_energy_only_model_says_how_to_get_forces(model):
    atoms = crystal()
    atoms.calc = EquipotCalculator(apply_modifier(model, "disable_ForceStressOutput"))
    assert atoms.calc.implemented_properties == ["energy", "free_energy", "energies"]
    atoms.get_potential_energy()
    for ask in (atoms.get_forces, atoms.get_stress):
        with pytest.raises(
            PropertyNotImplementedError,
            match="this model has no (forces|stress).*apply the modifier enable_ForceStressOutput",
        ):
            ask()
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_dipole_moment()


# ------------------------------------------------------------------ species and units


def test_unknown_elements_are_named(model):
    atoms = Atoms("AuHPt", positions=[[0, 0, 0], [2, 0, 0], [0, 2, 0]])
    atoms.calc = EquipotCalculator(model)
    with pytest.raises(DataError, match=r"has no atom type for \['Pt', 'Au'\]; supported: \['C', 'H', 'O'\]"):
        atoms.get_potential_energy()


def test_elements_are_mapped_by_symbol_not_by_order(make_model):
    atoms = molecule("CH3OH")
    expected = EquipotCalculator(make_model()).get_potential_energy(atoms)
    order = [5, 0, 3, 1, 4, 2]
    assert EquipotCalculator(make_model()).get_potential_energy(atoms[order]) == pytest.approx(expected, abs=1e-9)
    lone = Atoms("H")
    assert EquipotCalculator(make_model(type_names=["O", "H", "C"])).get_potential_energy(lone) == -13.6


def test_types_that_are_no_elements_need_a_mapping(make_model):
    options = {
        "type_names": ["Ca1", "Ca2"],
        "pair_potential": None,
        "per_edge_type_cutoff": None,
        "per_type_energy_shifts": {"Ca1": -1.0, "Ca2": -2.0},
    }
    with pytest.raises(
        ConfigError, match=r"EquipotCalculator.types: is required: the model's types are not elements; give types="
    ):
        EquipotCalculator(make_model(**options))
    model = make_model(**options, chemical_species=["Ca", "Ca"])
    with pytest.raises(ConfigError, match="several types are the same element"):
        EquipotCalculator(model)
    assert EquipotCalculator(model, types={"Ca": "Ca2"}).get_potential_energy(Atoms("Ca")) == -2.0
    with pytest.raises(ConfigError, match="unknown type, got 'Ca3'"):
        EquipotCalculator(model, types={"Ca": "Ca3"})


def test_kcal_per_mol_become_electronvolts(model):
    calculator = EquipotCalculator(model)
    calculator.info = dataclasses.replace(calculator.info, units="real")
    atoms, same = crystal(), crystal()
    atoms.calc, same.calc = calculator, EquipotCalculator(model)
    assert atoms.get_potential_energy() == same.get_potential_energy() * KCAL_PER_MOL_IN_EV
    assert np.array_equal(atoms.get_potential_energies(), same.get_potential_energies() * KCAL_PER_MOL_IN_EV)
    assert np.array_equal(atoms.get_forces(), same.get_forces() * KCAL_PER_MOL_IN_EV)
    assert np.allclose(atoms.get_stress(), same.get_stress() * KCAL_PER_MOL_IN_EV, rtol=1e-14, atol=0)
    assert np.abs(calculate_numerical_forces(atoms, eps=1e-4) - atoms.get_forces()).max() < 2e-7


def test_what_heads_predict_has_the_names_of_ase(make_model, heads_plugin):
    model = apply_modifier(apply_modifier(make_model(), "add_Charges"), "add_Uncertainty")
    atoms = molecule("CH3OH")
    atoms.calc = EquipotCalculator(model)
    assert atoms.calc.implemented_properties[-3:] == ["charges", "dipole", "energy_std"]
    charges, dipole = atoms.get_charges(), atoms.get_dipole_moment()
    assert charges.shape == (6,)
    assert np.allclose(dipole, charges @ atoms.positions, rtol=1e-12, atol=1e-12)
    in_ev = atoms.calc.results["energy_std"]
    assert in_ev > 0.0
    model.info = dataclasses.replace(model.info, units="real")
    atoms.calc = EquipotCalculator(model)
    atoms.get_potential_energy()
    assert atoms.calc.results["energy_std"] == pytest.approx(in_ev * KCAL_PER_MOL_IN_EV, rel=1e-9)
    assert np.allclose(atoms.get_dipole_moment(), dipole, atol=1e-9)
    atoms.calc = EquipotCalculator(make_model())
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_dipole_moment()


def test_frames_that_a_component_does_not_serve_are_refused(make_model):
    class Molecules(EnergyTermModule):
        requires = ("atom_types",)
        boundary = ("molecule",)

        def forward(self, data):
            return torch.zeros(len(data["atom_types"]), dtype=torch.float64)

    atoms = crystal()
    atoms.calc = EquipotCalculator(make_model().replace(energy_terms={"isolated": Molecules()}))
    with pytest.raises(DataError, match="'isolated' is for molecule only, but frame 0 has the pbc of a bulk"):
        atoms.get_potential_energy()
    atoms.pbc = False
    atoms.get_potential_energy()


def test_numbers_that_are_not_finite_stop_the_run(model):
    calculator = EquipotCalculator(model)
    with torch.no_grad():
        calculator.model.energy.out[0] = float("nan")
    atoms = with_velocities(crystal())
    atoms.calc = calculator
    with pytest.raises(DataError, match="the model gives non-finite atomic_energy, total_energy, forces"):
        VelocityVerlet(atoms, timestep=units.fs).run(3)
    atoms.positions[0] = np.nan
    with pytest.raises(DataError, match="positions or cell contain NaN"):
        atoms.get_potential_energy()


def test_coinciding_atoms_and_no_atoms(model):
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0]])
    atoms.calc = EquipotCalculator(model)
    with pytest.raises(DataError, match="atoms at the same place: 0 and 1"):
        atoms.get_potential_energy()
    with pytest.raises(DataError, match="has no atoms"):
        EquipotCalculator(model).get_potential_energy(Atoms())


# ------------------------------------------------------------------ neighbour list with a skin


@pytest.mark.parametrize("make_atoms", [crystal, lambda: molecule("CH3CH2OH")])
def test_the_skin_changes_nothing_along_molecular_dynamics(model, make_atoms):
    atoms = with_velocities(make_atoms(), temperature=800.0)
    atoms.calc = EquipotCalculator(model, skin=0.6)
    fresh = EquipotCalculator(model, skin=0.0)
    differences = []

    def compare():
        frame = atoms.copy()
        differences.append(abs(fresh.get_potential_energy(frame) - atoms.get_potential_energy()))
        differences.append(np.abs(fresh.get_forces(frame) - atoms.get_forces()).max())

    dynamics = VelocityVerlet(atoms, timestep=0.5 * units.fs)
    dynamics.attach(compare)
    dynamics.run(30)
    assert max(differences) == 0.0
    assert 1 <= atoms.calc.neighbors.builds < 20
    assert fresh.neighbors.builds == 31


def frame_at(positions, pbc=True, cell=4.0):
    n = len(positions)
    return {
        "positions": torch.as_tensor(positions, dtype=torch.float64),
        "cell": cell * torch.eye(3, dtype=torch.float64)[None],
        "pbc": torch.full((1, 3), pbc),
        "atom_types": torch.arange(n) % 3,
    }


def test_a_list_is_kept_until_an_atom_moved_by_half_the_skin(make_model):
    info = make_model().info
    cutoffs = torch.tensor(info.cutoffs, dtype=torch.float64)
    neighbors = SkinNeighbors(info, 1.0)
    start = torch.tensor([[0.1, 0.2, 0.3], [1.4, 0.1, 0.2], [0.3, 1.7, 2.1], [2.2, 2.0, 0.4]], dtype=torch.float64)
    builds = []
    for step in (0.0, 0.2, 0.49, 0.51, 0.7, 1.1, -3.0):
        positions = start.clone()
        positions[1, 2] += step
        positions[3, 0] -= step
        frame = frame_at(positions)
        found, fresh = neighbors.update(frame), add_neighbors(frame, info.r_max, cutoffs=cutoffs)
        for key in ("edge_index", "edge_cell_shift"):
            assert torch.equal(found[key], fresh[key])
        builds.append(neighbors.builds)
    assert builds == [1, 1, 1, 2, 2, 3, 4]


def test_other_cells_boundaries_and_atoms_make_a_new_list(model):
    calculator, fresh = EquipotCalculator(model, skin=1.0), EquipotCalculator(model, skin=0.0)
    atoms = crystal()
    changes = [
        lambda a: None,
        lambda a: a.set_cell(a.cell.array * 1.02),
        lambda a: a.set_pbc((True, False, True)),
        lambda a: a.extend(Atoms("H", positions=[[0.4, 0.3, 1.9]])),
        lambda a: a.set_chemical_symbols(["O", "C", "H", "C", "O"]),
        lambda a: a.wrap(),
        lambda a: a.set_positions(a.positions[::-1]),
        lambda a: a.set_pbc(False),
        lambda a: a.pop(),
    ]
    for change in changes:
        change(atoms)
        assert calculator.get_potential_energy(atoms) == fresh.get_potential_energy(atoms)
        assert np.array_equal(calculator.get_forces(atoms), fresh.get_forces(atoms))


def test_a_list_outlives_small_changes_of_the_cell(make_model):
    info = make_model().info
    cutoffs = torch.tensor(info.cutoffs, dtype=torch.float64)
    kept = SkinNeighbors(info, 1.0)
    random = np.random.default_rng(5)
    cell, places = np.array([[4.0, 0, 0], [0.7, 4.4, 0], [-0.3, 0.2, 3.9]]), random.random((9, 3))
    moves = 0.1 * random.normal(size=(9, 3))
    differing = 0
    for step in range(40):
        mapping = np.eye(3) + 0.01 * step * np.array([[-1.0, 0.4, 0.0], [0.0, -0.7, 0.3], [0.2, 0.0, 0.5]])
        frame = frame_at(places @ cell @ mapping + 0.1 * step * moves)
        frame["cell"] = torch.from_numpy(cell @ mapping)[None]
        found, fresh = kept.update(frame), add_neighbors(frame, info.r_max, cutoffs=cutoffs)
        for key in ("edge_index", "edge_cell_shift"):
            assert torch.equal(found[key], fresh[key])
        differing += found["edge_index"].shape[1] != kept._wide[""].pairs.shape[1]
    assert 3 <= kept.builds < 20
    assert differing > 20


def test_another_charge_is_another_calculation(make_model):
    atoms = Atoms("H", info={"total_charge": 1.0})
    atoms.calc = EquipotCalculator(make_model(energy_terms={"charge": ChargeTerm()}, pair_potential=None))
    neutral = atoms.get_potential_energy() - 1.0
    atoms.info["total_charge"] = -2.0
    assert atoms.get_potential_energy() == neutral - 2.0
    atoms.positions += 1.0
    assert atoms.get_potential_energy() == neutral - 2.0


def test_magnetic_moments_do_not_repeat_a_calculation(model):
    atoms = crystal()
    atoms.calc = EquipotCalculator(model)
    forces = atoms.get_forces()
    atoms.set_initial_magnetic_moments([1.0] * 4)
    assert atoms.calc.check_state(atoms) == []
    atoms.positions[0, 0] += 1e-15
    assert atoms.calc.check_state(atoms) == ["positions"]
    assert np.abs(atoms.get_forces() - forces).max() < 1e-12


def test_unwrapped_atoms_have_the_same_energy(model):
    calculator, atoms = EquipotCalculator(model), crystal()
    energy, forces = calculator.get_potential_energy(atoms), calculator.get_forces(atoms)
    atoms.positions += np.array([[3, -2, 1], [0, 0, 0], [-5, 1, 2], [0, 7, 0]]) @ atoms.cell.array
    assert calculator.get_potential_energy(atoms) == pytest.approx(energy, abs=1e-10)
    assert np.abs(calculator.get_forces(atoms) - forces).max() < 1e-10


def test_the_skin_must_not_be_negative(model):
    with pytest.raises(ConfigError, match="EquipotCalculator.skin: must be at least 0, got -1"):
        EquipotCalculator(model, skin=-1)


# ------------------------------------------------------------------ engines


def test_energy_is_conserved(model):
    atoms = with_velocities(crystal(), 200.0)
    ranges = {}
    for step in (1.0, 0.5):
        run, found = atoms.copy(), []
        run.calc = EquipotCalculator(model)
        dynamics = VelocityVerlet(run, timestep=step * units.fs)
        dynamics.attach(lambda run=run, found=found: found.append(run.get_total_energy()))
        dynamics.run(int(40 / step))
        ranges[step] = np.ptp(found)
    assert 0.0 < ranges[1.0] < 0.02 * len(atoms)
    assert ranges[0.5] < 0.4 * ranges[1.0]


def test_relaxation_lowers_energy_and_forces(model):
    atoms = molecule("CH3OH")
    atoms.calc = EquipotCalculator(model)
    start, force = atoms.get_potential_energy(), np.abs(atoms.get_forces()).max()
    BFGS(atoms, logfile=None).run(fmax=0.3 * force, steps=60)
    assert atoms.get_potential_energy() < start
    assert np.abs(atoms.get_forces()).max() < 0.5 * force
