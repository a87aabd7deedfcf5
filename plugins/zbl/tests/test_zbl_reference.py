"""The bare ZBL energy against LAMMPS, and the module against a loop over atoms and images in numpy."""

import csv
import functools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from equipot.units import COULOMB_CONSTANT
from equipot_testing.frames import batch_of, standard_structures
from equipot_testing.neighbors import brute_force_neighbors
from equipot_testing.toy import ToyModel
from equipot_zbl import ZBL, zbl_energy

TABLE = Path(__file__).parents[3] / "tests" / "reference" / "zbl_lammps.csv"
"""Made by tests/reference/make_zbl_lammps.py with LAMMPS ``pair_style zbl inner outer``."""


@functools.cache
def table(units):
    """Columns of the rows in one unit system, as float64 tensors."""
    with TABLE.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["units"] == units]
    columns = {
        key: torch.tensor([float(row[key]) for row in rows], dtype=torch.float64)
        for key in rows[0]
        if key not in ("units", "sym_i", "sym_j")
    }
    assert len(rows) >= 100
    return columns


def derivatives(r, z_i, z_j, constant):
    """Bare energy with first and second derivative by the distance."""
    r = r.clone().requires_grad_()
    energy = zbl_energy(r, z_i, z_j, constant)
    (first,) = torch.autograd.grad(energy.sum(), r, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), r)
    return energy.detach(), first.detach(), second.detach()


def shift_of_lammps(columns, constant):
    """The constant that LAMMPS adds below ``inner`` so that its switch to 0 ends at ``outer``."""
    energy, first, second = derivatives(columns["outer"], columns["Zi"], columns["Zj"], constant)
    width = columns["outer"] - columns["inner"]
    return -energy + width * first / 2 - width**2 * second / 12


@pytest.mark.parametrize("units", ["metal", "real"])
def test_bare_energy_and_force_equal_lammps_below_the_inner_radius(units):
    columns, constant = table(units), COULOMB_CONSTANT[units]
    assert (columns["r_A"] <= columns["inner"]).all()
    energy, slope, _ = derivatives(columns["r_A"], columns["Zi"], columns["Zj"], constant)
    expected = columns["E"] - shift_of_lammps(columns, constant)
    torch.testing.assert_close(energy, expected, rtol=1e-10, atol=0.0)
    torch.testing.assert_close(-slope, columns["Fx_j"], rtol=1e-10, atol=0.0)


def test_the_shift_of_lammps_is_large_enough_to_be_seen():
    columns = table("metal")
    assert shift_of_lammps(columns, COULOMB_CONSTANT["metal"]).abs().max() > 1.0


# ------------------------------------------------------------------- the module

NUMBERS = {"H": 1, "C": 6, "O": 8}
TYPES = ["O", "H", "C"]
CONSTANT = {"metal": 14.399645, "real": 332.06371}


def bare(r, z_i, z_j, constant):
    """Energy of a pair and its slope, written out from MATHS in the reference, not from the package."""
    terms = [(0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162)]
    a = 0.46850 / (z_i**0.23 + z_j**0.23)
    phi = sum(c * math.exp(-d * r / a) for c, d in terms)
    slope_of_phi = sum(-d / a * c * math.exp(-d * r / a) for c, d in terms)
    k = constant * z_i * z_j
    return k * phi / r, k * (slope_of_phi / r - phi / r**2)


def envelope(x, p):
    """Polynomial cutoff and its slope."""
    if x >= 1.0:
        return 0.0, 0.0
    c = ((p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2)
    value = 1 - c[0] * x**p + c[1] * x ** (p + 1) - c[2] * x ** (p + 2)
    return value, -c[0] * p * x ** (p - 1) + c[1] * (p + 1) * x**p - c[2] * (p + 2) * x ** (p + 1)


def reference(structure, radii, p, constant):
    """Atomic energies and forces of a structure, one directed edge at a time."""
    positions, types = structure.positions.numpy(), structure.types.tolist()
    energies, forces = np.zeros(len(types)), np.zeros((len(types), 3))
    edges = brute_force_neighbors(positions, structure.cell.numpy(), np.array(structure.pbc), 4.0)
    for i, j, shift in zip(*edges, strict=True):
        vector = positions[j] + shift @ structure.cell.numpy() - positions[i]
        r = float(np.linalg.norm(vector))
        radius = radii[types[i]][types[j]]
        energy, slope = bare(r, NUMBERS[TYPES[types[i]]], NUMBERS[TYPES[types[j]]], constant)
        u, slope_of_u = envelope(r / radius, p)
        energies[i] += 0.5 * energy * u
        pull = 0.5 * (slope * u + energy * slope_of_u / radius) * vector / r
        forces[i] += pull
        forces[j] -= pull
    return torch.from_numpy(energies), torch.from_numpy(forces)


CUTOFFS = [
    (None, [[4.0] * 3] * 3),
    ({"O": {"H": 2.4}, "C": 3.1}, [[4.0, 2.4, 4.0], [4.0, 4.0, 4.0], [3.1, 3.1, 3.1]]),
]


def test_with_a_covalent_range_the_repulsion_ends_at_the_lengths_of_bonds():
    """Radii of ase.data in Å: 0.66 of oxygen and 0.31 of hydrogen."""
    potential = ZBL(units="metal", covalent_range=0.9, polynomial_cutoff_p=5.0)
    function = ToyModel(type_names=["O", "H"], r_max=4.0, pair_potential=potential).build_energy_model()
    function = function.energy_terms["pair_potential"].pair_energy
    r = torch.tensor([0.3, 0.6, 0.8, 0.9], dtype=torch.float64)
    found = function(r, torch.tensor([0, 0, 0, 0]), torch.tensor([1, 1, 1, 1])).tolist()
    end = 0.9 * (0.66 + 0.31)
    expected = [bare(one, 8, 1, CONSTANT["metal"])[0] * envelope(one / end, 5)[0] for one in r.tolist()]
    assert found == pytest.approx(expected, rel=1e-9)
    assert found[-1] == 0.0
    assert found[0] > 10.0


@pytest.mark.parametrize("units", ["metal", "real"])
@pytest.mark.parametrize(("cutoffs", "radii"), CUTOFFS, ids=["one radius", "asymmetric radii"])
def test_module_is_half_the_bare_energy_with_cutoff_for_each_directed_edge(units, cutoffs, radii):
    def model(potential):
        return ToyModel(
            type_names=TYPES, r_max=4.0, model_dtype="float64", do_derivatives=False,
            pair_potential=potential, per_edge_type_cutoff=cutoffs,
        ).build(units)  # fmt: skip

    with_zbl, without = model(ZBL(units=units, polynomial_cutoff_p=5.0)), model(None)
    for structure in standard_structures(3).values():
        graph = batch_of([structure], with_zbl.info)
        graph["positions"].requires_grad_()
        energies = with_zbl(graph)["atomic_energy"] - without(graph)["atomic_energy"]
        (gradient,) = torch.autograd.grad(energies.sum(), graph["positions"])
        expected_energies, expected_forces = reference(structure, radii, 5, CONSTANT[units])
        torch.testing.assert_close(energies.detach(), expected_energies, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(-gradient, expected_forces, rtol=1e-10, atol=1e-9)
