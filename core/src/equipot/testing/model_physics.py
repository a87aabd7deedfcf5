"""Checks of model builders: the laws of physics, in float64."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch

from equipot.testing.checks import check_close, check_equal, check_that
from equipot.testing.equivariance import orthogonal_matrices, turned_tensors, turned_vectors
from equipot.testing.finite_difference import fd_forces, fd_strain_gradient
from equipot.testing.frames import Structure, batch_of, bulk, cluster, lone_atom
from equipot.testing.model_kit import ModelKit

if TYPE_CHECKING:
    from equipot.graph import Graph
    from equipot.model.graph_model import GraphModel

TIGHT = 1e-9
"""Relative tolerance of exact laws in float64."""

LOOSE = 2e-6
"""Relative tolerance of comparisons with finite differences."""

EDGE = 1e-5
"""How near to the cutoff radius smoothness is looked at, relative to it."""


class ModelPhysicsChecks(ModelKit):
    """Equivariance, invariance, derivatives, smoothness, locality, isolated atoms."""

    def test_rotation_and_inversion(self) -> None:
        """Energies stay, forces and stress turn with the structure; mirror images included."""
        model, structures = self.model(), list(self.structures().values())
        before = model(batch_of(structures, model.info))
        for name, matrix in orthogonal_matrices().items():
            after = model(batch_of([structure.mapped(matrix) for structure in structures], model.info))
            law = f"E(3) equivariance, {name}"
            _check_energies(f"{law}: energies must not change", after, before)
            check_close(
                f"{law}: forces must turn along",
                after["forces"],
                turned_vectors(before["forces"], matrix),
                tolerance=TIGHT,
            )
            for key in ("stress", "virial"):
                check_close(
                    f"{law}: {key} must turn along", after[key], turned_tensors(before[key], matrix), tolerance=TIGHT
                )

    def test_permutation(self) -> None:
        """The order of atoms does not matter."""
        model, structure = self.model(), bulk(len(self.type_names))
        order = torch.randperm(len(structure), generator=torch.Generator().manual_seed(5))
        before, after = model(structure.graph(model.info)), model(structure.permuted(order).graph(model.info))
        law = "permutation of atoms"
        check_close(
            f"{law}: total_energy must not change", after["total_energy"], before["total_energy"], tolerance=TIGHT
        )
        check_close(f"{law}: stress must not change", after["stress"], before["stress"], tolerance=TIGHT)
        for key in ("atomic_energy", "forces"):
            check_close(f"{law}: {key} must follow the atoms", after[key], before[key][order], tolerance=TIGHT)

    def test_translation(self) -> None:
        """Moving all atoms by 40 Å changes nothing."""
        model, structures = self.model(), list(self.structures().values())
        shift = torch.tensor([40.0, -40.3, 39.1], dtype=torch.float64)
        before = model(batch_of(structures, model.info))
        after = model(batch_of([structure.moved(shift) for structure in structures], model.info))
        _check_all("translation by 40 Å", after, before)

    def test_image_wrapping(self) -> None:
        """Replacing atoms by periodic images of themselves changes nothing."""
        model, structures = self.model(), self.structures()
        before = model(batch_of(structures.values(), model.info))
        generator = torch.Generator().manual_seed(8)
        wrapped = [
            structure.shifted_by_images(torch.randint(-2, 3, (len(structure), 3), generator=generator))
            for structure in structures.values()
        ]
        _check_all("atoms replaced by periodic images", model(batch_of(wrapped, model.info)), before)

    def test_batch_equals_singles(self) -> None:
        """Frames in one batch do not feel each other, in whatever order."""
        model, structures = self.model(), list(self.structures().items())
        for ordered in (structures, structures[::-1]):
            together = model(batch_of([structure for _, structure in ordered], model.info))
            start = 0
            for index, (name, structure) in enumerate(ordered):
                alone = model(structure.graph(model.info))
                law = f"batch equals singles, {name}"
                stop = start + len(structure)
                for key in ("atomic_energy", "forces"):
                    check_close(f"{law}: {key}", together[key][start:stop], alone[key], tolerance=TIGHT)
                for key in ("total_energy", "stress", "virial"):
                    check_close(f"{law}: {key}", together[key][index : index + 1], alone[key], tolerance=TIGHT)
                start = stop

    def test_forces(self) -> None:
        """Forces are minus the derivative of the energy by the positions."""
        _check_forces(self.model(), self.structures())

    def test_stress(self) -> None:
        """Stress is the derivative of the energy by strain, over the volume; molecules have none."""
        _check_stress(self.model(), self.structures())

    def test_smooth_at_cutoff(self) -> None:
        """Energy and forces are continuous where an atom crosses the cutoff radius."""
        model = self.model()
        n_types = len(self.type_names)
        for centre in range(n_types):
            for probe in range(n_types):
                _check_smooth(model, centre, probe, self.r_max)

    def test_isolated_atom(self) -> None:
        """An atom without neighbours has exactly the energy shift of its type, and no force."""
        model = self.model()
        for atom_type, name in enumerate(self.type_names):
            alone = lone_atom(atom_type)
            boxed = Structure(
                alone.positions, alone.types, 3.1 * self.r_max * torch.eye(3, dtype=torch.float64), (True,) * 3
            )
            for where, structure in (("without a cell", alone), ("in a large periodic cell", boxed)):
                output = model(structure.graph(model.info))
                law = f"isolated atom of type {name} {where}"
                expected = torch.tensor([self.shift_of(model, atom_type)], dtype=torch.float64)
                check_equal(f"{law}: energy must be its shift E0", output["total_energy"], expected)
                check_that(not output["forces"].any(), f"{law}: force must be exactly 0")
                check_that(not output["stress"].any(), f"{law}: stress must be exactly 0")

    def test_extensivity(self) -> None:
        """A supercell has the same forces and stress, and a multiple of the energy."""
        model, structure = self.model(), bulk(len(self.type_names), n_atoms=4)
        single = model(structure.graph(model.info))
        for counts in ((2, 1, 1), (1, 2, 2)):
            copies = counts[0] * counts[1] * counts[2]
            output = model(structure.repeated(counts).graph(model.info))
            law = f"supercell of {copies} cells"
            check_close(
                f"{law}: energy must be {copies} times that of the cell",
                output["total_energy"],
                copies * single["total_energy"],
                tolerance=TIGHT,
            )
            check_close(
                f"{law}: forces must repeat", output["forces"], single["forces"].repeat(copies, 1), tolerance=TIGHT
            )
            check_close(f"{law}: stress must not change", output["stress"], single["stress"], tolerance=TIGHT)

    def test_locality(self) -> None:
        """Nothing farther away than declared (``strict`` or ``hops(k)``) changes an atom's energy."""
        model = self.model()
        locality = model.info.locality
        found = re.fullmatch(r"strict|global|hops\((\d+)\)", locality)
        check_that(found is not None, f"locality must be 'strict', 'hops(k)' or 'global', got {locality!r}")
        if locality == "global":
            return
        hops = 1 if locality == "strict" else int(locality[5:-1])
        n_atoms, spacing = hops + 3, 0.8 * self.r_max
        chain = cluster(
            [[spacing * index, 0.1 * (index % 2), 0.0] for index in range(n_atoms)],
            [index % len(self.type_names) for index in range(n_atoms)],
        )
        displacement = torch.zeros(n_atoms, 3, dtype=torch.float64)
        displacement[-1] = torch.tensor([-0.1, 0.2, 0.1], dtype=torch.float64)
        before, after = model(chain.graph(model.info)), model(chain.moved(displacement).graph(model.info))
        far = n_atoms - 1 - hops
        check_close(
            f"locality {locality}: an atom more than {hops} cutoff radii away must not change the energy",
            after["atomic_energy"][:far],
            before["atomic_energy"][:far],
            tolerance=1e-13,
        )

    def test_asymmetric_cutoffs(self) -> None:
        """Cutoffs by type pair, different for ij and ji: forces, stress and smoothness hold."""
        if not hasattr(self.recipe(), "per_edge_type_cutoff"):
            return
        model = self.model(per_edge_type_cutoff=self.asymmetric_cutoffs())
        structures = self.structures()
        _check_forces(model, structures, "with asymmetric cutoffs, ")
        _check_stress(model, structures, "with asymmetric cutoffs, ")
        for centre, row in enumerate(model.info.cutoffs or ()):
            for probe, radius in enumerate(row):
                _check_smooth(model, centre, probe, radius)

    def asymmetric_cutoffs(self) -> dict[str, Any]:
        """Radii by centre, or by centre and neighbour, that are not symmetric."""
        first, second, last = self.type_names[0], self.type_names[1], self.type_names[-1]
        return {first: {second: 0.7 * self.r_max}, last: 0.85 * self.r_max}

    def test_float32(self) -> None:
        """In float32 with the same weights, forces differ from float64 by at most 1e-4 of their rms."""
        small, large = self.model(model_dtype="float32"), self.model()
        large.load_state_dict(small.state_dict())
        batch = batch_of(self.structures().values(), large.info)
        actual, expected = small(batch), large(batch)
        for key, value in actual.items():
            check_that(
                value.dtype == expected[key].dtype, f"float32: {key} must be {expected[key].dtype}, got {value.dtype}"
            )
        rms = float(expected["forces"].square().mean().sqrt())
        error = float((actual["forces"] - expected["forces"]).abs().max())
        check_that(
            error <= 1e-4 * rms, f"float32: forces differ by {error:.3g}, allowed 1e-4 of their rms, {1e-4 * rms:.3g}"
        )
        check_close("float32: energies", actual["total_energy"], expected["total_energy"], tolerance=1e-5)


def _check_energies(law: str, after: Graph, before: Graph) -> None:
    for key in ("atomic_energy", "total_energy"):
        check_close(f"{law} ({key})", after[key], before[key], tolerance=TIGHT)


def _check_all(law: str, after: Graph, before: Graph) -> None:
    for key, value in before.items():
        if value.dtype == torch.bool:
            check_equal(f"{law}: {key} must not change", after[key], value)
        else:
            check_close(f"{law}: {key} must not change", after[key], value, tolerance=TIGHT)


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


def _check_smooth(model: GraphModel, centre: int, probe: int, radius: float) -> None:
    """Move a probe over the cutoff radius of one atom of a cluster, the one on its side."""
    info = model.info
    third = (centre + 1) % len(info.type_names)
    behind = [[0.0, 0.0, 0.0], [-1.1, 0.5, 0.1], [-0.8, -1.0, 0.4]]

    def at(distance: float) -> Structure:
        return cluster([*behind, [distance, 0.0, 0.0]], [centre, probe, third, probe])

    near, inside, outside = (
        model(at(distance).graph(info)) for distance in (0.5 * radius, (1 - EDGE) * radius, (1 + EDGE) * radius)
    )
    law = f"smoothness of {info.type_names[centre]}-{info.type_names[probe]} at the cutoff radius {radius:g} Å"
    scale = float((near["atomic_energy"] - outside["atomic_energy"]).abs().max()) + 1e-6
    work = float(inside["forces"][-1, 0] + outside["forces"][-1, 0]) * EDGE * radius
    _check_jump(law, "energy", float(inside["total_energy"] - outside["total_energy"]) - work, 1e-4 * scale)
    scale = float(near["forces"].abs().max()) + 1e-6
    _check_jump(law, "forces", float((inside["forces"] - outside["forces"]).abs().max()), 1e-3 * scale)


def _check_jump(law: str, what: str, jump: float, allowed: float) -> None:
    check_that(abs(jump) <= allowed, f"{law}: {what} must be continuous, jumps by {jump:.3g}, allowed {allowed:.3g}")
