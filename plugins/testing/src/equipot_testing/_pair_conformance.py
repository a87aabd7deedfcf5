"""The conformance class of pair potentials: the pair function alone, then in a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch

from equipot.errors import ConfigError
from equipot.model import BuildContext, PairEnergy, PairPotential, resolve_cutoffs
from equipot.nn.cutoff import polynomial_cutoff
from equipot_testing._base import Conformance
from equipot_testing._checklist import NotApplicable, after
from equipot_testing._equivariance import orthogonal_matrices
from equipot_testing._model_kit import called, cloned, five_types
from equipot_testing._refusals import check_refused, check_unknown_option_refused
from equipot_testing._tracing import runner, traced
from equipot_testing.checks import check_close, check_equal, check_outputs_equal, check_that
from equipot_testing.finite_difference import fd_forces
from equipot_testing.frames import Structure, batch_of, bulk, cluster, lone_atom, standard_structures
from equipot_testing.toy import ToyModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equipot.model import GraphModel
    from equipot.units import Units

TIGHT = 1e-10


class PairPotentialConformance(Conformance):
    """The checks of a pair potential.

    Example:
        >>> class TestMorse(PairPotentialConformance):
        ...     name = "Morse"
        ...     options = {"depth": 1.2}

    Forces come from autograd with respect to positions, so no other plugin is needed.
    """

    kind = "pair_potentials"
    basics = ("shape_and_dtype", "inputs_and_state")

    type_names: ClassVar[tuple[str, ...]] = ("H", "C", "O")
    """Types it is tested with."""

    r_max: ClassVar[float] = 4.0
    """Cutoff radius in Å it is tested with."""

    distances: ClassVar[tuple[float, float]] = (0.4, 4.0)
    """Range of distances in Å in which it is differentiable."""

    asymmetric: ClassVar[dict[str, Any]] = {"H": {"C": 2.6}, "O": 3.3}
    """Cutoff radii by type used for the checks with asymmetric cutoffs."""

    def potential(self, **changes: Any) -> PairPotential:
        """The options under test."""
        potential: PairPotential = self.component()(**{**self.made_options(), **changes})
        return potential

    def context(self, names: Sequence[str] = ()) -> BuildContext:
        """The model for which the pair function is built, of the kit's types or of others."""
        names = tuple(names) or self.type_names
        return BuildContext(
            type_names=names,
            chemical_species=names,
            r_max=self.r_max,
            cutoffs=resolve_cutoffs(names, self.r_max, None),
            model_dtype=torch.float64,
            units=self.potential().expected_units() or "metal",
        )

    def pair_energy(self) -> PairEnergy:
        """The pair function under test."""
        return self.potential().build_pair_energy(self.context())

    def model(self, *, with_potential: bool = True, **changes: Any) -> GraphModel:
        """A toy model with or without the potential, energies only, in train mode."""
        base: dict[str, Any] = {
            "type_names": list(self.type_names),
            "r_max": self.r_max,
            "model_dtype": "float64",
            "do_derivatives": False,
        }
        potential = self.potential() if with_potential else None
        units = self.potential().expected_units() or "metal"
        return ToyModel(**{**base, "pair_potential": potential, **changes}).build(units)

    def energies(self, model: GraphModel, structures: list[Structure]) -> torch.Tensor:
        """The potential's own part of the atomic energies, [n_atoms]."""
        bare = self.model(with_potential=False, per_edge_type_cutoff=model.config["per_edge_type_cutoff"])
        batch = batch_of(structures, model.info)
        return (model(batch)["atomic_energy"] - bare(batch)["atomic_energy"]).detach()

    # ---------------------------------------------------- the pair function alone

    def _pairs(self, n_distances: int = 24) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Distances and all ordered pairs of types."""
        n_types = len(self.type_names)
        r = torch.linspace(*self.distances, n_distances, dtype=torch.float64)
        centre, neighbour = torch.cartesian_prod(torch.arange(n_types), torch.arange(n_types)).T
        return r.repeat(n_types**2), centre.repeat_interleave(n_distances), neighbour.repeat_interleave(n_distances)

    def test_shape_and_dtype(self) -> None:
        """The pair function gives one finite float64 number for each pair, and none without pairs.

        Tolerance: none; 216 pairs, one, and none.
        Why: otherwise nothing else can be judged; data sets of molecules contain frames without edges.
        Goes wrong: a shape [n_edges, 1]; float32 constants; 0/0 or overflow at distances where data exist.
        """
        r, centre, neighbour = self._pairs()
        for count in (len(r), 1, 0):
            energy = self.pair_energy()(r[:count], centre[:count], neighbour[:count])
            check_that(
                energy.shape == (count,) and energy.dtype == torch.float64,
                f"{count} pairs must give {count} float64 energies, got {energy.dtype} {tuple(energy.shape)}",
            )
            check_that(bool(torch.isfinite(energy).all()), "pair energies must be finite")

    def test_inputs_and_state(self) -> None:
        """A call changes neither the batch nor the weights nor the global random generator.

        Tolerance: none, bit for bit.
        Why: other code uses the same tensors.
        Goes wrong: in-place functions such as ``r.clamp_(…)``.
        """
        before = torch.get_rng_state()
        model = self.model()
        batch = batch_of(self._structures(), model.info)
        kept, state = cloned(batch), cloned(model.state_dict())
        model(batch)
        check_outputs_equal("the batch must not be changed", batch, kept)
        check_outputs_equal("a call must not change the state", model.state_dict(), state)
        check_equal("the global random generator must not be used", torch.get_rng_state(), before)

    def test_symmetric(self) -> None:
        """Swapping the two atoms does not change a pair's energy.

        Tolerance: 1e-14, relative to the largest energy or 1.
        Why: otherwise the energy depends on which atom is the centre, and Newton's third law is broken in engines.
        Goes wrong: the centre's type used twice; mixing rules that are not symmetric.
        """
        r, centre, neighbour = self._pairs()
        function = self.pair_energy()
        check_close(
            "swapping i and j: pair energy must not change",
            function(r, neighbour, centre),
            function(r, centre, neighbour),
            tolerance=1e-14,
        )

    def test_pairs_independent(self) -> None:
        """A pair's energy does not depend on the other pairs.

        Tolerance: 1e-14, relative to the largest energy or 1.
        Why: otherwise the frames of a batch influence each other.
        Goes wrong: a mean, sum or maximum over all pairs.
        """
        r, centre, neighbour = self._pairs()
        function = self.pair_energy()
        order = torch.randperm(len(r), generator=torch.Generator().manual_seed(2))
        together = function(r, centre, neighbour)
        check_close(
            "order of pairs: energies must follow",
            function(r[order], centre[order], neighbour[order]),
            together[order],
            tolerance=1e-14,
        )
        some = slice(3, None, 5)
        check_close(
            "some of the pairs: energies must not change",
            function(r[some], centre[some], neighbour[some]),
            together[some],
            tolerance=1e-14,
        )

    @after("symmetric", "pairs_independent")
    def test_five_types(self) -> None:
        """In a model of five types, a pair of elements has the energy that it has in a model of these two.

        Tolerance: 1e-14, relative to the largest energy or 1; does not apply to potentials with weights to train, or
        that refuse these types.
        Why: the potential is about elements, not about places in a list; data sets have up to 89 elements.
        Goes wrong: an index of types clamped to the size of a table; constants taken by index instead of by element.
        """
        names = five_types(self.type_names)
        try:
            whole = self._function_of(names)
        except ConfigError as error:
            raise NotApplicable(f"the potential refuses the types {names}: {error.problems[0]}") from None
        if any(one.requires_grad for one in whole.parameters()):
            raise NotApplicable("the potential has weights, which need not be the same in a model of other types")
        r = torch.linspace(*self.distances, 5, dtype=torch.float64)
        centre, neighbour = torch.cartesian_prod(torch.arange(2), torch.arange(2)).repeat_interleave(len(r), 0).T
        for index in range(1, len(names)):
            two = (names[0], names[index])
            expected = self._function_of(two)(r.repeat(4), centre, neighbour)
            law = f"{'-'.join(two)} in a model of {len(names)} types: energies must be those in a model of these two"
            check_close(law, whole(r.repeat(4), index * centre, index * neighbour), expected, tolerance=1e-14)

    def _function_of(self, names: Sequence[str]) -> PairEnergy:
        """The pair function in a model of these types."""
        changes = {"chemical_species": list(names)} if "chemical_species" in self.options else {}
        return self.potential(**changes).build_pair_energy(self.context(names))

    @after("pairs_independent")
    def test_gradient(self) -> None:
        """The derivative by autograd agrees with finite differences, and the second derivative is finite.

        Tolerance: 1e-7, four-point differences with a step of 1e-4 Å.
        Why: core computes forces by autograd; training of the parameters needs the second derivative.
        Goes wrong: ``detach``; ``torch.where`` with an infinite branch, whose gradient is NaN; table look-up.
        """
        r, centre, neighbour = self._pairs()
        r = r[1:-1].clamp(self.distances[0] + 0.01, self.distances[1] - 0.01).requires_grad_()
        centre, neighbour = centre[1:-1], neighbour[1:-1]
        function, step = self.pair_energy(), 1e-4
        energy = function(r, centre, neighbour)
        check_that(energy.requires_grad, "pair energies must follow from the distances for autograd, they are detached")
        (slope,) = torch.autograd.grad(energy.sum(), r, create_graph=True)
        with torch.no_grad():
            at = [function(r + offset * step, centre, neighbour) for offset in (-2, -1, 1, 2)]
            expected = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step)
        check_close("dE/dr of the pair function", slope.detach(), expected, tolerance=1e-7)
        (curvature,) = torch.autograd.grad(slope.sum(), r)
        check_that(bool(torch.isfinite(curvature).all()), "second derivative of the pair function must be finite")

    # -------------------------------------------------------------- in a model

    @after("symmetric", "pairs_independent")
    def test_half_of_each_directed_edge(self) -> None:
        """A centre gets 1/2 · pair energy · u(r / R[centre, neighbour]), also where R is not symmetric.

        Tolerance: 1e-10, relative to the largest energy or 1.
        Why: a potential from another program must give the energies of that program.
        Goes wrong: the plugin applies the factor one half too; ``build`` is overridden.
        """
        types = torch.arange(len(self.type_names))
        distances = torch.tensor([0.9, 2.5, 3.1, 3.9], dtype=torch.float64)
        index = torch.cartesian_prod(types, types, torch.arange(len(distances)))
        i, j, r = index[:, 0], index[:, 1], distances[index[:, 2]]
        dimers = [
            cluster([[0.0, 0.0, 0.0], [0.0, float(distance), 0.0]], [int(first), int(second)])
            for first, second, distance in zip(i, j, r, strict=True)
        ]
        pair = self.pair_energy()(r, i, j)
        for cutoffs in (None, self.asymmetric):
            radii = resolve_cutoffs(list(self.type_names), self.r_max, cutoffs)
            scaled = r[:, None] / torch.stack([radii[i, j], radii[j, i]], dim=1)
            expected = 0.5 * pair[:, None] * polynomial_cutoff(scaled, self.potential().polynomial_cutoff_p)
            found = self.energies(self.model(per_edge_type_cutoff=cutoffs), dimers).reshape(-1, 2)
            for row in range(len(dimers)):
                names = f"{self.type_names[int(i[row])]}-{self.type_names[int(j[row])]} at {float(r[row])} Å"
                check_close(f"{names}: energies of the two atoms", found[row], expected[row], tolerance=TIGHT)

    @after("half_of_each_directed_edge")
    def test_adds_to_the_model(self) -> None:
        """The potential is added to the model's own energies, and scales and shifts do not act on it.

        Tolerance: 1e-10, relative to the largest energy or 1.
        Why: the scale of the learned part must not scale a physical law.
        Goes wrong: a term that reads or changes the energies computed before.
        """
        names = self.type_names
        scaled: dict[str, Any] = {
            "per_type_energy_scales": {name: 2.0 + index for index, name in enumerate(names)},
            "per_type_energy_shifts": {name: -3.0 * index for index, name in enumerate(names)},
        }
        batch = batch_of(self._structures(), self.model().info)
        with_both, bare = self.model(**scaled)(batch), self.model(with_potential=False, **scaled)(batch)
        check_close(
            "scales and shifts must not act on the potential",
            with_both["atomic_energy"] - bare["atomic_energy"],
            self.model()(batch)["atomic_energy"] - self.model(with_potential=False)(batch)["atomic_energy"],
            tolerance=TIGHT,
        )

    @after("gradient", "half_of_each_directed_edge")
    def test_forces(self) -> None:
        """Forces by autograd agree with finite differences, with asymmetric cutoffs too.

        Tolerance: 2e-6 of the largest force, four-point differences with a step of 1e-3 Å.
        Why: only then molecular dynamics conserves energy.
        Goes wrong: a kink in the function, for instance between pieces that do not join smoothly.
        """
        structures = standard_structures(len(self.type_names))
        for cutoffs, names in ((None, ("bulk", "molecule")), (self.asymmetric, tuple(structures))):
            model = self.model(per_edge_type_cutoff=cutoffs)
            for name in names:
                structure = structures[name]
                graph = structure.graph(model.info)
                graph["positions"].requires_grad_()
                (gradient,) = torch.autograd.grad(model(graph)["total_energy"].sum(), graph["positions"])
                expected = fd_forces(model, model.info, structure)
                check_close(f"{name}: forces must be -dE/dR", -gradient, expected, tolerance=2e-6)

    @after("pairs_independent")
    def test_invariance(self) -> None:
        """Rotation, inversion and batching do not change the energies.

        Tolerance: 1e-10, relative to the largest energy or 1.
        Why: a pair potential depends on distances only.
        Goes wrong: anything but the distance is used.
        """
        model, structures = self.model(), self._structures()
        before = self.energies(model, structures)
        for name, matrix in orthogonal_matrices().items():
            turned = [structure.mapped(matrix) for structure in structures]
            check_close(f"{name}: energies must not change", self.energies(model, turned), before, tolerance=TIGHT)
        alone = torch.cat([self.energies(model, [structure]) for structure in structures])
        check_close("batch equals singles: energies", before, alone, tolerance=TIGHT)

    def test_isolated_atom(self) -> None:
        """The energy of an atom without neighbours is exactly 0.

        Tolerance: none.
        Why: energies of isolated atoms are the model's shifts, by contract.
        Goes wrong: a constant per atom, which belongs in the shifts.
        """
        for atom_type in range(len(self.type_names)):
            check_that(
                not self.energies(self.model(), [lone_atom(atom_type)]).any(),
                "isolated atom: the potential's energy must be exactly 0",
            )

    @after("shape_and_dtype")
    def test_trace(self) -> None:
        """A trace of a model with the potential equals the model at other sizes.

        Tolerance: 1e-10, relative to the largest energy or 1.
        Why: compiled files are made from such a trace.
        Goes wrong: an ``if`` on values; a loop over types with ``.item()``; a boolean mask that changes sizes.
        """
        model = self.model().eval()
        graph, outputs = traced(model, batch_of(self._structures(), model.info))
        run = runner(graph, model.info.inputs, outputs)
        for structures in ([lone_atom()], [bulk(len(self.type_names)), lone_atom(1)]):
            batch = batch_of(structures, model.info)
            output = called("traced model", run, batch)
            check_close("traced model", output["atomic_energy"], model(batch)["atomic_energy"], tolerance=TIGHT)

    def _structures(self) -> list[Structure]:
        return list(standard_structures(len(self.type_names)).values())

    # ------------------------------------------------------------------ config

    def test_units(self) -> None:
        """A potential that works in one unit system refuses data in the other.

        Tolerance: none; does not apply to potentials that work in any units.
        Why: energies that are wrong by a factor of 23 look like a bad fit.
        Goes wrong: a field ``units`` that is not compared, because ``expected_units`` is overridden.
        """
        units = self.potential().expected_units()
        if units is None:
            raise NotApplicable("the potential works in any units")
        other: Units = "real" if units == "metal" else "metal"
        recipe = ToyModel(type_names=list(self.type_names), r_max=self.r_max, pair_potential=self.potential())
        check_refused("data in other units", lambda: recipe.build_energy_model(other), "units", other)

    def test_species(self) -> None:
        """A potential that knows the species refuses types of other species.

        Tolerance: none; does not apply to potentials without ``chemical_species``.
        Why: otherwise hydrogen repels like oxygen if the order differs.
        Goes wrong: ``expected_species`` overridden; species sorted.
        """
        if "chemical_species" not in type(self.potential()).__dataclass_fields__:
            raise NotApplicable("the potential has no option chemical_species")
        given = list(reversed(self.type_names))
        options: dict[str, Any] = {"type_names": list(self.type_names), "r_max": self.r_max}
        check_refused(
            "species in another order",
            lambda: ToyModel(**options, pair_potential=self.potential(chemical_species=given)),
            "chemical_species",
        )

    def test_unknown_option(self) -> None:
        """An unknown option is refused with an error that names it.

        Tolerance: none.
        Why: with a misspelled option, the default would silently be used.
        Goes wrong: a class that is not a frozen dataclass.
        """
        check_unknown_option_refused(self.potential)
