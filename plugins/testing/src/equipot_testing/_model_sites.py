"""Checks of model builders in surroundings that random structures do not have: symmetric ones and dense ones."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import torch

from equipot.errors import DataError
from equipot.graph import edge_set_key
from equipot_testing._checklist import NotApplicable, after
from equipot_testing._equivariance import orthogonal_matrices
from equipot_testing._model_kit import called, parameters_of
from equipot_testing._model_physics import ModelPhysicsChecks
from equipot_testing._model_symmetry import TIGHT
from equipot_testing._refusals import check_refused
from equipot_testing._symmetric import symmetric_structures
from equipot_testing.checks import check_close, check_that
from equipot_testing.frames import Structure, batch_of, cluster, placed, served, standard_structures

if TYPE_CHECKING:
    from equipot.model import GraphModel

NEIGHBOURS = 220
"""Number of neighbours of an atom in a dense structure."""


class ModelSiteChecks(ModelPhysicsChecks):
    """Symmetric structures, many neighbours."""

    @after("permutation", "rotation_and_inversion", "image_wrapping", "smooth_at_cutoff")
    def test_symmetric_structures(self) -> None:
        """Where symmetry forbids a force, it is 0 and not NaN, in eval and train mode; so are gradients of weights.

        Tolerance: 1e-9 eV/Å; crystals, a layer, chains and molecules, as they are and turned.
        Why: perfect crystals and linear molecules are the first things that users compute, and the contributions of
        neighbours cancel there up to rounding.
        Goes wrong: the length of a sum of vectors without a small constant under the root; angles by ``acos``;
        a division by such a length.
        """
        model = self.model()
        every = symmetric_structures(len(self.type_names))
        symmetric = {name: one for name, one in every.items() if served([one.structure], model.info)}
        for how, matrix in (("", torch.eye(3, dtype=torch.float64)), (", turned", orthogonal_matrices()["rotation"])):
            batch = batch_of([one.structure.mapped(matrix) for one in symmetric.values()], model.info)
            sizes = [len(one.structure) for one in symmetric.values()]
            for mode in ("eval", "train"):
                output = called(f"symmetric structures{how}", model.train(mode == "train"), batch)
                forces = (output["forces"] @ matrix).split(sizes)
                for (name, one), found in zip(symmetric.items(), forces, strict=True):
                    law = f"{name}{how}, {mode} mode"
                    check_that(bool(torch.isfinite(found).all()), f"{law}: forces must be finite")
                    forbidden = found[~one.allowed]
                    words = f"{law}: forces that symmetry forbids must be 0"
                    check_close(words, forbidden, torch.zeros_like(forbidden), tolerance=TIGHT)
            loss = output["total_energy"].square().sum() + output["forces"].square().sum()
            gradients = torch.autograd.grad(loss, parameters_of(model), allow_unused=True)
            finite = all(gradient is None or bool(torch.isfinite(gradient).all()) for gradient in gradients)
            check_that(finite, f"symmetric structures{how}: gradients of the weights must be finite")

    @after("batch_equals_singles")
    def test_boundary_conditions(self) -> None:
        """Frames are served or refused as declared, and cell vectors along which they are not periodic are not read.

        Tolerance: 1e-9, relative to the largest value or 1; slab, wire and molecule with other cell vectors.
        Why: such vectors only span a vacuum, of which each program takes another one; with a wrong treatment of the
        boundary, energies of adsorption depend on it.
        Goes wrong: three-dimensional sums for a slab; the volume of a cell with vacuum; a boundary condition that is
        declared but not implemented.
        """
        model = self.model()
        for name, structure in standard_structures(len(self.type_names)).items():
            graph = structure.graph(model.info)
            if not served([structure], model.info):
                refused = functools.partial(model, graph)
                check_refused(f"a {name}, as declared,", refused, structure.boundary, errors=(DataError,))
                continue
            output = called(f"{name}, which is declared", model, graph)
            free = ~torch.tensor(structure.pbc)
            cell = structure.cell + free[:, None] * torch.tensor([[9.0, 1.0, 0.0], [0.0, 11.0, 1.0], [1.0, 0.0, 13.0]])
            other = model(dataclasses.replace(structure, cell=cell).graph(model.info))
            for key in ("atomic_energy", "total_energy", "forces", "virial"):
                words = f"{name} with another vacuum: {key} must not change"
                check_close(words, other[key], output[key], tolerance=TIGHT)

    @after("batch_equals_singles", "permutation", "symmetric_structures")
    def test_many_neighbours(self) -> None:
        """With more than 200 neighbours, each of them counts, and a crystal so dense has finite, symmetric forces.

        Tolerance: none for the neighbours, of which none may have a slope of exactly 0 if others of its type have one;
        forces 1e-9 relative to the largest energy. The neighbours of one atom only are listed as edges. The first part
        does not apply to global models, nor where energies saturate.
        Why: compressed and liquid metals have that many; a model that leaves some out jumps when their order changes.
        Goes wrong: a maximum number of neighbours; arrays of a fixed size; the nearest atoms only.
        """
        self._check_dense_crystal()
        if self.model().info.locality == "global":
            raise NotApplicable("the model is declared global")
        model = self.bare_model().train()
        for name, radius in {"": model.info.r_max, **dict(model.info.edge_sets)}.items():
            self._check_each_neighbour(model, name, radius)

    def _check_dense_crystal(self) -> None:
        model = self.model()
        half = 0.2125 * min([model.info.r_max, *(radius for _, radius in model.info.edge_sets)])
        places = torch.tensor([[0, 0, 0], [0, half, half], [half, 0, half], [half, half, 0]], dtype=torch.float64)
        dense = Structure(
            places, torch.zeros(4, dtype=torch.int64), 2 * half * torch.eye(3, dtype=torch.float64), (True,) * 3
        )
        if not served([dense], model.info):
            return
        output = called("a crystal with more than 200 neighbours", model, dense.graph(model.info))
        finite = all(bool(torch.isfinite(value).all()) for value in output.values())
        check_that(finite, "a crystal with more than 200 neighbours: outputs must be finite")
        scale = 1 + float(output["atomic_energy"].abs().max())
        words = "a crystal with more than 200 neighbours: forces, over the largest energy, must be 0 by symmetry"
        check_close(words, output["forces"] / scale, torch.zeros_like(places), tolerance=TIGHT)

    def _check_each_neighbour(self, model: GraphModel, name: str, radius: float) -> None:
        """Fail if the energy of an atom does not react to one of its neighbours, which are listed in this edge set."""
        generator = torch.Generator().manual_seed(23)
        directions = torch.randn(NEIGHBOURS, 3, generator=generator, dtype=torch.float64)
        distances = radius * (0.5 + 0.4 * torch.rand(NEIGHBOURS, 1, generator=generator, dtype=torch.float64))
        places = torch.cat([torch.zeros(1, 3), distances * directions / directions.norm(dim=1, keepdim=True)])
        types = torch.arange(NEIGHBOURS + 1) % len(self.type_names)
        graph = batch_of(placed([cluster(places.tolist(), types.tolist())], model.info), model.info)
        for key in model.info.edge_set_names:
            kept = (graph[edge_set_key("edge_index", key)][0] == 0) & (key == name)
            for field in ("edge_index", "edge_cell_shift"):
                values = graph[edge_set_key(field, key)]
                graph[edge_set_key(field, key)] = values[:, kept] if field == "edge_index" else values[kept]
        graph["positions"].requires_grad_()
        energy = called(f"an atom with {NEIGHBOURS} neighbours", model, graph)["atomic_energy"][0]
        if not energy.requires_grad:
            return
        (slope,) = torch.autograd.grad(energy, graph["positions"])
        counts = slope.ne(0).any(1)[1:]
        for index, type_name in enumerate(self.type_names):
            of_type = counts[types[1:] == index]
            words = f"an atom with {NEIGHBOURS} neighbours: each of them must count, but of the {len(of_type)} of type"
            check_that(
                not bool(of_type.any()) or bool(of_type.all()),
                f"{words} {type_name} only {int(of_type.sum())} change its energy",
            )
