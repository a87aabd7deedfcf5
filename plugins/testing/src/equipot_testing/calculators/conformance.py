"""The conformance class of ASE calculators and torch-sim models, whoever wrote them."""

from __future__ import annotations

import itertools

import numpy as np

from equipot_testing._checklist import NotApplicable, after, check_that
from equipot_testing.calculators._cutoff import check_smooth_dimer
from equipot_testing.calculators._derivatives import fd_forces, fd_stress, moved
from equipot_testing.calculators._kit import CalculatorKit
from equipot_testing.calculators._structures import bulk, dimer, lone_atom, orthogonal_matrices, rotated


class CalculatorConformance(CalculatorKit):
    """What physics asks of every interatomic potential.

    Example:
        >>> class TestMyCalculator(CalculatorConformance):
        ...     elements = ("Cu", "Au")
        ...
        ...     def calculator(self):
        ...         from my_package import MyCalculator
        ...
        ...         return MyCalculator("model.pt")

    Steps of finite differences and tolerances follow from the rounding of its energies, which is
    measured: float32 is not asked for what float64 can do.
    """

    def test_runs(self) -> None:
        """A crystal, a molecule and a slab get an energy, forces and, the crystal, a stress, all finite.

        Tolerance: none.
        Why: nothing else can be judged.
        Goes wrong: elements it does not know (``--elements``); a NaN for atoms it finds too close.
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
        """Positions, cell, numbers and periodic directions of the atoms are the same after the call.

        Tolerance: none.
        Why: the integrator owns them.
        Goes wrong: atoms wrapped into the cell in place.
        """
        for name, frame in self.frames().items():
            given = moved(frame, np.array([25.0, -3.0, 11.0]))
            kept = given.copy()
            self.potential.evaluate([given])
            same = kept == given and np.array_equal(kept.positions, given.positions)
            check_that(same, f"{name}: the atoms must not be changed")

    def test_repeatable(self) -> None:
        """The same frame gives the same numbers again, also after other frames in between.

        Tolerance: rounding; a frame after itself, after another of the same size, and after other sizes.
        Why: results must not depend on history; caches and neighbour lists with a skin often do.
        Goes wrong: a cache that compares atoms by their number; a skin list that is not renewed.
        """
        frame, other = self.frames()["crystal"], dimer(self.elements[0], self.elements[0], 1.5)
        jiggled = moved(frame, np.random.default_rng(4).normal(0.0, 0.05, frame.positions.shape))
        first, second, _, second_again, _, first_again = self.results([frame, jiggled, other, jiggled, other, frame])
        self.same("the same frame again", second_again, second)
        self.same("the same frame again", first_again, first)

    def test_permutation(self) -> None:
        """The order of atoms does not matter.

        Tolerance: rounding of the energy (0.1 meV in float32); forces 1e-8 relative in float64, 2e-4 in float32.
        Why: engines reorder atoms at will.
        Goes wrong: atoms sorted by element inside, and results not sorted back.
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
        """Moving all atoms by some 40 Å changes nothing.

        Tolerance: rounding of the energy (0.1 meV in float32); forces 1e-8 relative in float64, 2e-4 in float32.
        Why: momentum is conserved only then; positions kept in float32 lose digits far from the origin.
        Goes wrong: positions cast to float32 before differences are taken.
        """
        for name, frame in self.frames().items():
            before, shifted = self.results([frame, moved(frame, np.array([40.0, -40.3, 39.1]))])
            law = f"translation by 40 Å, {name}"
            self.close(f"{law}: energy", shifted.energy, before.energy, relative=0.0, floor=self._energy(before.energy))
            self._forces(f"{law}: forces must not change", shifted.forces, before.forces)

    @after("translation")
    def test_rotation_and_inversion(self) -> None:
        """Energies stay, forces and stress turn with the atoms; mirror images included.

        Tolerance: rounding of the energy (0.1 meV in float32); forces and stress 1e-8 relative, 2e-4 in float32.
        Why: physics knows no direction and no handedness.
        Goes wrong: a cell in standard form inside, and forces not turned back; a model that is only nearly equivariant.
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
        """Replacing atoms by periodic images of themselves changes nothing.

        Tolerance: rounding of the energy (0.1 meV in float32); forces 1e-8 relative in float64, 2e-4 in float32.
        Why: engines wrap atoms or let them drift.
        Goes wrong: neighbour lists that want atoms inside the cell.
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
        Goes wrong: cells smaller than the cutoff, whose further images are forgotten.
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
        """Frames computed in one call have the results that they have alone.

        Tolerance: rounding; left out where frames are computed one by one.
        Why: screening and parallel dynamics run in batches.
        Goes wrong: neighbours found across frames.
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
        Why: dissociation must end at the energies of the atoms.
        Goes wrong: empty neighbour lists; 0/0; the atom seen as its own neighbour.
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
        """Energy and forces of a dimer are continuous where its atoms stop to interact.

        Tolerance: jumps of 1e-4 of the energy and 1e-3 of the force at half the distance; the distance is searched for.
        Why: each crossing in dynamics would add or take energy.
        Goes wrong: no cutoff function; a maximum number of neighbours.
        """
        pairs = itertools.combinations_with_replacement(self.elements, 2)
        found = [check_smooth_dimer(self.potential, self.precision, *pair) for pair in pairs]
        ends = [f"{pair} at {distance:.2f} Å" for pair, distance in found if distance is not None]
        if not ends:
            raise NotApplicable("no pair of these elements stops to interact between 1 and 12 Å")
        self.note = f"interactions end smoothly: {', '.join(ends)}"

    def test_net_force(self) -> None:
        """The forces on all atoms add up to nothing.

        Tolerance: 1e-8 of the largest force for each atom in float64, 2e-4 in float32.
        Why: the centre of mass would drift in dynamics.
        Goes wrong: forces predicted directly; one side of each edge forgotten.
        """
        for name, frame in self.frames().items():
            (result,) = self.results([frame])
            largest = float(np.abs(result.forces).max())
            floor = len(frame) * max(self.precision.exact * max(1.0, largest), self.precision.energy_floor)
            self.close(f"net force, {name}: sum", result.forces.sum(0), np.zeros(3), relative=0.0, floor=floor)

    @after("smooth_at_cutoff")
    def test_forces(self) -> None:
        """Forces are minus the derivative of the energy by the positions.

        Tolerance: 1e-5 of the largest force in float64 (steps of 1e-3 Å), 5e-3 in float32 (steps of 0.02 Å).
        Why: energy is conserved in dynamics only then, and relaxations end where the energy is lowest.
        Goes wrong: forces predicted directly; a sign; a factor; energy and forces in different units.
        """
        for name, frame in self.frames().items():
            (result,) = self.results([frame])
            expected = fd_forces(self.potential, frame, self.precision.step)
            self._differences(f"forces of the {name} must be -dE/dR", result.forces, expected)

    @after("forces")
    def test_stress(self) -> None:
        """Stress is dE/d(strain) over the volume, positive under tension, on a triclinic cell.

        Tolerance: 1e-5 of the largest component in float64, 5e-3 in float32; left out where there is no stress.
        Why: a wrong sign makes the box run away, a wrong factor gives wrong lattice constants.
        Goes wrong: the sign of the virial; Voigt order; columns of the cell taken for rows.
        """
        frame = self.frames()["crystal"]
        (result,) = self.results([frame])
        if result.stress is None:
            raise NotApplicable("it gives no stress")
        expected = fd_stress(self.potential, frame, self.precision.step)
        self._differences("stress must be dE/d(strain) / volume", result.stress, expected)

    def test_stress_of_molecule(self) -> None:
        """A molecule without a cell has no stress, or a zero one.

        Tolerance: 1e-12 eV/Å³.
        Why: numbers that depend on a padding box, NaN or inf end in data sets.
        Goes wrong: a division by the volume of a dummy cell.
        """
        (result,) = self.results([self.frames()["molecule"]])
        if result.stress is not None:
            self.close("stress of a molecule", result.stress, np.zeros((3, 3)), relative=0.0, floor=1e-12)

    def test_sum_of_energies(self) -> None:
        """Atomic energies, where given, add up to the energy.

        Tolerance: rounding; left out where there are none.
        Why: analyses by atom and free-energy methods rely on it.
        Goes wrong: shifts missing from one of the two.
        """
        for name, frame in self.frames().items():
            (result,) = self.results([frame])
            if result.energies is None:
                raise NotApplicable("it gives no energies of atoms")
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
