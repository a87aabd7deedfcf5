"""Elastic constants against stresses of strained cells, and averages against known ones."""

import importlib.metadata

import numpy as np
import pytest
from ase import units

from equipot.ase import EquipotCalculator
from equipot_simulate._elastic import moduli
from equipot_test_support.engines import record_capability


def cubic(c11, c12, c44):
    constants = np.diag([c11 - c12] * 3 + [c44] * 3).astype(float)
    constants[:3, :3] += c12
    return constants


def test_averages_of_copper():
    """C11, C12, C44 and moduli of copper: K = (C11 + 2 C12) / 3 and the formulas for cubic crystals."""
    c11, c12, c44 = 168.4, 121.4, 75.4
    found = moduli(cubic(c11, c12, c44))
    bulk, shear = found["bulk_modulus_gpa"], found["shear_modulus_gpa"]
    for name in ("voigt", "reuss", "hill"):
        assert bulk[name] == pytest.approx((c11 + 2 * c12) / 3)
    assert shear["voigt"] == pytest.approx((c11 - c12 + 3 * c44) / 5)
    assert shear["reuss"] == pytest.approx(5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12)))
    assert shear["hill"] == pytest.approx((shear["voigt"] + shear["reuss"]) / 2)
    assert found["stable"]
    assert not moduli(cubic(100.0, 120.0, 50.0))["stable"]


def test_an_isotropic_solid_has_one_shear_modulus():
    bulk, shear = 120.0, 45.0
    found = moduli(cubic(bulk + 4 * shear / 3, bulk - 2 * shear / 3, shear))
    assert found["shear_modulus_gpa"]["reuss"] == pytest.approx(shear)
    assert found["youngs_modulus_gpa"] == pytest.approx(9 * bulk * shear / (3 * bulk + shear))
    assert found["poissons_ratio"] == pytest.approx((3 * bulk - 2 * shear) / (6 * bulk + 2 * shear))


@pytest.mark.slow
def test_constants_of_a_crystal(place, make_crystal):
    """Against central differences of the stress; a crystal of pairs obeys Cauchy's relation C12 = C44."""
    found = place.ok("elastic", "--strain", 0.004, folder="out")
    constants = np.array(found["elastic_constants_gpa"])
    atoms = make_crystal(a=found["relaxed"]["volume_a3"] ** (1 / 3), rattle=0.0)

    def stress(strain):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        return EquipotCalculator(place.model).get_stress(strained) / units.GPa

    size = 1e-4
    along, across = np.zeros((3, 3)), np.zeros((3, 3))
    along[0, 0], across[1, 2], across[2, 1] = size, size / 2, size / 2
    first, fourth = ((stress(one) - stress(-one)) / (2 * size) for one in (along, across))
    assert constants[0, :2] == pytest.approx(first[:2], rel=0.01)
    assert constants[3, 3] == pytest.approx(fourth[3], rel=0.01)
    assert constants[0, 1] == pytest.approx(constants[3, 3], rel=0.02)
    assert np.allclose(constants, cubic(constants[0, 0], constants[0, 1], constants[3, 3]), atol=0.5)
    assert abs(found["eos"]["relative_difference"]) < 0.01
    assert found["eos"]["bulk_modulus_gpa"] == pytest.approx(found["bulk_modulus_gpa"]["hill"], rel=0.01)
    assert found["stable"]
    assert (place.path / "out/elastic.png").is_file()
    differences = np.append(constants[0, :2] / first[:2], constants[3, 3] / fourth[3]) - 1.0
    record_capability(
        "matcalc",
        "elastic constants",
        version=importlib.metadata.version("matcalc"),
        command="equipot elastic MODEL STRUCTURE",
        deviation=f"{100 * np.abs(differences).max():.2g} % (differences of stresses)",
    )


@pytest.mark.slow
def test_two_bulk_moduli_that_differ_are_said(place):
    """A crystal that is far from its volume has no elastic constants in this sense."""
    code, _, errors = place.call("elastic", "--relax", "none", "--strain", 0.09, "--output", "out")
    assert code == 0
    assert "warning: " in errors
