"""Checks of model builders: derivatives, smoothness, locality, isolated atoms."""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from equipot_testing._checklist import NotApplicable, after
from equipot_testing._model_kit import served_by_name
from equipot_testing._model_symmetry import ModelSymmetryChecks
from equipot_testing.checks import check_close, check_equal, check_that
from equipot_testing.finite_difference import fd_forces, fd_strain_gradient
from equipot_testing.frames import Structure, batch_of, cluster, lone_atom, placed

if TYPE_CHECKING:
    from equipot.model import GraphModel

LOOSE = 2e-6
"""Relative tolerance of comparisons with finite differences."""

NEAR = 4e-3
"""Distance from the cutoff radius at which the order of smoothness is measured, relative to the radius."""

EDGE = 1e-5
"""Distance from the cutoff radius at which smoothness is tested, relative to the radius."""


class ModelPhysicsChecks(ModelSymmetryChecks):
    """Derivatives, smoothness, locality, isolated atoms."""

    continuous_derivatives: ClassVar[int] = 1
    """How many derivatives of the energy are declared to be continuous at cutoff radii: 1 for forces, 2 for force
    constants too."""

    note: str = ""
    """What a check that passes has measured."""

    @after("batch_equals_singles")
    def test_smooth_at_cutoff(self) -> None:
        """Energy and forces are continuous when an atom crosses a cutoff radius, including those of energy terms.

        Tolerance: jumps of at most 1e-4 of the energy and 1e-3 of the force at half the radius. How many further
        derivatives are continuous is measured and reported; ``continuous_derivatives`` asks for a number of them.
        Why: otherwise each crossing adds or removes energy in molecular dynamics, and the temperature drifts.
        Goes wrong: no cutoff function, or one without zero slope; features of far neighbours that bypass it.
        """
        model = self.model()
        n_types = len(self.type_names)
        radii = {self.r_max, *(radius for _, radius in model.info.edge_sets)}
        for radius, centre, probe in itertools.product(sorted(radii), range(n_types), range(n_types)):
            check_smooth(model, centre, probe, radius)
        ends = {radius: order_of_smoothness(model, radius) for radius in sorted(radii)}
        reported = []
        for radius, power in ends.items():
            if power is not None:
                found, wanted = continuous_up_to(power), self.continuous_derivatives
                reported.append(
                    f"energies end as (R - r)^{power:.1f} at R = {radius:g} Å: {found} derivatives are continuous"
                )
                check_that(found >= wanted, f"{reported[-1]}, {wanted} are declared")
        self.note = "; ".join(reported)

    @after("batch_equals_singles", "smooth_at_cutoff")
    def test_forces(self) -> None:
        """Forces are minus the derivative of the energy with respect to the positions.

        Tolerance: 2e-6 of the largest force (at least 2e-6 eV/Å) against four-point differences with a step of 1e-3 Å.
        Why: only then molecular dynamics conserves energy, and relaxations end at minima of the energy.
        Goes wrong: a factor of two from directed edges; a sign; a ``detach``; one atom of each edge forgotten.
        """
        _check_forces(self.model(), self.structures())

    @after("batch_equals_singles", "smooth_at_cutoff")
    def test_stress(self) -> None:
        """Stress is dE/d(strain) over the volume, positive under tension; molecules have none.

        Tolerance: 2e-6 of the largest component, from strains of 1e-3, on a triclinic cell, a slab and a wire.
        Why: with a wrong sign the cell diverges at constant pressure; with a wrong factor lattice constants are wrong.
        Goes wrong: the sign of the virial; rows and columns of the cell exchanged; vacuum in the volume of a slab.
        """
        _check_stress(self.model(), self.structures())

    def test_isolated_atom(self) -> None:
        """An atom without neighbours has exactly the energy shift of its type, and no force.

        Tolerance: none, bit for bit; without a cell and in a large periodic one.
        Why: otherwise dissociation ends at a wrong energy, and energies of different models cannot be compared.
        Goes wrong: biases; functions with f(0) ≠ 0 after the sum over neighbours; a mean that divides by zero.
        """
        model = self.model()
        for atom_type, name in enumerate(self.type_names):
            alone = lone_atom(atom_type)
            boxed = Structure(
                alone.positions, alone.types, 3.1 * _reach(model) * torch.eye(3, dtype=torch.float64), (True,) * 3
            )
            places = {"without a cell": alone, "in a large periodic cell": boxed}
            for where, structure in served_by_name(places, model.info).items():
                output = model(structure.graph(model.info))
                law = f"isolated atom of type {name} {where}"
                expected = torch.tensor([self.shift_of(model, atom_type)], dtype=torch.float64)
                check_equal(f"{law}: energy must be its shift E0", output["total_energy"], expected)
                check_that(not output["forces"].any(), f"{law}: force must be exactly 0")
                check_that(not output["stress"].any(), f"{law}: stress must be exactly 0")

    @after("batch_equals_singles")
    def test_locality(self) -> None:
        """Nothing farther away than declared (``strict`` or ``hops(k)``) changes an atom's energy.

        Tolerance: 1e-13 of the energy, when an atom just outside is moved.
        Why: parallel engines copy atoms only up to the declared distance; forces would be wrong at domain boundaries.
        Goes wrong: message passing in a model that declares ``strict``; a wrong number of layers.
        """
        model = self.model()
        locality = model.info.locality
        found = re.fullmatch(r"strict|global|hops\((\d+)\)", locality)
        check_that(found is not None, f"locality must be 'strict', 'hops(k)' or 'global', got {locality!r}")
        if locality == "global":
            raise NotApplicable("the model is declared global")
        hops = 1 if locality == "strict" else int(locality[5:-1])
        n_atoms, spacing = hops + 3, 0.8 * _reach(model)
        chain = cluster(
            [[spacing * index, 0.1 * (index % 2), 0.0] for index in range(n_atoms)],
            [index % len(self.type_names) for index in range(n_atoms)],
        )
        (chain,) = placed([chain], model.info)
        displacement = torch.zeros(n_atoms, 3, dtype=torch.float64)
        displacement[-1] = torch.tensor([-0.1, 0.2, 0.1], dtype=torch.float64)
        before, moved = model(chain.graph(model.info)), model(chain.moved(displacement).graph(model.info))
        far = n_atoms - 1 - hops
        check_close(
            f"locality {locality}: an atom more than {hops} cutoff radii away must not change the energy",
            moved["atomic_energy"][:far],
            before["atomic_energy"][:far],
            tolerance=1e-13,
        )

    @after("forces", "stress", "smooth_at_cutoff")
    def test_asymmetric_cutoffs(self) -> None:
        """With cutoffs by pair of types, different for ij and ji, the laws of forces, stress and smoothness hold.

        Tolerance: as for forces, stress and smoothness; does not apply to builders without ``per_edge_type_cutoff``.
        Why: edge ji need not exist if ij does; users save time with short radii for hydrogen.
        Goes wrong: the matrix of radii transposed; forces that assume both directions; edges normalised by r_max.
        """
        if not hasattr(self.recipe(), "per_edge_type_cutoff"):
            raise NotApplicable("the builder has no per_edge_type_cutoff")
        model = self.model(per_edge_type_cutoff=self.asymmetric_cutoffs())
        structures = self.structures()
        _check_forces(model, structures, "with asymmetric cutoffs, ")
        _check_stress(model, structures, "with asymmetric cutoffs, ")
        for centre, row in enumerate(model.info.cutoffs or ()):
            for probe, radius in enumerate(row):
                check_smooth(model, centre, probe, radius)

    def asymmetric_cutoffs(self) -> dict[str, Any]:
        """Radii in Å by centre, or by centre and neighbour, that are not symmetric."""
        first, second, last = self.type_names[0], self.type_names[1], self.type_names[-1]
        return {first: {second: 0.7 * self.r_max}, last: 0.85 * self.r_max}


def _reach(model: GraphModel) -> float:
    """Largest radius of any edge set, Å."""
    return max([model.info.r_max, *(radius for _, radius in model.info.edge_sets)])


def _check_forces(model: GraphModel, structures: dict[str, Structure], prefix: str = "") -> None:
    for name, structure in structures.items():
        forces = model(structure.graph(model.info))["forces"]
        expected = fd_forces(model, model.info, structure)
        check_close(f"{prefix}{name}: forces must be -dE/dR", forces, expected, tolerance=LOOSE)


def _check_stress(model: GraphModel, structures: dict[str, Structure], prefix: str = "") -> None:
    for name, structure in structures.items():
        output = model(structure.graph(model.info))
        gradient = fd_strain_gradient(model, model.info, structure)
        has_stress = any(structure.pbc) and structure.volume > 0
        law = f"{prefix}{name}:"
        check_close(f"{law} virial must be -dE/d(strain)", output["virial"][0], -gradient, tolerance=LOOSE)
        check_that(
            bool(output["stress_mask"][0]) == has_stress,
            f"{law} stress_mask must be {has_stress}, since its pbc is {structure.pbc}",
        )
        expected = gradient / structure.volume if has_stress else torch.zeros_like(gradient)
        check_close(f"{law} stress must be dE/d(strain) / volume", output["stress"][0], expected, tolerance=LOOSE)


def check_smooth(model: GraphModel, centre: int, probe: int, radius: float) -> None:
    """Move a probe across the cutoff radius of the nearest atom of a cluster.

    Args:
        model: In eval mode, with forces.
        centre: Type of the nearest atom.
        probe: Type of the probe.
        radius: Cutoff radius in Å.

    Raises:
        AssertionError: If energy or forces jump.
    """
    info = model.info
    third = (centre + 1) % len(info.type_names)
    behind = [[0.0, 0.0, 0.0], [-1.1, 0.5, 0.1], [-0.8, -1.0, 0.4]]

    def at(distance: float) -> Structure:
        return cluster([*behind, [distance, 0.0, 0.0]], [centre, probe, third, probe])

    near, further_in, inside, outside = (
        model(batch_of(placed([at(distance)], info), info))
        for distance in (0.5 * radius, (1 - 3 * EDGE) * radius, (1 - EDGE) * radius, (1 + EDGE) * radius)
    )
    law = f"smoothness of {info.type_names[centre]}-{info.type_names[probe]} at the cutoff radius {radius:g} Å"
    scale = float((near["atomic_energy"] - outside["atomic_energy"]).abs().max()) + 1e-6
    jump = float(2 * inside["total_energy"] - further_in["total_energy"] - outside["total_energy"])
    _check_jump(law, "energy", jump, 1e-4 * scale)
    scale = float(near["forces"].abs().max()) + 1e-6
    _check_jump(law, "forces", float((inside["forces"] - outside["forces"]).abs().max()), 1e-3 * scale)


def order_of_smoothness(model: GraphModel, radius: float) -> float | None:
    """The power with which energies vanish towards a cutoff radius, of all pairs of types together.

    What goes on beyond the radius is extrapolated from there and subtracted.

    Args:
        model: In eval mode.
        radius: Cutoff radius in Å.

    Returns:
        k where the energy is a (R - r)^k just inside; None if nothing ends there.
    """
    info, n_types = model.info, len(model.info.type_names)
    places = (-2, -1, 1, 2, 3, 4, 5, 6)
    probes = [
        cluster([[0.0, 0.0, 0.0], [-1.1, 0.5, 0.1], [(1 + NEAR * place) * radius, 0.0, 0.0]], [own, own, other])
        for own, other in itertools.product(range(n_types), repeat=2)
        for place in places
    ]
    energies = model(batch_of(placed(probes, info), info))["atomic_energy"].reshape(-1, len(places), 3)
    powers = torch.tensor(places, dtype=torch.float64)[:, None] ** torch.arange(6)
    beyond = torch.linalg.solve(powers[2:].T, powers[:2].T)
    excess = (energies[:, :2] - torch.einsum("psa,st->pta", energies[:, 2:], beyond)).abs().sum((0, 2))
    ends = float(excess[1]) > 1e-11 * (1 + float(energies.abs().max()))
    return float(torch.log2(excess[0] / excess[1])) if ends else None


def continuous_up_to(power: float) -> int:
    """Number of continuous derivatives of (R - r)^power, which is measured to about 0.1."""
    nearest = round(power)
    return max(0, nearest - 1 if abs(power - nearest) < 0.25 else math.floor(power))


def _check_jump(law: str, what: str, jump: float, allowed: float) -> None:
    check_that(abs(jump) <= allowed, f"{law}: {what} must be continuous, jumps by {jump:.3g}, allowed {allowed:.3g}")
