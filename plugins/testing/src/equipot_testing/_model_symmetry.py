"""Checks of model builders in float64: what must not change the energy, and what must."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from equipot.model import EnergyTermModule
from equipot.nn.irreps import FeatureLayout
from equipot_testing._checklist import NotApplicable, after
from equipot_testing._equivariance import orthogonal_matrices, turned_block, turned_tensors, turned_vectors
from equipot_testing._model_kit import ModelKit
from equipot_testing.checks import check_close, check_equal, check_that
from equipot_testing.frames import batch_of, bulk, cluster, molecule

if TYPE_CHECKING:
    from equipot.graph import Graph
    from equipot_testing.frames import Structure

TIGHT = 1e-9
"""Relative tolerance of exact laws in float64."""


class ModelSymmetryChecks(ModelKit):
    """Batches, permutation, rotation, inversion, translation, periodic images, supercells, types."""

    def test_batch_equals_singles(self) -> None:
        """Frames in a batch do not influence each other, in any order.

        Tolerance: 1e-9, relative to the largest value or 1.
        Why: otherwise results depend on the batch, and differ in molecular dynamics, where each batch has one frame.
        Goes wrong: a mean over all atoms of the batch; ``sum()`` without ``batch``; batch normalisation.
        """
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

    @after("batch_equals_singles")
    def test_permutation(self) -> None:
        """The order of atoms does not matter.

        Tolerance: 1e-9, relative to the largest value or 1.
        Why: engines reorder atoms; if the order matters, the energy is not well defined.
        Goes wrong: the index of an atom as a feature; the assumption that the first neighbour is the nearest.
        """
        model, structure = self.model(), bulk(len(self.type_names))
        order = torch.randperm(len(structure), generator=torch.Generator().manual_seed(5))
        before, after_ = model(structure.graph(model.info)), model(structure.permuted(order).graph(model.info))
        law = "permutation of atoms"
        for key in ("total_energy", "stress"):
            check_close(f"{law}: {key} must not change", after_[key], before[key], tolerance=TIGHT)
        for key in ("atomic_energy", "forces"):
            check_close(f"{law}: {key} must follow the atoms", after_[key], before[key][order], tolerance=TIGHT)

    @after("batch_equals_singles")
    def test_rotation_and_inversion(self) -> None:
        """Energies are invariant; forces and stress rotate with the structure, also for mirror images.

        Tolerance: 1e-9, relative to the largest value or 1; a rotation, the inversion, a reflection, a combination.
        Why: physics does not depend on the orientation in space or, without magnetic fields, on handedness:
        a molecule and its mirror image have the same energy.
        Goes wrong: components of vectors used as scalars; odd and even tensors mixed (a triple product is odd);
        coefficients of tensor products in a different basis than the spherical harmonics.
        """
        model, structures = self.model(), list(self.structures().values())
        before = model(batch_of(structures, model.info))
        for name, matrix in orthogonal_matrices().items():
            output = model(batch_of([structure.mapped(matrix) for structure in structures], model.info))
            law = f"E(3) equivariance, {name}"
            for key in ("atomic_energy", "total_energy"):
                check_close(f"{law}: energies must not change ({key})", output[key], before[key], tolerance=TIGHT)
            turned = turned_vectors(before["forces"], matrix)
            check_close(f"{law}: forces must turn along", output["forces"], turned, tolerance=TIGHT)
            for key in ("stress", "virial"):
                turned = turned_tensors(before[key], matrix)
                check_close(f"{law}: {key} must turn along", output[key], turned, tolerance=TIGHT)

    @after("batch_equals_singles")
    def test_translation(self) -> None:
        """Moving all atoms by 40 Å changes nothing.

        Tolerance: 1e-9, relative to the largest value or 1.
        Why: only then momentum is conserved; positions stored in float32 show here first.
        Goes wrong: absolute positions as features; positions cast to float32 before differences are taken.
        """
        model, structures = self.model(), list(self.structures().values())
        shift = torch.tensor([40.0, -40.3, 39.1], dtype=torch.float64)
        before = model(batch_of(structures, model.info))
        moved = model(batch_of([structure.moved(shift) for structure in structures], model.info))
        _check_all("translation by 40 Å", moved, before)

    @after("batch_equals_singles", "translation")
    def test_image_wrapping(self) -> None:
        """Replacing atoms by their periodic images changes nothing.

        Tolerance: 1e-9, relative to the largest value or 1.
        Why: engines wrap atoms into the cell or let them drift; otherwise energies would jump at the boundary.
        Goes wrong: cell shifts ignored, or multiplied by the cell's columns; positions used directly.
        """
        model, structures = self.model(), self.structures()
        before = model(batch_of(structures.values(), model.info))
        generator = torch.Generator().manual_seed(8)
        wrapped = [
            structure.shifted_by_images(torch.randint(-2, 3, (len(structure), 3), generator=generator))
            for structure in structures.values()
        ]
        output = model(batch_of(wrapped, model.info))
        for key in ("atomic_energy", "total_energy", "forces"):
            law = f"atoms replaced by periodic images: {key} must not change"
            check_close(law, output[key], before[key], tolerance=TIGHT)

    @after("batch_equals_singles")
    def test_extensivity(self) -> None:
        """A supercell and two distant molecules have the sum of the energies and the same forces.

        Tolerance: 1e-9, relative to the largest value or 1.
        Why: energies per atom must not depend on the size of the simulation cell.
        Goes wrong: a mean over atoms instead of a sum; a division by ``num_atoms``.
        """
        model, structure = self.model(), bulk(len(self.type_names), n_atoms=4)
        single = model(structure.graph(model.info))
        for counts in ((2, 1, 1), (1, 2, 2)):
            copies = counts[0] * counts[1] * counts[2]
            output = model(structure.repeated(counts).graph(model.info))
            law = f"supercell of {copies} cells"
            energy = copies * single["total_energy"]
            words = f"{law}: energy must be {copies} times that of the cell"
            check_close(words, output["total_energy"], energy, tolerance=TIGHT)
            forces = single["forces"].repeat(copies, 1)
            check_close(f"{law}: forces must repeat", output["forces"], forces, tolerance=TIGHT)
            check_close(f"{law}: stress must not change", output["stress"], single["stress"], tolerance=TIGHT)
        one, other = molecule(len(self.type_names)), molecule(len(self.type_names), seed=31)
        far = other.moved(torch.tensor([60.0, 5.0, 0.0], dtype=torch.float64))
        parts = torch.cat([model(part.graph(model.info))["atomic_energy"] for part in (one, other)])
        both = model(_together(one, far).graph(model.info))["atomic_energy"]
        check_close("two molecules 60 Å apart: each must have the energy it has alone", both, parts, tolerance=TIGHT)

    @after("batch_equals_singles", "permutation", "rotation_and_inversion")
    def test_node_features(self) -> None:
        """Node features have the stated irreps, turn along, and change no energies where they are asked for.

        Tolerance: 1e-9, relative to the largest value or 1; the layout must be written as ``str(FeatureLayout)``.
        Why: heads of any plugin read them, and take columns for scalars or vectors as the irreps say.
        Goes wrong: channels before components; vectors in another order than e3nn's; 1e stated for vectors; words in
        the builder's ``node_features`` without features.
        """
        recipe, model = self.recipe(), self.model()
        stated = model.energy.features
        check_that(
            bool(recipe.node_features) == bool(stated),
            f"the builder must say in 'node_features' what its module's features hold, {recipe.node_features!r}, "
            f"and the module their irreps in 'features', {stated!r}",
        )
        if stated is None:
            raise NotApplicable("the builder has no node features")
        layout = FeatureLayout.parse(stated)
        check_that(str(layout) == stated, f"features must be written in the order of the columns, as {str(layout)!r}")
        probe = _Probe()
        probed = model.replace(energy_terms={**model.energy_terms, "probe": probe})
        structures = list(self.structures().values())
        batch = batch_of(structures, model.info)
        energies, features = probed(batch)["total_energy"], probe.features
        wanted = (len(batch["atom_types"]), layout.dim)
        check_that(tuple(features.shape) == wanted, f"node features must have the shape {wanted}, got {features.shape}")
        check_equal("asked for node features: energies must not change", energies, model(batch)["total_energy"])
        for name, matrix in orthogonal_matrices().items():
            probed(batch_of([structure.mapped(matrix) for structure in structures], model.info))
            for block in layout.blocks:
                law = f"node features, {name}: {block.mul}x{block.irrep} must turn along"
                turned = turned_block(layout.view(features, block), block.irrep, matrix)
                check_close(law, layout.view(probe.features, block), turned, tolerance=TIGHT)

    @after("batch_equals_singles", "permutation")
    def test_types_matter(self) -> None:
        """An atom's energy depends on its own type and on that of its neighbour.

        Tolerance: pairs at half the cutoff radius must differ by more than 1e-12 of the largest energy.
        Why: a model that uses the type of the wrong atom is symmetric and smooth and has correct forces, but large
        errors.
        Goes wrong: ``atom_types[centre]`` instead of ``atom_types[neighbour]``; the two rows of ``edge_index``
        exchanged; one embedding for all types.
        """
        model, n_types = self.model(), len(self.type_names)
        places = [[0.0, 0.0, 0.0], [0.5 * self.r_max, 0.1, -0.2]]
        dimers = [cluster(places, [own, other]) for own in range(n_types) for other in range(n_types)]
        output = model(batch_of(dimers, model.info))["atomic_energy"][::2].reshape(n_types, n_types)
        shifts = torch.tensor([self.shift_of(model, own) for own in range(n_types)], dtype=torch.float64)
        scales = model.scale_shift.values("scales")
        factors = torch.tensor([scales[name] for name in self.type_names], dtype=torch.float64)
        energies = (output - shifts[:, None]) / factors[:, None]
        allowed = 1e-12 * float(energies.abs().max())
        for what, table in (("its neighbour", energies), ("the atom itself", energies.T)):
            least = float((table[:, :, None] - table[:, None, :]).abs().amax(0)[~torch.eye(n_types).bool()].min())
            check_that(least > allowed, f"the energy of an atom must depend on the type of {what}, it does not")


class _Probe(EnergyTermModule):
    """A term that adds nothing, and keeps the features that it gets."""

    requires = ("node_features",)
    features = torch.zeros(0)

    def forward(self, data: Graph) -> torch.Tensor:
        """Zeros, [n_atoms]."""
        self.features = data["node_features"].detach()
        return torch.zeros(self.features.shape[0], dtype=torch.float64, device=self.features.device)


def _together(one: Structure, other: Structure) -> Structure:
    """Two structures without cells, combined into one."""
    places = torch.cat([one.positions, other.positions])
    return cluster(places.tolist(), torch.cat([one.types, other.types]).tolist())


def _check_all(law: str, output: Graph, before: Graph) -> None:
    for key, value in before.items():
        if value.dtype == torch.bool:
            check_equal(f"{law}: {key} must not change", output[key], value)
        else:
            check_close(f"{law}: {key} must not change", output[key], value, tolerance=TIGHT)
