"""Relaxations against ASE itself: positions, cells, pressure, symmetry, and going on."""

import numpy as np
import pytest
from ase.io import read, write
from ase.optimize import BFGS

from equipot_simulate._relax import Relaxation, RelaxOptions, space_group, start_relaxed


def test_positions(place, make_crystal):
    from equipot.ase import EquipotCalculator

    found = place.ok("relax", "--fmax", 1e-4, folder="out")
    assert (found["status"], found["largest_force_ev_per_a"] < 1e-4) == ("converged", True)
    atoms = make_crystal()
    atoms.calc = EquipotCalculator(place.model)
    BFGS(atoms, logfile=None).run(fmax=1e-5)
    assert found["energy_ev"] == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
    relaxed, steps = read("out/relaxed.extxyz"), read("out/trajectory.extxyz", ":")
    assert relaxed.get_potential_energy() == pytest.approx(found["energy_ev"], abs=1e-7)
    assert len(steps) == found["steps"] + 1 == len(found["history"])
    assert steps[0].get_potential_energy() > steps[-1].get_potential_energy()
    assert (place.path / "out/relax.png").is_file()


@pytest.mark.parametrize("optimizer", ["bfgs", pytest.param("fire", marks=pytest.mark.slow)])
def test_cell_and_pressure(place, optimizer):
    options = ["--fmax", 1e-3, "--optimizer", optimizer, "--cell", "free"]
    free = place.ok("relax", *options, folder="free")
    assert free["pressure_gpa"] == pytest.approx(0.0, abs=0.01)
    pressed = place.ok("relax", *options, "--pressure", 10, folder="pressed")
    assert pressed["pressure_gpa"] == pytest.approx(10.0, abs=0.01)
    assert pressed["volume_a3"] < free["volume_a3"] - 2.0


def test_what_of_the_cell_changes(place):
    sheared = read("cu.extxyz")
    sheared.set_cell(sheared.cell.array @ (np.eye(3) + np.diag([0.02, 0.0, -0.01])), scale_atoms=True)
    write("cu.extxyz", sheared)
    place.ok("relax", "--cell", "isotropic", folder="isotropic")
    lengths = read("isotropic/relaxed.extxyz").cell.lengths() / sheared.cell.lengths()
    assert np.ptp(lengths) < 1e-6
    assert abs(lengths[0] - 1.0) > 1e-4
    place.ok("relax", "--cell", "constant-volume", "--fmax", 1e-3, folder="shape")
    shape = read("shape/relaxed.extxyz")
    assert shape.get_volume() == pytest.approx(sheared.get_volume(), rel=1e-6)
    assert np.ptp(shape.cell.lengths()) < 1e-3
    assert "--pressure: needs a cell whose volume changes" in place.error("relax", "--pressure", 1)


def test_symmetry_is_kept_if_asked_for(place, make_crystal):
    pytest.importorskip("spglib", reason="needs spglib")
    atoms = make_crystal(rattle=0.0)
    atoms.set_cell(atoms.cell.array @ np.diag([1.0, 1.0, 1.2]), scale_atoms=True)
    write("cu.extxyz", atoms)
    assert space_group(atoms, 0.01) == "I4/mmm (139)"
    found = place.ok("relax", "--cell", "free", "--keep-symmetry", "--steps", 200, folder="out")
    assert found["space_group_before"] == "I4/mmm (139)"
    assert found["space_group"] in ("I4/mmm (139)", "Fm-3m (225)", "Im-3m (229)")
    relaxed = read("out/relaxed.extxyz")
    assert relaxed.cell.lengths()[0] == pytest.approx(relaxed.cell.lengths()[1], abs=1e-7)


def test_too_few_steps_and_going_on(place):
    code, out, _ = place.call("relax", "--steps", 2, "--fmax", 1e-4, "--output", "out")
    assert code == 1
    assert "not converged after 2 steps" in out
    first = place.results("out")
    found = place.ok("relax", "--fmax", 1e-4, "--resume", folder="out")
    assert found["history"][0]["energy_ev"] == pytest.approx(first["energy_ev"], abs=1e-10)
    assert found["status"] == "converged"
    write("cu.extxyz", read("cu.extxyz").repeat((2, 1, 1)))
    assert "is the state of another structure" in place.error("relax", "--output", "out", "--resume")


def test_repeated_and_chosen_frames(several):
    found = several.ok("relax", "--frame", 1, "--repeat", 2, 1, 1, folder="out")
    assert found["structure"]["atoms"] == 8
    assert several.error("relax", "--frame", 6) == "--frame: cu.extxyz has 6 frames, got 6"
    assert several.error("relax", "--repeat", 0, 1, 1).startswith("--repeat: must be three numbers of at least 1")


def test_a_model_without_forces_is_refused(place, tmp_path):
    from equipot.artifacts import write_package
    from equipot.model import InvariantModel

    model = InvariantModel(type_names=["Cu"], r_max=4.0, avg_num_neighbors=12.0, do_derivatives=False).build().eval()
    place.model = str(tmp_path / "energies.equipot.zip")
    write_package(model, place.model)
    assert "the model has no forces and no stress; apply the modifier" in place.error("relax", "--cell", "free")


def test_a_start_that_does_not_converge_is_refused(place, make_crystal, monkeypatch):
    from equipot.ase import EquipotCalculator
    from equipot.errors import ConfigError

    atoms = make_crystal()
    atoms.calc = EquipotCalculator(place.model)
    assert start_relaxed(atoms, "none", 1e-4)["steps"] == 0
    monkeypatch.setattr(Relaxation, "run", lambda self: {"converged": False})
    with pytest.raises(ConfigError, match="--relax: did not come below 0.0001 eV/Å"):
        start_relaxed(atoms, "positions", 1e-4)
    assert RelaxOptions().needed == ("forces",)
