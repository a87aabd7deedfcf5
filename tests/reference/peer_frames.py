"""The frames that the reference numbers belong to, and their neighbour lists.

Imported by the scripts that run the peer, in the peer's environment; nothing here imports equipot.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import numpy as np

ATOMIC_NUMBERS = {"H": 1, "C": 6, "O": 8, "Si": 14}
DATA = Path(__file__).resolve().parents[2] / "examples" / "data"


@dataclasses.dataclass(frozen=True)
class Frame:
    """One configuration of atoms, in Å."""

    description: str
    symbols: tuple[str, ...]
    pos: np.ndarray  # [n_atoms, 3]
    cell: np.ndarray | None = None  # [3, 3], rows are the lattice vectors
    pbc: tuple[bool, bool, bool] = (False, False, False)
    energy: float | None = None  # label of a real frame, eV
    forces: np.ndarray | None = None  # eV/Å, [n_atoms, 3]

    @property
    def has_stress(self) -> bool:
        """Whether a stress is stored: only where all three directions are periodic."""
        return all(self.pbc)


def image_shifts(cell: np.ndarray | None, pbc: tuple[bool, ...], reach: float) -> np.ndarray:
    """Integer lattice translations that can bring an image within ``reach`` Å of a point."""
    if cell is None:
        return np.zeros((1, 3), dtype=np.int64)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    counts = [math.ceil(reach / h) if p else 0 for h, p in zip(heights, pbc, strict=True)]
    return np.array(list(itertools.product(*(range(-n, n + 1) for n in counts))), dtype=np.int64)


def neighbor_list(frame: Frame, r_max: float) -> tuple[np.ndarray, np.ndarray]:
    """All directed pairs closer than ``r_max``, by trying every image.

    Returns:
        ``edge_index`` [2, n_edges] (row 0 the centre, row 1 the neighbour) and
        ``edge_cell_shift`` [n_edges, 3] with
        ``r_ij = pos[j] - pos[i] + edge_cell_shift @ cell``, sorted.
    """
    pos, n_atoms = frame.pos, len(frame.pos)
    # Atoms may lie outside of the cell, so the span of the positions counts as well.
    span = float(np.linalg.norm(pos[:, None] - pos[None, :], axis=-1).max()) if n_atoms else 0.0
    shifts = image_shifts(frame.cell, frame.pbc, r_max + span)
    translations = shifts @ frame.cell if frame.cell is not None else np.zeros((1, 3))
    vectors = pos[None, :, None] - pos[:, None, None] + translations[None, None]  # [i, j, shift]
    distances = np.linalg.norm(vectors, axis=-1)
    inside = distances < r_max
    same = np.arange(n_atoms)
    inside[same, same, int(np.flatnonzero((shifts == 0).all(axis=1))[0])] = False
    centre, neighbour, image = np.nonzero(inside)
    return np.stack([centre, neighbour]), shifts[image]


def random_positions(
    rng: np.random.Generator,
    count: int,
    box: np.ndarray,
    min_distance: float,
    pbc: tuple[bool, bool, bool] = (False, False, False),
) -> np.ndarray:
    """``count`` random points in the parallelepiped ``box``, no two (nor images) too close."""
    translations = image_shifts(box, pbc, min_distance + float(np.abs(box).sum())) @ box
    nonzero = translations[np.linalg.norm(translations, axis=1) > 0]
    if len(nonzero) and np.linalg.norm(nonzero, axis=1).min() < min_distance:
        msg = "the cell is shorter than the smallest distance"
        raise ValueError(msg)
    points: list[np.ndarray] = []
    for _ in range(200_000):
        trial = rng.random(3) @ box
        gaps = [np.linalg.norm(trial - p + translations, axis=1).min() for p in points]
        if not gaps or min(gaps) > min_distance:
            points.append(trial)
        if len(points) == count:
            return np.stack(points)
    msg = f"no room for {count} atoms at {min_distance} Å"
    raise ValueError(msg)


def crystal(symbols: tuple[str, ...], seed: int) -> Frame:
    """A small triclinic cell; about half of the atoms are moved out of it."""
    rng = np.random.default_rng(seed)
    cell = np.array([[2.9, 0.1, -0.2], [0.7, 2.8, 0.0], [-0.5, 0.9, 3.1]])
    pos = random_positions(rng, len(symbols), cell, 1.0, (True, True, True))
    pos = pos + rng.integers(-1, 2, size=pos.shape) @ cell
    text = "triclinic, periodic, every lattice vector shorter than r_max or near it"
    return Frame(f"{text}; atoms partly outside of the cell", symbols, pos, cell, (True,) * 3)


def molecule(symbols: tuple[str, ...], seed: int, min_distance: float = 0.85) -> Frame:
    """A cluster without cell."""
    rng = np.random.default_rng(seed)
    pos = random_positions(rng, len(symbols), np.diag([2.6, 2.9, 3.2]), min_distance)
    return Frame(f"molecule without cell, distances above {min_distance} Å", symbols, pos - 1.3)


def slab(symbols: tuple[str, ...], seed: int) -> Frame:
    """A layer periodic in two directions, with vacuum along the third."""
    rng = np.random.default_rng(seed)
    cell = np.array([[3.1, 0.0, 0.0], [0.8, 3.3, 0.0], [0.0, 0.4, 18.0]])
    box = np.array([cell[0], cell[1], [0.0, 0.0, 4.0]])
    pos = random_positions(rng, len(symbols), box, 1.0, (True, True, False))
    return Frame("slab, periodic along a and b only", symbols, pos, cell, (True, True, False))


def isolated(symbols: tuple[str, ...], seed: int, alone: int) -> Frame:
    """A cluster plus ``alone`` atoms that are far from everything."""
    rng = np.random.default_rng(seed)
    pos = random_positions(rng, len(symbols), np.diag([2.5, 2.5, 2.5]), 0.85)
    for k in range(alone):
        pos[-1 - k] += np.array([0.0, 25.0, -30.0]) * (k + 1)
    return Frame(f"cluster and {alone} atoms without neighbours, no cell", symbols, pos)


def lone(symbol: str) -> Frame:
    """One atom and no edge at all."""
    return Frame("one atom, no edges", (symbol,), np.array([[0.3, -0.2, 0.1]]))


def real(file: str, index: int) -> Frame:
    """A labelled frame of the example data."""
    from ase.io import read

    atoms = read(DATA / file, index=index)
    periodic = tuple(bool(p) for p in atoms.pbc)
    return Frame(
        f"frame {index} of examples/data/{file}",
        tuple(atoms.get_chemical_symbols()),
        atoms.positions.copy(),
        np.array(atoms.cell) if any(periodic) else None,
        periodic,
        float(atoms.get_potential_energy()),
        atoms.get_forces().copy(),
    )


def real_frames() -> dict[str, Frame]:
    """Labelled frames: the peer is trained on those named train, and run on the others."""
    files = {"ethanol": ("ethanol_pbe.extxyz", (3, 60, 120, 90)), "water": ("water_gfn1.extxyz", (5, 70, 110))}
    frames = {}
    for name, (file, indices) in files.items():
        for number, index in enumerate(indices):
            kind = "test" if number == len(indices) - 1 else f"train{number}"
            frames[f"{name}_{kind}"] = real(file, index)
    return frames


def make_frames() -> dict[str, Frame]:
    """Every frame by name."""
    return {
        **real_frames(),
        "ho_crystal": crystal(("H", "O", "H", "O", "H"), 11),
        "ho_molecule": molecule(("O", "H", "H", "O", "H", "H", "O"), 12),
        "ho_slab": slab(("H", "O", "O", "H", "H", "O", "H"), 13),
        "ho_isolated": isolated(("O", "H", "O", "H", "H", "O"), 14, alone=2),
        "ho_contacts": molecule(("O", "H", "H", "O", "H", "O"), 15, min_distance=0.55),
        "ho_lone": lone("O"),
        "hco_crystal": crystal(("C", "O", "H", "H", "O", "C"), 21),
        "hco_molecule": molecule(("C", "C", "O", "H", "H", "H", "O", "H"), 22),
        "hco_slab": slab(("O", "C", "H", "C", "O", "H"), 23),
        "si_crystal": crystal(("Si", "Si", "Si", "Si"), 31),
        "si_molecule": molecule(("Si",) * 6, 32, min_distance=1.1),
        "si_isolated": isolated(("Si",) * 5, 33, alone=1),
    }
