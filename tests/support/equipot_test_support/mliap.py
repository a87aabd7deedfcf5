"""Stand-ins for what LAMMPS gives to its ML-IAP interface: atoms of one process, their ghosts and their pairs."""

import numpy as np
import torch

from equipot.neighbors import neighbor_list


class Arrays:
    """As on the CPU: results can be written and not read, and there is no exchange of ghosts.

    Args:
        atoms: The whole system.
        owned: Indices of the atoms of this process.
        elements: Order of the elements.
        cutoff: Of the pairs, Å.
    """

    def __init__(self, atoms, owned, elements, cutoff):
        (centre, neighbour), shift = neighbor_list(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
        mine = {int(atom): place for place, atom in enumerate(owned)}
        self.owners, places, pairs = list(mine), {}, []
        for i, j, shifted in zip(centre, neighbour, shift, strict=True):
            if int(i) not in mine:
                continue
            image = (int(j), *map(int, shifted))
            if not any(image[1:]) and image[0] in mine:
                place = mine[image[0]]
            else:
                place = places.setdefault(image, len(mine) + len(places))
                self.owners += [image[0]] * (place == len(self.owners))
            vector = atoms.positions[j] + shifted @ atoms.cell.array - atoms.positions[i]
            pairs.append((mine[int(i)], place, vector))
        np.random.default_rng(0).shuffle(pairs)  # LAMMPS promises no order
        self.nlocal, self.ntotal, self.npairs = len(mine), len(self.owners), len(pairs)
        self.pair_i = np.array([pair[0] for pair in pairs], dtype=np.int32)
        self.pair_j = np.array([pair[1] for pair in pairs], dtype=np.int32)
        self.rij = np.array([pair[2] for pair in pairs]).reshape(-1, 3)
        self.elems = np.array([elements.index(atoms.symbols[owner]) for owner in self.owners], dtype=np.int32)

    @property
    def eatoms(self):
        raise AttributeError("eatoms can only be written")

    @eatoms.setter
    def eatoms(self, values):
        self.written = np.array(values)

    def update_pair_forces(self, forces):
        assert isinstance(forces, np.ndarray)
        self.fij = forces

    def forces(self, n_atoms):
        """What this process adds to the forces on all atoms."""
        found = np.zeros((n_atoms, 3))
        owners = np.array(self.owners)
        np.add.at(found, owners[self.pair_i], self.fij)
        np.add.at(found, owners[self.pair_j], -self.fij)
        return found

    def virial(self):
        """What this process adds to the virial."""
        return -np.einsum("pi,pj->ij", self.rij, self.fij)


class Tensors(Arrays):
    """As with KOKKOS: tensors, results written in place, and features of ghosts exchanged; for one process."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.pair_i, self.pair_j, self.rij, self.elems = (
            torch.from_numpy(one) for one in (self.pair_i, self.pair_j, self.rij, self.elems)
        )
        self.lent = torch.zeros(self.nlocal, dtype=torch.float64)
        self.exchanges = [0, 0]
        self.places = torch.tensor([self.owners.index(owner) for owner in self.owners])

    @property
    def eatoms(self):
        return self.lent

    @property
    def written(self):
        return self.lent.numpy()

    update_pair_forces = None

    def update_pair_forces_gpu(self, forces):
        assert isinstance(forces, torch.Tensor)
        self.fij = forces.numpy()

    def forward_exchange(self, given, filled, width):
        assert given.shape == filled.shape == (self.ntotal, width)
        filled.copy_(given[self.places])
        self.exchanges[0] += 1

    def reverse_exchange(self, given, collected, width):
        assert given.shape == collected.shape == (self.ntotal, width)
        collected.copy_(given)
        collected.index_add_(0, self.places[self.nlocal :], given[self.nlocal :])
        self.exchanges[1] += 1
