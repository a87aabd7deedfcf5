"""The equation of state against derivatives of the energy."""

import numpy as np
import pytest
from ase import units
from ase.io import read, write

from equipot.ase import EquipotCalculator


def test_minimum_and_bulk_modulus(place, make_crystal):
    found = place.ok("eos", folder="out")
    atoms = make_crystal(rattle=0.0)

    def energy(volume):
        scaled = atoms.copy()
        scaled.set_cell(np.eye(3) * volume ** (1 / 3), scale_atoms=True)
        return EquipotCalculator(place.model).get_potential_energy(scaled)

    volume, step = found["volume_a3"], 0.05
    below, here, above = (energy(volume + by) for by in (-step, 0.0, step))
    assert abs(above - below) / (2 * step) < 2e-4
    assert (above - 2 * here + below) / step**2 * volume / units.GPa == pytest.approx(
        found["bulk_modulus_gpa"], rel=5e-3
    )
    assert found["energy_ev"] == pytest.approx(here, abs=1e-4)
    assert found["volume_a3_per_atom"] == volume / 4
    assert found["rmse_mev_per_atom"] < 0.1
    assert [one.get_volume() for one in read("out/volumes.extxyz", ":")] == pytest.approx(found["volumes_a3"], rel=1e-6)
    assert (place.path / "out/eos.png").is_file()


def test_a_minimum_outside_is_refused(place, make_crystal):
    write("cu.extxyz", make_crystal(a=4.0, rattle=0.0))
    text = place.error("eos", "--relax", "none")
    assert "the lowest energy is at the edge of the volumes" in text
    assert place.error("eos", "--points", 3).startswith("--points: must be greater than or equal to 5")


@pytest.mark.slow
def test_the_shape_is_relaxed_if_asked_for(place, make_crystal):
    atoms = make_crystal(rattle=0.0)
    atoms.set_cell(atoms.cell.array @ np.diag([1.02, 0.99, 0.99]), scale_atoms=True)
    write("cu.extxyz", atoms)
    fixed = place.ok("eos", "--relax", "none", "--points", 5, folder="fixed")
    free = place.ok("eos", "--relax", "none", "--points", 5, "--shape", "free", folder="free")
    assert free["energy_ev"] < fixed["energy_ev"] - 1e-3


def test_only_single_crystals(several):
    assert several.error("eos") == "cu.extxyz: has 6 frames; choose one: --frame N (from 0)"
    slab = read("cu.extxyz", 0)
    slab.pbc = (True, True, False)
    write("slab.extxyz", slab)
    text = "an equation of state needs a crystal, and this structure is not periodic in all three directions"
    assert several.error("eos", structure="slab.extxyz") == f"slab.extxyz: {text}"
