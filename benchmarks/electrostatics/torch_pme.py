"""Compare the potentials of equipot-electrostatics with those of torch-pme, which equipot does not need.

    pip install torch-pme==0.5.0
    python benchmarks/electrostatics/torch_pme.py

Prints, for several values of ``accuracy``, the largest difference in units of the largest potential, for twelve random
charges in a triclinic cell of 364 Å³.
"""

from __future__ import annotations

import torch
from torchpme import CoulombPotential, EwaldCalculator

from equipot_electrostatics import smeared_potentials

CELL = ((7.0, 0.0, 0.0), (1.5, 6.5, 0.0), (-1.0, 1.2, 8.0))
N_ATOMS = 12
SIGMA = 1.0  # Å


def main() -> None:
    """Print a line for each accuracy."""
    generator, kind = torch.Generator().manual_seed(0), torch.float64
    cell = torch.tensor(CELL, dtype=kind)
    positions = torch.rand(N_ATOMS, 3, generator=generator, dtype=kind) @ cell
    charges = torch.randn(N_ATOMS, 1, generator=generator, dtype=kind)
    batch, num_atoms = torch.zeros(N_ATOMS, dtype=torch.int64), torch.tensor([N_ATOMS])
    potential = CoulombPotential(smearing=SIGMA).to(kind)
    # The part of the sum over waves alone, without the factor 1/2 and the background that makes charges point charges.
    waves = EwaldCalculator(potential, lr_wavelength=0.5, full_neighbor_list=True).to(kind)
    expected = 2.0 * waves._compute_kspace(charges, cell, positions)  # noqa: SLF001 - its public sum adds point charges
    expected = expected + 2.0 * potential.background_correction() * charges.sum() / torch.linalg.det(cell)
    for accuracy in (1e-3, 1e-4, 1e-5, 1e-8):
        geometry = (positions, cell[None], torch.tensor([[True] * 3]), batch, num_atoms)
        found = smeared_potentials(charges, *geometry, sigma=SIGMA, accuracy=accuracy)
        print(f"accuracy {accuracy:g}: {float((found - expected).abs().max() / expected.abs().max()):.1e}")


if __name__ == "__main__":
    main()
