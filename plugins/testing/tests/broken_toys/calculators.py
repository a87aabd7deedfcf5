"""Broken ASE calculators, and a healthy one."""

import time

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from matscipy.neighbours import neighbour_list

from broken_toys.toy import caught_by, toys_of
from equipot_testing.calculators.conformance import CalculatorConformance
from equipot_testing.calculators.potentials import ASEPotential, Results

RADIUS = 4.0


class Pairs(Calculator):
    """Pairs of charged atoms with a smooth cutoff, as it should be."""

    implemented_properties = ("energy", "energies", "forces", "stress")

    def energy_of(self, r):
        return np.exp(-0.4 * r) * (1 - r / RADIUS) ** 4

    def slope_of(self, r):
        return -(0.4 + 4 / (RADIUS - r)) * self.energy_of(r)

    def edges(self, atoms):
        if atoms.pbc.any():
            return neighbour_list("ijdD", atoms, RADIUS)
        vectors = atoms.positions[None] - atoms.positions[:, None]
        distances = np.linalg.norm(vectors, axis=2)
        i, j = np.nonzero((distances < RADIUS) & ~np.eye(len(atoms), dtype=bool))
        return i, j, distances[i, j], vectors[i, j]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = self.results_of(atoms)
        if not atoms.pbc.all():
            self.results.pop("stress", None)

    def results_of(self, atoms):
        i, j, r, vectors = self.edges(atoms)
        charges = 1 + 0.1 * atoms.numbers
        pair = charges[i] * charges[j]
        energies = np.bincount(i, 0.5 * pair * self.energy_of(r), minlength=len(atoms))
        pulls = (pair * self.slope_of(r) / r)[:, None] * vectors
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, pulls)
        results = {"energy": energies.sum(), "energies": energies, "forces": forces}
        if atoms.pbc.all():
            tensor = 0.5 * vectors.T @ pulls / atoms.get_volume()
            results["stress"] = tensor.flat[[0, 4, 8, 5, 2, 1]]
        return results


@caught_by("runs", "energy must be finite")
class NotFinite(Pairs):
    """Divides by zero where atoms are near."""

    def energy_of(self, r):
        return super().energy_of(r) + np.where(r < 2.0, np.nan, 0.0)


@caught_by("inputs_not_changed", "the atoms must not be changed")
class WrapsInPlace(Pairs):
    """Moves the caller's atoms into the cell."""

    def get_property(self, name, atoms=None, allow_calculation=True):
        if atoms.pbc.any():
            atoms.wrap()
        return super().get_property(name, atoms, allow_calculation)


@caught_by("repeatable", "the same frame again")
class Remembers(Pairs):
    """Answers from memory when the number of atoms is the same."""

    def check_state(self, atoms, tol=1e-15):
        same = self.atoms is not None and len(self.atoms) == len(atoms) and (self.atoms.pbc == atoms.pbc).all()
        return [] if same and len(atoms) == 8 and np.ptp((self.atoms.positions - atoms.positions), axis=0).max() < 0.5 \
            else super().check_state(atoms, tol)  # fmt: skip


@caught_by("many_calls", "the same frame after 100 calls")
class Tired(Pairs):
    """Approximates small molecules after its fortieth call on one."""

    calls = 0

    def results_of(self, atoms):
        results = super().results_of(atoms)
        self.calls += len(atoms) == 3
        return {**results, "energy": results["energy"] * (1.001 if self.calls > 40 and len(atoms) == 3 else 1.0)}


@caught_by("interleaved_frames", "the molecule with its elements in another order after a molecule")
class KeepsElements(Pairs):
    """Keeps the elements of the last frame while the positions stay the same."""

    last = None

    def results_of(self, atoms):
        if self.last is not None and np.array_equal(self.last.positions, atoms.positions):
            kept = atoms.copy()
            kept.numbers = self.last.numbers
            return super().results_of(kept)
        self.last = atoms.copy()
        return super().results_of(atoms)


@caught_by("two_threads", "while another thread computes another frame")
class SharedArrays(Pairs):
    """Keeps the frame in an attribute of the class while it computes."""

    def results_of(self, atoms):
        SharedArrays.given = atoms
        time.sleep(1e-2)
        return super().results_of(SharedArrays.given)


@caught_by("symmetric_structures", "values are not finite")
class WithoutEpsilon(Pairs):
    """Divides by the norm of a sum of vectors, which vanishes at symmetric sites."""

    def results_of(self, atoms):
        results = super().results_of(atoms)
        i, _, _, vectors = self.edges(atoms)
        total = np.zeros((len(atoms), 3))
        np.add.at(total, i, vectors)
        vanishes = (np.linalg.norm(total, axis=1) < 1e-9) & (np.bincount(i, minlength=len(atoms)) > 0)
        return {**results, "forces": np.where(vanishes[:, None], np.nan, results["forces"])}


@caught_by("permutation", "forces must follow the atoms")
class Sorting(Pairs):
    """Gives forces in the order of elements."""

    def results_of(self, atoms):
        results = super().results_of(atoms)
        return {**results, "forces": results["forces"][np.argsort(atoms.numbers, kind="stable")]}


@caught_by("rotation_and_inversion", "rotation, crystal: energy: differs by")
class Upright(Pairs):
    """Is stiffer along z."""

    def results_of(self, atoms):
        results = super().results_of(atoms)
        i, _, r, vectors = self.edges(atoms)
        energies = results["energies"] + np.bincount(
            i, 0.01 * self.energy_of(r) * vectors[:, 2] ** 2, minlength=len(atoms)
        )
        return {**results, "energies": energies, "energy": energies.sum()}


@caught_by("rotation_and_inversion", "inversion, crystal: energy: differs by")
class Handed(Pairs):
    """Adds a volume that changes its sign in a mirror."""

    def results_of(self, atoms):
        results = super().results_of(atoms)
        i, _, r, vectors = self.edges(atoms)
        sums = []
        for power in range(3):
            total = np.zeros((len(atoms), 3))
            np.add.at(total, i, vectors * (self.energy_of(r) * r**power)[:, None])
            sums.append(total)
        volumes = (np.cross(sums[0], sums[1]) * sums[2]).sum(1)
        energies = results["energies"] + 1e-3 * volumes
        return {**results, "energies": energies, "energy": energies.sum()}


@caught_by("translation", "translation by 40 Å, crystal")
class SinglePositions(Pairs):
    """Keeps positions in float32."""

    def results_of(self, atoms):
        rounded = atoms.copy()
        rounded.positions = atoms.positions.astype(np.float32)
        return super().results_of(rounded)


@caught_by("image_wrapping", "periodic images")
class InsideOnly(Pairs):
    """Forgets periodic images of atoms that lie far outside the cell."""

    def results_of(self, atoms):
        if not atoms.pbc.any():
            return super().results_of(atoms)
        places = atoms.get_scaled_positions(wrap=False)
        centred = places - np.median(places, axis=0)
        outside = atoms.copy()
        outside.positions += np.where(np.abs(centred) > 1.0, 1e3, 0.0) @ np.eye(3)
        return super().results_of(outside)


@caught_by("extensivity", "supercell of 2 cells: energy")
class PerRootAtom(Pairs):
    """Divides by the root of the number of atoms."""

    def results_of(self, atoms):
        return {key: value / np.sqrt(len(atoms)) for key, value in super().results_of(atoms).items()}


@caught_by("isolated_atom", "IndexError")
class NeedsNeighbours(Pairs):
    """Takes the nearest neighbour of an atom that has none."""

    def edges(self, atoms):
        found = super().edges(atoms)
        if len(atoms) == 1 and not len(found[0]):
            raise IndexError("index 0 is out of bounds for axis 0 with size 0")
        return found


@caught_by("smooth_at_cutoff", "energy must be continuous")
class CutOff(Pairs):
    """Is cut off."""

    def energy_of(self, r):
        return np.exp(-0.4 * r)

    def slope_of(self, r):
        return -0.4 * np.exp(-0.4 * r)


@caught_by("net_force", "net force, crystal: sum")
class Unequal(Pairs):
    """Pulls heavy atoms harder than they pull."""

    def results_of(self, atoms):
        results = super().results_of(atoms)
        return {**results, "forces": results["forces"] * (1 + 0.01 * atoms.numbers[:, None])}


@caught_by("forces", "forces of the crystal must be")
class Doubled(Pairs):
    """Counts each edge twice in the forces."""

    def results_of(self, atoms):
        results = super().results_of(atoms)
        return {**results, "forces": 2 * results["forces"]}


@caught_by("stress", "stress must be dE/d")
class StressReversed(Pairs):
    """Gives the virial's sign to the stress."""

    def results_of(self, atoms):
        results = super().results_of(atoms)
        return {**results, "stress": -results["stress"]} if "stress" in results else results


@caught_by("rotation_and_inversion", "stress must turn along")
class VoigtMixed(Pairs):
    """Takes xy for yz in Voigt's order."""

    def results_of(self, atoms):
        results = super().results_of(atoms)
        return {**results, "stress": results["stress"][[0, 1, 2, 5, 4, 3]]} if "stress" in results else results


@caught_by("stress_of_molecule", "stress of a molecule: differs by 1e-07")
class PaddingBox(Pairs):
    """Gives molecules the stress of a box around them."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results.setdefault("stress", np.full(6, 1e-7))


@caught_by("sum_of_energies", "sum of energies, crystal: differs by")
class Unshifted(Pairs):
    """Leaves the shifts out of the energies of atoms."""

    def results_of(self, atoms):
        results = super().results_of(atoms)
        return {**results, "energy": results["energy"] - 13.6 * len(atoms)}


@caught_by("batch_equals_singles", "frame 1 of a batch: energy")
class Leaking(ASEPotential):
    """Sees atoms of other frames of the batch."""

    batched = True

    def __init__(self):
        super().__init__(Pairs())

    def evaluate(self, frames):
        results = super().evaluate(frames)
        extra = 1e-3 * (len(frames) - 1)
        return [Results(one.energy + extra, one.forces, one.stress, one.energies) for one in results]


def kit_of(calculator, **attributes):
    known = {"target": calculator, "name": calculator.__name__, "dtype": "float64", **attributes}
    return type(f"Kit{calculator.__name__}", (CalculatorConformance,), known)


TOYS = toys_of("calculator", __name__, kit_of)
