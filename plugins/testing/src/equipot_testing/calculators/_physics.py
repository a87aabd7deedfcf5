"""Checks of calculators: the laws of physics for every interatomic potential."""

from __future__ import annotations

import itertools

import numpy as np

from equipot_testing._checklist import NotApplicable, after, check_that
from equipot_testing.calculators._cutoff import check_smooth_dimer
from equipot_testing.calculators._derivatives import fd_forces, fd_stress, moved
from equipot_testing.calculators._kit import CalculatorKit
from equipot_testing.calculators._structures import bulk, dimer, lone_atom, orthogonal_matrices, rotated, symmetric


class CalculatorPhysicsChecks(CalculatorKit):
    """The laws that hold for every frame."""

    def test_runs(self) -> None:
        """A crystal, a molecule and a slab have finite energies and forces, and the crystal has a finite stress.

        Tolerance: none.
        Why: otherwise nothing else can be judged.
        Goes wrong: unsupported elements (see ``--elements``); NaN for atoms that are close together.
        """
        for name, frame in self.frames().items():
            (result,) = self.results([frame])
            shape = (len(frame), 3)
            check_that(np.isfinite(result.energy), f"{name}: energy must be finite, got {result.energy}")
            check_that(
                result.forces.shape == shape, f"{name}: forces must have shape {shape}, got {result.forces.shape}"
            )
            check_that(bool(np.isfinite(result.forces).all()), f"{name}: forces must be finite")
            if name == "crystal" and result.stress is not None:
                check_that(bool(np.isfinite(result.stress).all()), "crystal: stress must be finite")
        precision = self.precision
        self.note = f"computes in {precision.dtype}, energies are rounded to {precision.noise:.1g} eV"

    def test_inputs_not_changed(self) -> None:
        """A call does not change positions, cell, atomic numbers and periodic directions of the atoms.

        Tolerance: none.
        Why: they belong to the integrator.
        Goes wrong: atoms wrapped into the cell in place.
        """
        for name, frame in self.frames().items():
            given = moved(frame, np.array([25.0, -3.0, 11.0]))
            kept = given.copy()
            self.potential.evaluate([given])
            same = kept == given and np.array_equal(kept.positions, given.positions)
            check_that(same, f"{name}: the atoms must not be changed")

    def test_repeatable(self) -> None:
        """The same frame gives the same results again, also after other frames.

        Tolerance: rounding; a frame after itself, after another of the same size, and after other sizes.
        Why: results must not depend on earlier calls, but caches and neighbour lists with a skin often do.
        Goes wrong: a cache that only compares the number of atoms; a skin list that is not updated.
        """
        frame, other = self.frames()["crystal"], dimer(self.elements[0], self.elements[0], 1.5)
        jiggled = moved(frame, np.random.default_rng(4).normal(0.0, 0.05, frame.positions.shape))
        first, second, _, second_again, _, first_again = self.results([frame, jiggled, other, jiggled, other, frame])
        self.same("the same frame again", second_again, second)
        self.same("the same frame again", first_again, first)

    def test_permutation(self) -> None:
        """The order of atoms does not matter.

        Tolerance: rounding of the energy (0.1 meV in float32); forces 1e-8 relative in float64, 2e-4 in float32.
        Why: engines reorder atoms.
        Goes wrong: atoms are sorted by element internally, and results not sorted back.
        """
        for name, frame in self.frames().items():
            order = np.random.default_rng(6).permutation(len(frame))
            before, permuted = self.results([frame, frame[order]])
            law = f"permutation, {name}"
            self.close(
                f"{law}: energy", permuted.energy, before.energy, relative=0.0, floor=self._energy(before.energy)
            )
            self._forces(f"{law}: forces must follow the atoms", permuted.forces, before.forces[order])

    def test_translation(self) -> None:
        """Moving all atoms by about 40 Å changes nothing.

        Tolerance: rounding of the energy (0.1 meV in float32); forces 1e-8 relative in float64, 2e-4 in float32.
        Why: only then momentum is conserved; positions in float32 lose digits far from the origin.
        Goes wrong: positions cast to float32 before differences are taken.
        """
        for name, frame in self.frames().items():
            before, shifted = self.results([frame, moved(frame, np.array([40.0, -40.3, 39.1]))])
            law = f"translation by 40 Å, {name}"
            self.close(f"{law}: energy", shifted.energy, before.energy, relative=0.0, floor=self._energy(before.energy))
            self._forces(f"{law}: forces must not change", shifted.forces, before.forces)

    @after("translation")
    def test_rotation_and_inversion(self) -> None:
        """Energies are invariant; forces and stress rotate with the atoms, also for mirror images.

        Tolerance: rounding of the energy (0.1 meV in float32); forces and stress 1e-8 relative, 2e-4 in float32.
        Why: physics does not depend on orientation or handedness.
        Goes wrong: a cell in standard form with forces not rotated back; an only approximately equivariant model.
        """
        for name, frame in self.frames().items():
            (before,) = self.results([frame])
            for what, matrix in orthogonal_matrices().items():
                (turned,) = self.results([rotated(frame, matrix)])
                law = f"{what}, {name}"
                self.close(f"{law}: energy", turned.energy, before.energy, relative=0.0,
                           floor=self._energy(before.energy))  # fmt: skip
                self._forces(f"{law}: forces must turn along", turned.forces, before.forces @ matrix.T)
                if before.stress is not None and turned.stress is not None and frame.pbc.all():
                    expected = matrix @ before.stress @ matrix.T
                    self._forces(f"{law}: stress must turn along", turned.stress, expected)

    @after("translation")
    def test_image_wrapping(self) -> None:
        """Replacing atoms by their periodic images changes nothing.

        Tolerance: rounding of the energy (0.1 meV in float32); forces 1e-8 relative in float64, 2e-4 in float32.
        Why: engines wrap atoms or let them drift.
        Goes wrong: neighbour lists that assume atoms inside the cell.
        """
        frame = self.frames()["crystal"]
        shifts = np.random.default_rng(8).integers(-2, 3, (len(frame), 3))
        before, wrapped = self.results([frame, moved(frame, shifts @ np.asarray(frame.cell))])
        law = "periodic images"
        self.close(f"{law}: energy", wrapped.energy, before.energy, relative=0.0, floor=self._energy(before.energy))
        self._forces(f"{law}: forces must not change", wrapped.forces, before.forces)

    @after("image_wrapping")
    def test_extensivity(self) -> None:
        """A supercell has a multiple of the energy, the same forces and the same stress.

        Tolerance: rounding, of the larger energy; forces and stress 1e-8 relative in float64, 2e-4 in float32.
        Why: energies per atom must not depend on the size of the simulation cell.
        Goes wrong: cells smaller than the cutoff radius, where further images are forgotten.
        """
        frame = bulk(self.elements, n_atoms=4)
        (single,) = self.results([frame])
        for counts in ((2, 1, 1), (1, 2, 2)):
            copies = int(np.prod(counts))
            (big,) = self.results([frame.repeat(counts)])
            law = f"supercell of {copies} cells"
            floor = copies * self._energy(single.energy)
            self.close(f"{law}: energy", big.energy, copies * single.energy, relative=0.0, floor=floor)
            self._forces(f"{law}: forces must repeat", big.forces, np.tile(single.forces, (copies, 1)))
            if single.stress is not None and big.stress is not None:
                self._forces(f"{law}: stress must not change", big.stress, single.stress)

    def test_batch_equals_singles(self) -> None:
        """Frames computed in one call have the same results as alone.

        Tolerance: rounding; does not apply if frames are computed one by one.
        Why: screening and parallel dynamics run in batches.
        Goes wrong: neighbours in other frames.
        """
        if not self.potential.batched:
            raise NotApplicable("frames are computed one by one")
        frames = [bulk(self.elements), bulk(self.elements, n_atoms=5, seed=9), bulk(self.elements, n_atoms=3, seed=10)]
        together = self.potential.evaluate([frame.copy() for frame in frames])
        for number, (found, alone) in enumerate(zip(together, self.results(frames), strict=True), start=1):
            self.same(f"frame {number} of a batch", found, alone)

    def test_isolated_atom(self) -> None:
        """A lone atom has no force, and the same energy in a large periodic cell.

        Tolerance: rounding of the energy (0.1 meV in float32); forces 1e-10 eV/Å.
        Why: dissociation must end at the energies of isolated atoms.
        Goes wrong: empty neighbour lists; 0/0; the atom counted as its own neighbour.
        """
        for element in dict.fromkeys(self.elements):
            alone, boxed = lone_atom(element), lone_atom(element)
            boxed.set_cell(40.0 * np.eye(3))
            boxed.pbc = True
            free, periodic = self.results([alone, boxed])
            law = f"lone {element} atom"
            for result in (free, periodic):
                self.close(f"{law}: force", result.forces, np.zeros((1, 3)), relative=0.0, floor=1e-10)
            floor = self._energy(free.energy)
            self.close(f"{law}: energy in a periodic cell", periodic.energy, free.energy, relative=0.0, floor=floor)

    def test_smooth_at_cutoff(self) -> None:
        """Energy and forces of a dimer are continuous where its atoms stop interacting.

        Tolerance: jumps of 1e-4 of the energy and 1e-3 of the force at half the distance; the distance is searched for.
        Why: otherwise each crossing adds or removes energy in molecular dynamics.
        Goes wrong: no cutoff function; a maximum number of neighbours.
        """
        pairs = itertools.combinations_with_replacement(self.elements, 2)
        found = [check_smooth_dimer(self.potential, self.precision, *pair) for pair in pairs]
        ends = [f"{pair} at {distance:.2f} Å" for pair, distance in found if distance is not None]
        if not ends:
            raise NotApplicable("no pair of these elements stops interacting between 1 and 12 Å")
        self.note = f"interactions end smoothly: {', '.join(ends)}"

    @after("rotation_and_inversion")
    def test_symmetric_structures(self) -> None:
        """At symmetric sites forces are finite, and zero in the directions that the symmetry forbids.

        Tolerance: 1e-8 eV/Å in float64, 2e-4 in float32; a crystal of one element, rock salt, a linear molecule.
        Why: calculations start from perfect crystals, which no training data and no random frame contain.
        Goes wrong: the norm of a vector that vanishes there, whose gradient is 0/0; a direction added against it.
        """
        for name, (frame, allowed) in symmetric(self.elements).items():
            (result,) = self.results([frame])
            forbidden = np.where(allowed, 0.0, result.forces)
            law = f"{name}: forces that its symmetry forbids"
            self.close(
                law, forbidden, np.zeros_like(forbidden), relative=0.0, floor=self._symmetric_floor(result.forces)
            )

    def _symmetric_floor(self, forces: np.ndarray) -> float:
        return max(self.precision.exact * max(1.0, float(np.abs(forces).max())), self.precision.energy_floor)

    def test_net_force(self) -> None:
        """The forces on all atoms add up to zero.

        Tolerance: 1e-8 of the largest force for each atom in float64, 2e-4 in float32.
        Why: otherwise the centre of mass drifts in molecular dynamics.
        Goes wrong: forces predicted directly; one atom of each edge forgotten.
        """
        for name, frame in self.frames().items():
            (result,) = self.results([frame])
            largest = float(np.abs(result.forces).max())
            floor = len(frame) * max(self.precision.exact * max(1.0, largest), self.precision.energy_floor)
            self.close(f"net force, {name}: sum", result.forces.sum(0), np.zeros(3), relative=0.0, floor=floor)

    @after("smooth_at_cutoff")
    def test_forces(self) -> None:
        """Forces are minus the derivative of the energy with respect to the positions.

        Tolerance: 1e-5 of the largest force in float64 (steps of 1e-3 Å), 5e-3 in float32 (steps of 0.02 Å).
        Why: only then molecular dynamics conserves energy, and relaxations end at minima of the energy.
        Goes wrong: forces predicted directly; a sign; a factor; energy and forces in different units.
        """
        for name, frame in self.frames().items():
            (result,) = self.results([frame])
            expected = fd_forces(self.potential, frame, self.precision.step)
            self._differences(f"forces of the {name} must be -dE/dR", result.forces, expected)

    @after("forces")
    def test_stress(self) -> None:
        """Stress is dE/d(strain) over the volume, positive under tension, on a triclinic cell.

        Tolerance: 1e-5 of the largest component in float64, 5e-3 in float32; does not apply without a stress.
        Why: with a wrong sign the cell diverges; with a wrong factor lattice constants are wrong.
        Goes wrong: the sign of the virial; the Voigt order; rows and columns of the cell exchanged.
        """
        frame = self.frames()["crystal"]
        (result,) = self.results([frame])
        if result.stress is None:
            raise NotApplicable("it does not provide a stress")
        expected = fd_stress(self.potential, frame, self.precision.step)
        self._differences("stress must be dE/d(strain) / volume", result.stress, expected)

    def test_stress_of_molecule(self) -> None:
        """A molecule without a cell has no stress, or a stress of zero.

        Tolerance: 1e-12 eV/Å³.
        Why: otherwise NaN, infinity or numbers that depend on a vacuum box end up in data sets.
        Goes wrong: a division by the volume of a dummy cell.
        """
        (result,) = self.results([self.frames()["molecule"]])
        if result.stress is not None:
            self.close("stress of a molecule", result.stress, np.zeros((3, 3)), relative=0.0, floor=1e-12)

    def test_sum_of_energies(self) -> None:
        """Atomic energies, if available, add up to the energy.

        Tolerance: rounding; does not apply without atomic energies.
        Why: analyses by atom and free-energy methods depend on it.
        Goes wrong: shifts missing from one of the two.
        """
        for name, frame in self.frames().items():
            (result,) = self.results([frame])
            if result.energies is None:
                raise NotApplicable("it does not provide energies of atoms")
            floor = self._energy(result.energy)
            self.close(f"sum of energies, {name}", result.energies.sum(), result.energy, relative=0.0, floor=floor)

    # ------------------------------------------------------------- tolerances

    def _energy(self, energy: float) -> float:
        """Absolute tolerance of an energy, eV."""
        return max(self.precision.energy_floor, 1e-12 * max(1.0, abs(energy)))

    def _forces(self, law: str, actual: object, expected: np.ndarray) -> None:
        exact = self.precision.exact
        self.close(law, actual, expected, relative=exact, floor=exact)

    def _differences(self, law: str, actual: object, expected: np.ndarray) -> None:
        tolerance = self.precision.differences
        self.close(law, actual, expected, relative=tolerance, floor=max(tolerance, self.precision.slope_floor))
