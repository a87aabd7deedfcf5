"""Potentials of smeared charges against lattice sums, loops over atoms and waves, and limits that are known."""

import itertools
import math

import numpy as np
import pytest
import torch

from equipot_electrostatics import smeared_potentials
from equipot_testing.frames import CELL

CUBE = torch.eye(3, dtype=torch.float64)
FCC = [[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]


def potentials(charges, positions, cell=None, *, sigma=1.0, accuracy=1e-8):
    """Of one frame, which is a crystal if it has a cell."""
    n_atoms, periodic = len(charges), cell is not None
    cell = torch.zeros(3, 3, dtype=torch.float64) if cell is None else cell
    pbc, batch = torch.full((1, 3), periodic), torch.zeros(n_atoms, dtype=torch.int64)
    geometry = (positions, cell[None], pbc, batch, torch.tensor([n_atoms]))
    return smeared_potentials(charges, *geometry, sigma=sigma, accuracy=accuracy)


def energy(charges, *geometry, **options):
    return 0.5 * (charges * potentials(charges, *geometry, **options)).sum()


def random_ions(n_atoms=6, channels=1, seed=1):
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(n_atoms, 3, generator=generator, dtype=torch.float64)
    charges = torch.randn(n_atoms, channels, generator=generator, dtype=torch.float64)
    return charges, places @ torch.tensor(CELL, dtype=torch.float64)


# Constants of Madelung for the distance of nearest neighbours. Source: Kittel, Introduction to Solid State Physics,
# chapter 3; further digits of NaCl and CsCl are those of OEIS A085469 and A181152.
LATTICES = {
    "NaCl": (1.7475645946331821906, FCC, [0.5, 0.0, 0.0], 0.5),
    "CsCl": (1.7626747730709883, [FCC[0]], [0.5, 0.5, 0.5], math.sqrt(3.0) / 2.0),
    "ZnS": (1.6380550533888, FCC, [0.25, 0.25, 0.25], math.sqrt(3.0) / 4.0),
}


@pytest.mark.parametrize("lattice", LATTICES)
def test_madelung_constants(lattice):
    constant, places, shift, distance = LATTICES[lattice]
    cations = torch.tensor(places, dtype=torch.float64)
    charges = torch.ones(2 * len(places), 1, dtype=torch.float64)
    charges[len(places) :] = -1.0
    both = torch.cat([cations, cations + torch.tensor(shift, dtype=torch.float64)])
    found = energy(charges, both, CUBE, sigma=0.05, accuracy=1e-12)  # so narrow that they are points to each other
    assert float(-found * distance / len(places)) == pytest.approx(constant, rel=1e-10)


def test_molecules_are_sums_over_all_pairs():
    charges, places = random_ions(channels=2)
    expected = torch.zeros_like(charges)
    for i, j in itertools.permutations(range(len(places)), 2):
        r = float((places[i] - places[j]).norm())
        expected[i] += charges[j] * math.erf(r / (math.sqrt(2.0) * 0.7)) / r
    torch.testing.assert_close(potentials(charges, places, sigma=0.7), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2]], ids=["right-handed", "left-handed"])
def test_crystals_are_sums_over_all_waves(order):
    charges, places = random_ions()
    cell = torch.tensor(CELL, dtype=torch.float64)[order]
    reciprocal = 2.0 * np.pi * np.linalg.inv(cell.numpy()).T
    waves = np.array(list(itertools.product(range(-9, 10), repeat=3))) @ reciprocal
    squares = (waves**2).sum(1)
    waves, squares = waves[squares > 0.0], squares[squares > 0.0]
    phases = np.exp(1j * places.numpy() @ waves.T)
    structure = (charges.numpy() * phases).sum(0)
    terms = np.exp(-0.5 * squares) / squares * (structure.conj() * phases).real
    volume = abs(np.linalg.det(cell.numpy()))
    expected = 4.0 * np.pi / volume * terms.sum(1) - math.sqrt(2.0 / math.pi) * charges.numpy()[:, 0]
    found = potentials(charges, places, cell, accuracy=1e-12)[:, 0]
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=1e-9)


def test_a_large_cell_is_a_molecule():
    charges, places = random_ions()
    charges = charges - charges.mean()
    moment = (charges * places).sum(0)
    alone = energy(charges, places)
    for length in (25.0, 50.0):  # the dipole moments of the images act on each other
        images = -2.0 * math.pi / 3.0 * float(moment @ moment) / length**3
        found = energy(charges, places, length * CUBE, accuracy=1e-6)
        assert float(found - alone) == pytest.approx(images, rel=0.2 * (25.0 / length) ** 2)


def test_an_ion_in_a_cell_sees_its_images_and_a_background():
    length, sigma = 9.0, 1.3
    ion = torch.full((1, 1), 1.5, dtype=torch.float64)
    found = energy(ion, torch.zeros(1, 3, dtype=torch.float64), length * CUBE, sigma=sigma, accuracy=1e-12)
    expected = 1.5**2 * (-2.8372974795 / (2.0 * length) + math.pi * sigma**2 / length**3)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_a_batch_is_its_frames():
    parts = [random_ions(n, seed=n) for n in (3, 1, 6, 4)]
    cells = [None, None, torch.tensor(CELL, dtype=torch.float64), 7.5 * CUBE]
    for order in ([0, 1, 2, 3], [3, 1, 2, 0], [2], [0]):
        sizes = torch.tensor([len(parts[index][0]) for index in order])
        charges, places = (torch.cat([parts[index][which] for index in order]) for which in (0, 1))
        cell = torch.stack([torch.zeros_like(CUBE) if cells[index] is None else cells[index] for index in order])
        pbc = torch.tensor([[cells[index] is not None] * 3 for index in order])
        batch = torch.arange(len(order)).repeat_interleave(sizes)
        found = smeared_potentials(charges, places, cell, pbc, batch, sizes, sigma=1.0, accuracy=1e-5)
        expected = [potentials(*parts[index], cells[index], accuracy=1e-5) for index in order]
        torch.testing.assert_close(found, torch.cat(expected), rtol=1e-11, atol=1e-11)


def test_channels_do_not_see_each_other():
    charges, places = random_ions(channels=3)
    cell = torch.tensor(CELL, dtype=torch.float64)
    single = [potentials(charges[:, k : k + 1], places, cell) for k in range(3)]
    torch.testing.assert_close(potentials(charges, places, cell), torch.cat(single, dim=1))


def test_waves_come_and_go_without_a_jump():
    charges, places = random_ions()
    cell = torch.tensor(CELL, dtype=torch.float64)
    with torch.no_grad():
        scales = torch.linspace(1.0, 1.2, 201, dtype=torch.float64)
        energies = torch.stack([energy(charges, s * places, s * cell, accuracy=1e-2) for s in scales])
    curvature = energies[2:] - 2.0 * energies[1:-1] + energies[:-2]
    assert float(curvature.abs().max()) < 2e-5  # 5e-3 if the sum ended with a step


@pytest.mark.slow
@pytest.mark.parametrize("periodic", [True, False])
def test_first_and_second_derivatives(periodic):
    charges, places = random_ions(3)
    cell = torch.tensor(CELL, dtype=torch.float64)

    def function(charges, places, cell):
        return energy(charges, places, cell if periodic else None, accuracy=1e-2)

    inputs = [one.clone().requires_grad_() for one in (charges, places, cell)]
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)
