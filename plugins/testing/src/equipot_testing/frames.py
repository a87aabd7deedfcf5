"""Structures to test on: bulk, slab, wire, molecule and lone atom, made from a seed.

A ``Structure`` is geometry only; ``graph`` adds the edges a model needs, found by brute force.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

import numpy as np
import torch

from equipot.graph import Graph, collate, edge_set_key
from equipot.model import BOUNDARIES
from equipot_testing._checklist import NotApplicable
from equipot_testing.neighbors import brute_force_neighbors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from equipot.model import ModelInfo

CELL = ((4.9, 0.0, 0.0), (1.1, 4.6, 0.0), (-0.7, 0.9, 5.2))
"""A triclinic cell in Å, smaller than twice the usual cutoff radii."""

CLOSEST = 1.15
"""Smallest distance between atoms, Å."""


@dataclasses.dataclass(frozen=True)
class Structure:
    """Atoms in a cell."""

    positions: torch.Tensor
    """Å, float64, shape [n_atoms, 3]."""
    types: torch.Tensor
    """Atom types, int64, shape [n_atoms]."""
    cell: torch.Tensor
    """Cell vectors as rows, Å, shape [3, 3]; zeros without a cell."""
    pbc: tuple[bool, bool, bool]
    """Periodic directions."""

    def __len__(self) -> int:
        return self.positions.shape[0]

    @property
    def volume(self) -> float:
        """Volume of the cell in Å³; 0 without a cell."""
        return float(torch.linalg.det(self.cell).abs())

    @property
    def boundary(self) -> str:
        """Its boundary condition, one of ``equipot.model.BOUNDARIES``."""
        return BOUNDARIES[sum(self.pbc)]

    def moved(self, displacement: torch.Tensor) -> Structure:
        """The structure with atoms displaced by [n_atoms, 3] or [3] Å."""
        return dataclasses.replace(self, positions=self.positions + displacement)

    def mapped(self, matrix: torch.Tensor) -> Structure:
        """Positions and cell turned by a linear map: r becomes ``matrix @ r``."""
        return dataclasses.replace(self, positions=self.positions @ matrix.T, cell=self.cell @ matrix.T)

    def permuted(self, order: torch.Tensor) -> Structure:
        """The same atoms in another order."""
        return dataclasses.replace(self, positions=self.positions[order], types=self.types[order])

    def shifted_by_images(self, shifts: torch.Tensor) -> Structure:
        """Each atom replaced by one of its periodic images; integer shifts [n_atoms, 3]."""
        periodic = torch.tensor(self.pbc, dtype=torch.float64)
        return self.moved((shifts.to(torch.float64) * periodic) @ self.cell)

    def repeated(self, counts: tuple[int, int, int]) -> Structure:
        """A supercell; the copies of the whole cell follow each other."""
        offsets = [torch.tensor(s, dtype=torch.float64) @ self.cell for s in itertools.product(*map(range, counts))]
        return Structure(
            torch.cat([self.positions + offset for offset in offsets]),
            self.types.repeat(len(offsets)),
            self.cell * torch.tensor(counts, dtype=torch.float64)[:, None],
            self.pbc,
        )

    def graph(self, info: ModelInfo) -> Graph:
        """The input of a model with this info.

        Args:
            info: Types, radii and named edge sets of the model.

        Returns:
            A batch of one frame, edges found by brute force; neutral and a singlet, if the model reads that.
        """
        n_atoms = len(self)
        numbers = torch.tensor(info.atomic_numbers or tuple(range(1, len(info.type_names) + 1)), dtype=torch.int64)
        graph: Graph = {
            "positions": self.positions.clone(),
            "cell": self.cell.clone()[None],
            "pbc": torch.tensor([self.pbc]),
            "atomic_numbers": numbers[self.types],
            "atom_types": self.types.clone(),
            "batch": torch.zeros(n_atoms, dtype=torch.int64),
            "num_atoms": torch.tensor([n_atoms]),
        }
        radii: dict[str, float | np.ndarray] = {"": info.r_max, **dict(info.edge_sets)}
        if info.cutoffs is not None:
            radii[""] = np.array(info.cutoffs)[self.types.numpy()[:, None], self.types.numpy()[None, :]]
        neutral = {"total_charge": torch.zeros(1, dtype=torch.float64), "spin_multiplicity": torch.ones(1).long()}
        graph |= {key: value for key, value in neutral.items() if key in info.inputs}
        for name, radius in radii.items():
            centre, neighbour, shift = brute_force_neighbors(
                self.positions.detach().numpy(), self.cell.detach().numpy(), np.array(self.pbc), radius
            )
            graph[edge_set_key("edge_index", name)] = torch.from_numpy(np.stack([centre, neighbour]))
            graph[edge_set_key("edge_cell_shift", name)] = torch.from_numpy(shift).to(torch.float64)
        return graph


def structures_for(info: ModelInfo) -> dict[str, Structure]:
    """The standard structures that a model serves, and more of their kind if these are fewer than four frames."""
    n_types = len(info.type_names)
    found = {name: one for name, one in standard_structures(n_types).items() if served([one], info)}
    kind = next(iter(found.values()))
    for size in () if len(found) > 3 else (6, 4, 3):
        found[f"{kind.boundary} of {size} atoms"] = random_structure(size, n_types, seed=size, pbc=kind.pbc)
    return found


def served(structures: Iterable[Structure], info: ModelInfo) -> list[Structure]:
    """Those of the structures whose boundary conditions a model serves."""
    return [one for one in structures if all(one.boundary in allowed for _, allowed in info.boundary)]


def batch_of(structures: Iterable[Structure], info: ModelInfo) -> Graph:
    """One batch of several structures."""
    return collate([structure.graph(info) for structure in structures])


def placed(structures: Iterable[Structure], info: ModelInfo) -> list[Structure]:
    """The structures, those without a cell as a model serves them: in a large cell if it is periodic frames only.

    Raises:
        NotApplicable: If the model does not serve one of them, for which there is no other frame.
    """
    found = []
    for given in structures:
        structure = given
        kind = next(kind for kind in BOUNDARIES if all(kind in allowed for _, allowed in info.boundary))
        if not any(structure.pbc) and kind != "molecule":
            reach = max([info.r_max, *(radius for _, radius in info.edge_sets)])
            extent = float((structure.positions.amax(0) - structure.positions.amin(0)).max())
            periodic = BOUNDARIES.index(kind)
            structure = dataclasses.replace(
                structure,
                cell=(extent + 3.1 * reach) * torch.eye(3, dtype=torch.float64),
                pbc=(periodic > 0, periodic > 1, periodic > 2),
            )
        if not served([structure], info):
            raise NotApplicable(f"the model is not for a {structure.boundary}")
        found.append(structure)
    return found


def random_structure(
    n_atoms: int, n_types: int, *, seed: int, pbc: tuple[bool, bool, bool], cell: torch.Tensor | None = None
) -> Structure:
    """Atoms at random places, none too close to another.

    Args:
        n_atoms: Number of atoms.
        n_types: Number of types; each occurs if there are enough atoms.
        seed: Seed for places and types.
        pbc: Periodic directions.
        cell: Cell vectors as rows, Å; default ``CELL``. Without periodic directions it is only the
            region in which atoms are placed, and the structure has no cell.

    Returns:
        The structure; the same for the same arguments.

    Raises:
        ValueError: If the atoms do not fit.
    """
    generator = torch.Generator().manual_seed(seed)
    region = torch.tensor(CELL, dtype=torch.float64) if cell is None else cell
    placed: list[torch.Tensor] = []
    for _ in range(500):
        if len(placed) == n_atoms:
            break
        place = torch.rand(3, generator=generator, dtype=torch.float64) @ region
        trial = torch.stack([*placed, place])
        if len(brute_force_neighbors(trial.numpy(), region.numpy(), np.array(pbc), CLOSEST)[0]) == 0:
            placed.append(place)
    if len(placed) < n_atoms:
        raise ValueError(f"random_structure: {n_atoms} atoms do not fit in the cell {region.tolist()}")
    types = (torch.arange(n_atoms) % n_types)[torch.randperm(n_atoms, generator=generator)]
    return Structure(torch.stack(placed), types, region if any(pbc) else torch.zeros_like(region), pbc)


def bulk(n_types: int, *, n_atoms: int = 7, seed: int = 11) -> Structure:
    """A triclinic crystal of random places, periodic in all directions."""
    return random_structure(n_atoms, n_types, seed=seed, pbc=(True, True, True))


def slab(n_types: int, *, n_atoms: int = 6, seed: int = 12) -> Structure:
    """Periodic in two directions, with a cell vector that spans the vacuum."""
    return random_structure(n_atoms, n_types, seed=seed, pbc=(True, True, False))


def wire(n_types: int, *, n_atoms: int = 5, seed: int = 13) -> Structure:
    """Periodic along the second cell vector only."""
    return random_structure(n_atoms, n_types, seed=seed, pbc=(False, True, False))


def molecule(n_types: int, *, n_atoms: int = 5, seed: int = 14) -> Structure:
    """No periodic direction and no cell."""
    region = 2.6 * torch.eye(3, dtype=torch.float64)
    return random_structure(n_atoms, n_types, seed=seed, pbc=(False, False, False), cell=region)


def crystals(n_types: int) -> list[Structure]:
    """Crystals whose cells differ in volume and shape: one smaller than any cutoff radius, one larger."""
    cells = (
        ((2.6, 0.0, 0.0), (0.4, 2.9, 0.0), (0.3, -0.5, 3.1)),
        CELL,
        ((9.1, 0.0, 0.0), (0.0, 8.3, 0.0), (0.0, 0.0, 10.2)),
    )
    pbc = (True, True, True)
    return [
        random_structure(n_atoms, n_types, seed=16, pbc=pbc, cell=torch.tensor(cell, dtype=torch.float64))
        for n_atoms, cell in zip((2, 6, 9), cells, strict=True)
    ]


def lone_atom(atom_type: int = 0) -> Structure:
    """One atom without neighbours, away from the origin."""
    return Structure(
        torch.tensor([[0.3, -0.2, 0.7]], dtype=torch.float64),
        torch.tensor([atom_type]),
        torch.zeros(3, 3, dtype=torch.float64),
        (False, False, False),
    )


def cluster(positions: Sequence[Sequence[float]], types: Sequence[int]) -> Structure:
    """Given atoms without a cell."""
    return Structure(
        torch.tensor(positions, dtype=torch.float64).reshape(-1, 3),
        torch.tensor(types, dtype=torch.int64),
        torch.zeros(3, 3, dtype=torch.float64),
        (False, False, False),
    )


def standard_structures(n_types: int) -> dict[str, Structure]:
    """Bulk, slab, wire, molecule and lone atom."""
    return {
        "bulk": bulk(n_types),
        "slab": slab(n_types),
        "wire": wire(n_types),
        "molecule": molecule(n_types),
        "lone atom": lone_atom(n_types - 1),
    }
