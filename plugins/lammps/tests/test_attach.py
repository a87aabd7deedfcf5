"""A model in LAMMPS through ``fix external``; LAMMPS runs in the process of the tests."""

import numpy as np
import pytest
from ase import Atoms

from equipot.ase import EquipotCalculator
from equipot.model import apply_modifier
from equipot.units import KCAL_PER_MOL_IN_EV
from equipot_lammps import LammpsError, attach, new_lammps
from equipot_lammps._static import PRESSURE, Structure, write_data
from equipot_test_support.engines import record_capability

VERSION = "22Jul2025 update 4"


@pytest.fixture
def structure():
    random = np.random.default_rng(3)
    cell = np.array([[6.2, 0, 0], [0.8, 6.4, 0], [-0.5, 0.9, 6.6]])
    points = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3) / 3
    return Structure(
        points @ cell + random.normal(size=(27, 3)) * 0.1, cell, (True,) * 3, random.integers(0, 3, 27).tolist()
    )


@pytest.fixture
def start(tmp_path, structure):
    """LAMMPS with atoms: ``start(units="real")``."""
    opened = []

    def make(units="metal"):
        write_data(tmp_path / "a.data", structure, 3)
        lmp = new_lammps()
        opened.append(lmp)
        lmp.commands_string(
            f"units {units}\natom_modify map array\nbox tilt large\nread_data {tmp_path}/a.data\n"
            "mass 1 12.011\nmass 2 1.008\nmass 3 15.999\npair_style zero 5.0\npair_coeff * *\n"
            "thermo_style custom step pe etotal press vol\nthermo_modify format float %.17g\n"
        )
        return lmp

    yield make
    for lmp in opened:
        lmp.close()


def calculated(structure, model):
    atoms = Atoms(
        [["C", "H", "O"][kind] for kind in structure.types],
        positions=structure.positions,
        cell=structure.cell,
        pbc=True,
    )
    atoms.calc = EquipotCalculator(model)
    return atoms


@pytest.mark.parametrize("units", ["metal", "real"])
def test_forces_energy_and_pressure_are_those_of_ase(start, structure, make_model, units):
    model = make_model()
    lmp = start(units)
    attached = attach(lmp, model, ["C", "H", "O"], per_atom=True)
    lmp.commands_string("compute e all pe/atom\ncompute s all reduce sum c_e\nthermo_style custom step pe press c_s")
    lmp.command("run 0")
    atoms, ev = calculated(structure, model), {"metal": 1.0, "real": KCAL_PER_MOL_IN_EV}[units]
    forces = lmp.numpy.extract_atom("f")[:27][np.argsort(lmp.numpy.extract_atom("id")[:27])]
    worst = np.abs(forces * ev - atoms.get_forces()).max()
    assert worst < 1e-10
    assert lmp.get_thermo("pe") * ev == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    assert lmp.extract_compute("s", 0, 0) * ev == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    pressure = -np.trace(atoms.get_stress(voigt=False)) / 3.0
    assert lmp.get_thermo("press") == pytest.approx(pressure * PRESSURE[units] / ev, rel=1e-9)
    attached.detach()
    lmp.command("run 0")
    assert lmp.get_thermo("pe") == 0.0
    record_capability(
        "LAMMPS",
        f"fix external, units {units}",
        version=VERSION,
        command="equipot_lammps.attach(lmp, model, types)",
        deviation=f"{worst:.0e} eV/Å",
    )


@pytest.mark.parametrize("units", ["metal", "real"])
def test_virials_of_atoms_are_those_of_ase(start, structure, make_model, units):
    model = make_model()
    lmp = start(units)
    attach(lmp, model, ["C", "H", "O"], per_atom=True)
    lmp.commands_string("compute s all stress/atom NULL fix\nthermo_style custom step pe press\nrun 0")
    atoms, ev = calculated(structure, model), {"metal": 1.0, "real": KCAL_PER_MOL_IN_EV}[units]
    found = lmp.numpy.extract_compute("s", 1, 2)[:27][np.argsort(lmp.numpy.extract_atom("id")[:27])]
    expected = atoms.get_stresses()[:, [0, 1, 2, 5, 4, 3]] * atoms.get_volume() * PRESSURE[units] / ev
    assert np.abs(expected).max() > 100.0
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * np.abs(expected).max())
    assert -found[:, :3].sum() / 3.0 / atoms.get_volume() == pytest.approx(lmp.get_thermo("press"), rel=1e-9)
    record_capability(
        "LAMMPS",
        f"fix external, virials of atoms, units {units}",
        version=VERSION,
        command="equipot_lammps.attach(lmp, model, types, per_atom=True)",
    )


def test_virials_of_atoms_that_there_are_not_are_refused(start, make_model, tmp_path):
    """They would be zeros in LAMMPS."""
    model = make_model()
    lmp = new_lammps()
    lmp.commands_string(
        "units metal\nboundary f f f\natom_modify map array\nregion box block 0 9 0 9 0 9\ncreate_box 1 box\n"
        "create_atoms 1 single 4 4 4\ncreate_atoms 1 single 4 4 5.2\nmass 1 12\npair_style zero 5.0\npair_coeff * *"
    )
    attached = attach(lmp, model, ["C"], per_atom=True)
    with pytest.raises(LammpsError, match="step 0: stresses of atoms need a periodic box; per_atom='energies'"):
        lmp.command("run 0")
    attached.detach()
    attach(lmp, model, ["C"], per_atom="energies")
    lmp.commands_string("compute e all pe/atom\nrun 0")
    energies = lmp.numpy.extract_compute("e", 1, 1)[:2]
    assert energies.sum() == pytest.approx(lmp.get_thermo("pe"), rel=1e-12)
    lmp.close()
    calculator = EquipotCalculator(model)
    calculator.implemented_properties = ["energy", "forces", "stress"]
    calculator._no_stresses = "it is no sum over edges"
    lmp = start()
    with pytest.raises(LammpsError, match="this model has no stresses.*it is no sum over edges.*per_atom='energies'"):
        attach(lmp, calculator, ["C", "H", "O"], per_atom=True)
    attach(lmp, calculator, ["C", "H", "O"])
    calculator.implemented_properties = ["energy", "forces"]
    with pytest.raises(LammpsError, match="this model has no stress"):
        attach(lmp, calculator, ["C", "H", "O"])


@pytest.mark.slow
def test_dynamics_barostat_and_minimisation(start, make_model):
    lmp = start()
    attach(lmp, make_model(), ["C", "H", "O"])
    lmp.commands_string("velocity all create 300 1 loop all\nfix move all nve\ntimestep 0.0001\nrun 0")
    before = lmp.get_thermo("etotal")
    lmp.command("run 50")
    assert lmp.get_thermo("etotal") == pytest.approx(before, abs=2e-3)
    volume = lmp.get_thermo("vol")
    lmp.commands_string("unfix move\nfix move all npt temp 300 300 0.01 aniso 0 0 0.1\nrun 10\nunfix move")
    assert lmp.get_thermo("vol") != pytest.approx(volume, rel=1e-9)
    lmp.commands_string("fix box all box/relax iso 0.0\nmin_style cg\nrun 0")
    start_energy = lmp.get_thermo("pe")
    lmp.command("minimize 0 1e-3 10 20")
    assert lmp.get_thermo("pe") < start_energy
    for name in ("NVE", "NPT", "fix box/relax", "minimize"):
        record_capability(
            "LAMMPS", f"fix external, {name}", version=VERSION, command="equipot_lammps.attach(lmp, model, types)"
        )


def test_a_runaway_ends_the_run_with_an_error(start, make_model):
    lmp = start()
    attached = attach(lmp, make_model(), ["C", "H", "O"], max_force=1e-6)
    with pytest.raises(LammpsError, match=r"attach: step 0: .*more than max_force=1e-06"):
        lmp.commands_string("fix move all nve\nrun 100")
    assert lmp.extract_global("ntimestep") == 0
    attached.raise_error()  # it was raised, once
    with pytest.raises(LammpsError, match="step 0"):
        lmp.command("run 5")


def test_what_it_cannot_serve_is_refused(start, make_model):
    lmp = start()
    model = make_model()
    with pytest.raises(LammpsError, match="one name for each of LAMMPS' 3 atom types"):
        attach(lmp, model, ["C", "H"])
    with pytest.raises(LammpsError, match="'Xx'"):
        attach(lmp, model, ["C", "H", "Xx"])
    unnamed = make_model(
        type_names=["a", "b", "c"], per_type_energy_shifts=None, per_edge_type_cutoff=None, pair_potential=None
    )
    with pytest.raises(LammpsError, match="not chemical elements"):
        attach(lmp, unnamed, ["a", "b", "c"])
    with pytest.raises(LammpsError, match="needs units metal or real"):
        attach(start("lj"), model, ["C", "H", "O"])


def test_what_heads_predict_is_in_the_results_of_the_calculator(start, structure, make_model, heads_plugin):
    model = apply_modifier(make_model(), "add_Uncertainty")
    lmp = start()
    attached = attach(lmp, model, ["C", "H", "O"])
    lmp.command("run 0")
    atoms = calculated(structure, model)
    atoms.get_potential_energy()
    expected = atoms.calc.results["energy_std"]
    assert attached.calculator.results["energy_std"] == pytest.approx(expected, rel=1e-12)
    assert expected > 0.0
