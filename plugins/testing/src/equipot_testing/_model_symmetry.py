"""Checks of model builders in float64: what must not change the energy, and what must."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

import torch

from equipot.errors import ConfigError
from equipot.model import EnergyTermModule
from equipot.nn.irreps import FeatureLayout
from equipot_testing._checklist import NotApplicable, after
from equipot_testing._equivariance import orthogonal_matrices, turned_block, turned_tensors, turned_vectors
from equipot_testing._ghosts import reach_of
from equipot_testing._model_kit import ModelKit, five_types, in_batches_and_alone, parameters_of, served_by_name
from equipot_testing.checks import check_close, check_equal, check_that
from equipot_testing.frames import batch_of, bulk, cluster, crystals, molecule, placed, served, slab

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equipot.graph import Graph
    from equipot.model import GraphModel
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
        model, keys = self.model(), ("atomic_energy", "forces", "total_energy", "stress", "virial")
        for what, together, alone in in_batches_and_alone(model, self.structures(), keys):
            check_close(f"batch equals singles, {what}", together, alone, tolerance=TIGHT)

    @after("batch_equals_singles")
    def test_cells_of_different_volume(self) -> None:
        """In a batch of cells of different volume, each frame has the stress that it has alone.

        Tolerance: 1e-9, relative to the largest value or 1; volumes of 23, 117 and 770 Å³, in two orders.
        Why: data sets mix cells under pressure with supercells; a stress over the volume of another frame trains a
        wrong equation of state, and shows neither in single frames nor in batches of equal cells.
        Goes wrong: the volume of the first frame, or the mean, for all; a cell smaller than the cutoff radius, whose
        atoms see more than one image of each other.
        """
        model = self.model()
        structures = placed(crystals(len(self.type_names)), model.info)
        for ordered in (structures, structures[::-1]):
            together = model(batch_of(ordered, model.info))
            for index, structure in enumerate(ordered):
                law = f"a cell of {structure.volume:.0f} Å³ among cells of other volumes"
                alone = model(structure.graph(model.info))
                for key in ("stress", "virial", "total_energy"):
                    words = f"{law}: {key} must be that of the frame alone"
                    check_close(words, together[key][index : index + 1], alone[key], tolerance=TIGHT)

    @after("batch_equals_singles")
    def test_permutation(self) -> None:
        """The order of atoms does not matter.

        Tolerance: 1e-9, relative to the largest value or 1.
        Why: engines reorder atoms; if the order matters, the energy is not well defined.
        Goes wrong: the index of an atom as a feature; the assumption that the first neighbour is the nearest.
        """
        model, structure = self.model(), max(self.structures().values(), key=len)
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

    @after("batch_equals_singles", "image_wrapping")
    def test_pbc_flags(self) -> None:
        """Periodic images out of reach change nothing: a molecule in a large cell is the molecule, with any flags.

        Tolerance: 1e-9, relative to the largest value or 1; all eight flags, and a layer with a vacuum as slab and as
        bulk. Does not apply to global models, such as electrostatics, for which distant images may count.
        Why: the same data come with different flags: molecules in boxes, layers with a vacuum that is periodic too.
        Goes wrong: flags, cell vectors or the volume read as features of a frame; images found from the cell instead of
        from the edges.
        """
        model = self.model()
        if model.info.locality == "global":
            raise NotApplicable("the model is declared global")
        size = 4 * reach_of(model.info)
        (free,) = placed([molecule(len(self.type_names))], model.info)
        box = torch.diag(torch.tensor([size, 1.1 * size, 1.2 * size], dtype=torch.float64))
        everywhere = itertools.product((False, True), (False, True), (False, True))
        boxed = {
            f"a molecule in a large cell, pbc {pbc}": dataclasses.replace(free, cell=box, pbc=pbc) for pbc in everywhere
        }
        layer = slab(len(self.type_names))
        layer = dataclasses.replace(
            layer, cell=torch.cat([layer.cell[:2], size * layer.cell[2:] / layer.cell[2].norm()])
        )
        boxed["a slab with a large vacuum that is periodic too"] = dataclasses.replace(layer, pbc=(True, True, True))
        for name, structure in served_by_name(boxed, model.info).items():
            original = free if "molecule" in name else layer
            if not served([original], model.info):
                continue
            output, expected = model(structure.graph(model.info)), model(original.graph(model.info))
            for key in ("atomic_energy", "total_energy", "forces", "virial"):
                words = f"{name}: {key} must be that without periodic images"
                check_close(words, output[key], expected[key], tolerance=TIGHT)

    @after("batch_equals_singles")
    def test_extensivity(self) -> None:
        """A supercell and two distant molecules have the sum of the energies and the same forces.

        Tolerance: 1e-9, relative to the largest value or 1; no molecules for a model that is declared global.
        Why: energies per atom must not depend on the size of the simulation cell.
        Goes wrong: a mean over atoms instead of a sum; a division by ``num_atoms``.
        """
        model = self.model()
        n_types = len(self.type_names)
        for structure in served([bulk(n_types, n_atoms=4)], model.info):
            self._check_supercells(model, structure)
        if model.info.locality == "global":
            return  # molecules with a charge or a dipole moment act on each other at any distance
        pair = [molecule(n_types), molecule(n_types, seed=31)]
        if not served(pair, model.info):
            return
        one, other = pair
        far = other.moved(torch.tensor([60.0, 5.0, 0.0], dtype=torch.float64))
        parts = torch.cat([model(part.graph(model.info))["atomic_energy"] for part in pair])
        both = model(_together(one, far).graph(model.info))["atomic_energy"]
        check_close("two molecules 60 Å apart: each must have the energy it has alone", both, parts, tolerance=TIGHT)

    def _check_supercells(self, model: GraphModel, structure: Structure) -> None:
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
        table = self._energies_of_pairs(self.model())
        _check_types_differ(table, "its neighbour", self.type_names)
        _check_types_differ(table.T, "the atom itself", self.type_names)

    @after("types_matter")
    def test_five_types(self) -> None:
        """In a model of five types, each type has energies of its own, which depend on weights that can be trained.

        Tolerance: as for ``types_matter``; does not apply to builders that refuse these types.
        Why: data sets have up to 89 elements; a fourth type that is taken for the third gives a smooth, symmetric and
        wrong potential.
        Goes wrong: an index of types clamped to the size of a table; a table that is filled for the first types only.
        """
        names = five_types(self.type_names)
        try:
            model = self.model(**self.options_of_types(names))
        except ConfigError as error:
            raise NotApplicable(f"the builder refuses the types {names}: {error.problems[0]}") from None
        table = self._energies_of_pairs(model)
        _check_types_differ(table, "its neighbour", names)
        _check_types_differ(table.T, "the atom itself", names)
        same = placed(self._pairs_of_types(len(names))[:: len(names) + 1], model.info)
        own = model.train()(batch_of(same, model.info))["total_energy"]
        for name, energy in zip(names, own, strict=True):
            gradients = torch.autograd.grad(energy, parameters_of(model), retain_graph=True, allow_unused=True)
            trained = any(gradient is not None and bool(gradient.any()) for gradient in gradients)
            check_that(trained, f"five types: no weight changes the energy of {name}, so it cannot be trained")

    def _pairs_of_types(self, n_types: int) -> list[Structure]:
        """Two atoms of each ordered pair of types, half a radius apart."""
        places = [[0.0, 0.0, 0.0], [0.5 * self.r_max, 0.1, -0.2]]
        return [cluster(places, [own, other]) for own in range(n_types) for other in range(n_types)]

    def _energies_of_pairs(self, model: GraphModel) -> torch.Tensor:
        """Energy of an atom of each type (row) with a neighbour of each type (column), without scales and shifts."""
        names = model.info.type_names
        dimers = placed(self._pairs_of_types(len(names)), model.info)
        output = model(batch_of(dimers, model.info))["atomic_energy"][::2].reshape(len(names), len(names))
        shifts = torch.tensor([self.shift_of(model, own) for own in range(len(names))], dtype=torch.float64)
        scales = model.scale_shift.values("scales")
        factors = torch.tensor([scales[name] for name in names], dtype=torch.float64)
        return (output - shifts[:, None]) / factors[:, None]


def _check_types_differ(table: torch.Tensor, what: str, names: Sequence[str]) -> None:
    """Fail if two columns of a table of energies are the same."""
    allowed = 1e-12 * float(table.abs().max())
    differences = (table[:, :, None] - table[:, None, :]).abs().amax(0)
    for one, other in itertools.combinations(range(len(names)), 2):
        words = f"the energy of an atom must depend on the type of {what}, it is the same for {names[one]}"
        check_that(float(differences[one, other]) > allowed, f"{words} and {names[other]}")


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
