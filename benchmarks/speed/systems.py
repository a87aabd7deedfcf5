"""Frames that both sides get: a box of water of any size, or molecules, with their edges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SPACING = 3.1048
"""Å between molecules on a simple cubic lattice: water at 1 g/cm³."""

MONOMER = np.array([[0.0, 0.0, 0.0], [0.9572, 0.0, 0.0], [-0.24, 0.9266, 0.0]])
ETHANOL = Path(__file__).parents[2] / "examples" / "data" / "ethanol_pbe.extxyz"


def water(counts: tuple[int, int, int] = (4, 4, 4), seed: int = 1) -> Any:
    """Molecules turned at random, on lattice sites with some disorder, as ASE Atoms.

    Args:
        counts: Molecules along each cell vector.
        seed: Of places and orientations.
    """
    from ase import Atoms

    random = np.random.default_rng(seed)
    sites = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1).reshape(-1, 3) * SPACING
    quaternions = random.normal(size=(len(sites), 4))
    turned = np.einsum("nij,aj->nai", _rotations(quaternions), MONOMER)
    positions = (sites + random.uniform(-0.15, 0.15, sites.shape))[:, None] + turned
    positions += random.normal(scale=0.02, size=positions.shape)
    cell = np.array(counts) * SPACING
    return Atoms("OHH" * len(sites), positions=positions.reshape(-1, 3), cell=cell, pbc=True)


def _rotations(quaternions: np.ndarray) -> np.ndarray:
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1)[:, None]).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def cluster(seed: int, n_atoms: int = 15, edge: float = 5.0) -> Any:
    """A made-up molecule: atoms C, H, O at random places that are at least 1.1 Å apart, about 155 edges below 4 Å."""
    from ase import Atoms

    random = np.random.default_rng(seed)
    positions: list[np.ndarray] = []
    while len(positions) < n_atoms:
        place = random.uniform(0.0, edge, 3)
        if all(np.linalg.norm(place - other) > 1.1 for other in positions):
            positions.append(place)
    return Atoms(random.choice(["C", "H", "O"], n_atoms), positions)


def ethanol(count: int) -> list[Any]:
    """Frames of ethanol, nine atoms each."""
    from ase.io import read

    frames: list[Any] = read(ETHANOL, f":{count}")
    return frames


def three_atoms() -> list[Any]:
    """One molecule of water: so small that only the fixed cost of a call is left."""
    from ase import Atoms

    return [Atoms("OHH", MONOMER)]


SYSTEMS: dict[str, Callable[[], list[Any]]] = {
    "water": lambda: [water()],
    "molecules": lambda: ethanol(32),
    "ethanol": lambda: ethanol(1),
    "small": lambda: [cluster(seed) for seed in range(5)],
    "three_atoms": three_atoms,
}
"""Frames of each system, as ASE Atoms: 64 molecules of water in a periodic cell, 32 and one of ethanol, five made-up
molecules of 15 atoms, one molecule of water alone."""


def lattice(n_atoms: int) -> tuple[int, int, int]:
    """Numbers of molecules along the cell vectors for about ``n_atoms``, none below 4."""
    edge = max(4, round((n_atoms / 3) ** (1 / 3)))
    return (edge, edge, max(4, round(n_atoms / 3 / edge**2)))


def write(path: Path, frames: list[Any], type_names: list[str], r_max: float) -> dict[str, int]:
    """Store frames as one batch with edges and labels; returns its sizes.

    Labels are random numbers: only the time of a training step is measured, not what it learns.
    """
    from equipot.data import frame_from_atoms
    from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
    from equipot.graph import collate

    mapper, edges = ChemicalSpeciesToAtomTypeMapper(type_names), NeighborListTransform(r_max)
    batch = collate([edges(mapper(frame_from_atoms(atoms, {}, "benchmark")[0])) for atoms in frames])
    arrays = {key: value.numpy() for key, value in batch.items()}
    random = np.random.default_rng(7)
    n_atoms, n_frames = len(arrays["batch"]), len(arrays["num_atoms"])
    arrays["energy_label"] = random.normal(size=n_frames)
    arrays["forces_label"] = random.normal(size=(n_atoms, 3))
    np.savez(path, **arrays)
    return {"atoms": n_atoms, "frames": n_frames, "edges": arrays["edge_index"].shape[1]}
