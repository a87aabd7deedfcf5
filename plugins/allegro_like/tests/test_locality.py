"""Strict locality: an atom's energy depends on nothing beyond its own cutoff radius, for any number of layers."""

from pathlib import Path

import pytest
import torch
from ase.io import read

from equipot.model import AllegroModel
from equipot_allegro import TwoBodyBesselScalarEmbed, TwoBodySplineScalarEmbed
from equipot_testing.frames import Structure

R_MAX = 2.4
WATER = Path(__file__).parents[3] / "examples" / "data" / "water_gfn1.extxyz"


def make(embed, **changes):
    options = {
        "type_names": ["H", "O"],
        "r_max": R_MAX,
        "model_dtype": "float64",
        "l_max": 2,
        "num_layers": 3,
        "num_scalar_features": 6,
        "num_tensor_features": 3,
        "radial_chemical_embed": embed,
        "avg_num_neighbors": 6.0,
    }
    return AllegroModel(**{**options, **changes}).build().eval()


@pytest.fixture(scope="module")
def water() -> Structure:
    atoms = read(WATER, index=10)
    types = torch.tensor([["H", "O"].index(symbol) for symbol in atoms.get_chemical_symbols()])
    cell = torch.tensor(atoms.cell.array, dtype=torch.float64)
    return Structure(torch.tensor(atoms.positions, dtype=torch.float64), types, cell, (True, True, True))


def distances(structure: Structure) -> torch.Tensor:
    """Shortest distances between atoms or their images, Å."""
    fractions = (structure.positions[None] - structure.positions[:, None]) @ structure.cell.inverse()
    shifts = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)] * 3)
    near = (fractions - fractions.round())[:, :, None] + shifts
    return (near @ structure.cell).norm(dim=-1).amin(-1)


@pytest.mark.parametrize("embed", [TwoBodyBesselScalarEmbed(), TwoBodySplineScalarEmbed()])
def test_energies_of_real_water_feel_nothing_beyond_the_cutoff(embed, water):
    model, apart = make(embed), distances(water)
    assert model.info.locality == "strict"
    before = model(water.graph(model.info))
    for atom in (0, 7, 20):
        displacement = torch.zeros(len(water), 3, dtype=torch.float64)
        displacement[atom] = torch.tensor([0.03, -0.05, 0.04], dtype=torch.float64)
        moved = water.moved(displacement)
        far = (apart[atom] > R_MAX) & (distances(moved)[atom] > R_MAX)
        near = (apart[atom] < R_MAX) & (torch.arange(len(water)) != atom)
        assert far.sum() > 5
        assert near.sum() > 1
        after = model(moved.graph(model.info))
        change = (after["atomic_energy"] - before["atomic_energy"]).abs()
        assert change[far].max() < 1e-15
        assert change[near].min() > 1e-9
        # A force feels what the atoms within the cutoff radius feel, and no more.
        out_of_reach = ~((apart < R_MAX) & ~far[None, :]).any(dim=1) & far
        assert out_of_reach.any()
        assert (after["forces"] - before["forces"])[out_of_reach].abs().max() < 1e-14


def test_derivatives_of_an_energy_end_at_the_cutoff(water):
    model = make(TwoBodyBesselScalarEmbed(), do_derivatives=False).train()
    graph = water.graph(model.info)
    positions = graph["positions"].requires_grad_()
    energies = model(graph)["atomic_energy"]
    apart = distances(water)
    for atom in (0, 7, 20):
        (gradient,) = torch.autograd.grad(energies[atom], positions, retain_graph=True)
        felt = gradient.abs().amax(dim=1) > 0
        others = torch.arange(len(water)) != atom
        assert torch.equal(felt[others], (apart[atom] < R_MAX)[others])
