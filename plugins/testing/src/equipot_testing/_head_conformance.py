"""The conformance class of output heads: a healthy model with the head, whose predictions must keep the laws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

from equipot.declarations import ModifierEntry
from equipot.fields import FIELDS
from equipot.graph import collate
from equipot.model import BOUNDARIES
from equipot_testing._checklist import NotApplicable, after
from equipot_testing._equivariance import orthogonal_matrices, turned_field
from equipot_testing._ghosts import split
from equipot_testing._model_conformance import ModelBuilderConformance
from equipot_testing._model_kit import called, in_batches_and_alone, parameters_of
from equipot_testing._model_symmetry import TIGHT
from equipot_testing._modifier_conformance import apply_undeclared
from equipot_testing.checks import check_close, check_that
from equipot_testing.frames import Structure, batch_of, cluster, served, standard_structures, structures_for
from equipot_testing.toy import ToyFeatures

if TYPE_CHECKING:
    from equipot.graph import Graph
    from equipot.model import GraphModel, ModelBuilder, OutputHead

EDGE = 1e-5
"""Distance from the cutoff radius at which smoothness is tested, relative to the radius."""


class OutputHeadConformance(ModelBuilderConformance):
    """The checks of an output head, which a modifier adds to a model.

    The head is added to a tiny model with features that passes all checks, so that every failure is due to the head.
    The modifier itself has checks of its own, in ``ModifierConformance``.

    Example:
        >>> class TestDipoles(OutputHeadConformance):
        ...     name = "add_Dipoles"
        ...     options = {"seed": 3}
    """

    kind = "output_heads"
    declared_kind = "modifiers"

    moves_along: ClassVar[tuple[str, ...]] = ()
    """Fields that change when the whole frame is moved, such as the dipole moment of an ion relative to an origin."""

    # checks that only apply to builders, or that are about energies and their derivatives
    test_isolated_atom = None  # type: ignore[assignment]
    test_forces = None  # type: ignore[assignment]
    test_stress = None  # type: ignore[assignment]
    test_asymmetric_cutoffs = None  # type: ignore[assignment]
    test_locality = None  # type: ignore[assignment]
    test_weight_gradients = None  # type: ignore[assignment]
    test_types_matter = None  # type: ignore[assignment]
    test_five_types = None  # type: ignore[assignment]
    test_cells_of_different_volume = None  # type: ignore[assignment]
    test_symmetric_structures = None  # type: ignore[assignment]
    test_many_neighbours = None  # type: ignore[assignment]
    test_pbc_flags = None  # type: ignore[assignment]
    test_boundary_conditions = None  # type: ignore[assignment]
    test_energy_only = None  # type: ignore[assignment]
    test_seed = None  # type: ignore[assignment]
    test_model_dtype = None  # type: ignore[assignment]
    test_state_dict = None  # type: ignore[assignment]
    test_float32 = None  # type: ignore[assignment]
    test_package = None  # type: ignore[assignment]
    test_compile = None  # type: ignore[assignment]
    test_unknown_option = None  # type: ignore[assignment]
    test_nested_options = None  # type: ignore[assignment]
    test_wrong_type = None  # type: ignore[assignment]

    def entry(self) -> ModifierEntry:
        """The declaration of the modifier."""
        from equipot.plugins import plugins

        if self.target is not None:
            return ModifierEntry(name=self.target.__name__, target="undeclared.function", summary="", persistent=True)
        return cast("ModifierEntry", plugins().lookup("modifiers", self.name).entry)

    def recipe(self, **changes: Any) -> ModelBuilder:
        """The tiny model to which the head is added."""
        return ToyFeatures(**{**self.base_options(), **changes})

    def model(self, **changes: Any) -> GraphModel:
        """The tiny model with the head, in eval mode."""
        from equipot.model import apply_modifier

        model = self.recipe(**changes).build()
        if self.target is None:
            return apply_modifier(model, self.name, self.options).eval()
        return apply_undeclared(self.entry(), self.component(), model, dict(self.options)).eval()

    def heads(self, model: GraphModel) -> list[OutputHead]:
        """The heads that the modifier has added."""
        return [head for _, head in model.heads()]

    def fields(self, model: GraphModel) -> list[str]:
        """The fields that they predict."""
        return [key for head in self.heads(model) for key in head.provides]

    def without_forces(self, model: GraphModel) -> GraphModel:
        """The model with energies only, unless a head reads edge vectors, by which it may differentiate."""
        reads_vectors = any("edge_vectors" in head.requires for head in self.heads(model))
        return model if reads_vectors else super().without_forces(model)

    def structures(self) -> dict[str, Structure]:
        """Bulk, slab, wire, molecule and lone atom, as far as the head serves them, and at least four frames."""
        return structures_for(self.model().info)

    # ----------------------------------------------------------------- checks

    def test_runs(self) -> None:
        """The model gains a head and its fields, nothing else: in their shapes, finite, with the dtypes of the fields.

        Tolerance: none; in float32 and float64.
        Why: configs, losses and engines choose heads by what they are declared to provide.
        Goes wrong: ``provides`` of the modifier's declaration out of date; a field that the head does not require.
        """
        super().test_runs()
        bare = self.recipe().build()
        for dtype in ("float64", "float32"):
            model = self.model(model_dtype=dtype)
            gained = set(model.info.outputs) - set(bare.info.outputs)
            check_that(bool(self.heads(model)), "the modifier must add a head")
            check_that(gained == set(self.fields(model)), f"the model must gain its fields, it gains {sorted(gained)}")
            declared = set(self.entry().provides)
            check_that(declared in (set(), gained), f"it must provide what it declares, {declared}, not {gained}")
            output = called("the model with the head", model, batch_of(self.structures().values(), model.info))
            for key in gained:
                wanted = {"float64": torch.float64, "int64": torch.int64, "bool": torch.bool}.get(FIELDS[key].dtype)
                right = wanted in (None, output[key].dtype)
                check_that(right, f"{key} must be {wanted} in a {dtype} model, got {output[key].dtype}")

    def test_batch_equals_singles(self) -> None:
        """Predictions for a frame do not depend on the other frames of a batch.

        Tolerance: 1e-9, relative to the largest value or 1.
        Why: otherwise predictions depend on the batch, and differ in molecular dynamics, where each batch has one
        frame.
        Goes wrong: a mean over all atoms of the batch; ``sum()`` without ``batch``.
        """
        model = self.model()
        for what, together, alone in in_batches_and_alone(model, self.structures(), self.fields(model)):
            check_close(f"batch equals singles, {what}", together, alone, tolerance=TIGHT)

    @after("batch_equals_singles")
    def test_permutation(self) -> None:
        """What is predicted for atoms follows them; what is predicted for frames does not depend on their order.

        Tolerance: 1e-9, relative to the largest value or 1.
        Why: engines reorder atoms.
        Goes wrong: the index of an atom as a feature; the first atom as the origin.
        """
        model = self.model()
        for name, structure in self.structures().items():
            order = torch.arange(len(structure) - 1, -1, -1)
            before, found = model(structure.graph(model.info)), model(structure.permuted(order).graph(model.info))
            for key in self.fields(model):
                expected = before[key][order] if FIELDS[key].per == "atom" else before[key]
                check_close(f"permutation of atoms, {name}: {key}", found[key], expected, tolerance=TIGHT)

    @after("batch_equals_singles")
    def test_rotation_and_inversion(self) -> None:
        """Predictions turn with the structure as the irreps of their fields say, also for mirror images.

        Tolerance: 1e-9, relative to the largest value or 1; a rotation, the inversion, a reflection, a combination.
        Why: a dipole moment that does not turn along is wrong for all orientations but one.
        Goes wrong: a component of a vector used as a scalar; pseudovectors (1e) where vectors (1o) are declared;
        the order of e3nn where the field has x, y, z.
        """
        model, structures = self.model(), list(self.structures().values())
        before = model(batch_of(structures, model.info))
        for name, matrix in orthogonal_matrices().items():
            output = model(batch_of([structure.mapped(matrix) for structure in structures], model.info))
            for key in self.fields(model):
                if FIELDS[key].irreps is None:
                    continue
                law = f"{name}: {key} must turn as {FIELDS[key].irreps}"
                check_close(law, output[key], turned_field(FIELDS[key], before[key], matrix), tolerance=TIGHT)

    @after("batch_equals_singles")
    def test_translation(self) -> None:
        """Moving all atoms by 40 Å changes no prediction, except of fields in ``moves_along``.

        Tolerance: 1e-9, relative to the largest value or 1.
        Why: where an origin matters, the head must state it, and predictions compare only with data of the same.
        Goes wrong: a dipole moment of charges whose sum is not 0; absolute positions as features.
        """
        model, structures = self.model(), list(self.structures().values())
        shift = torch.tensor([40.0, -40.3, 39.1], dtype=torch.float64)
        before = model(batch_of(structures, model.info))
        moved = model(batch_of([structure.moved(shift) for structure in structures], model.info))
        for key in self.fields(model):
            if key not in self.moves_along:
                check_close(f"translation by 40 Å: {key} must not change", moved[key], before[key], tolerance=TIGHT)

    @after("batch_equals_singles", "rotation_and_inversion")
    def test_ions(self) -> None:
        """Of frames with charges, each has what it has alone, turned along, and charges that add up to its own.

        Tolerance: 1e-9, relative to the largest value or 1; charges of -1, 0, 1, 2 …; does not apply without
        ``total_charge``.
        Why: all other frames of these checks are neutral, so that a head for ions is not seen to use their charges.
        Goes wrong: the charge of the first frame for all of a batch; charges that are only made neutral; a charge that
        is added to each atom instead of divided among them.
        """
        model = self.model()
        if "total_charge" not in model.info.inputs:
            raise NotApplicable("it reads no total_charge")
        structures = list(self.structures().values())
        graphs = [_with_charge(one.graph(model.info), index - 1.0) for index, one in enumerate(structures)]
        together = model(collate(graphs))
        alone = [called("an ion", model, graph) for graph in graphs]
        matrix = orthogonal_matrices()["rotation and inversion"]
        turned = [one.mapped(matrix).graph(model.info) for one in structures]
        mapped = model(collate([_with_charge(one, index - 1.0) for index, one in enumerate(turned)]))
        for key in self.fields(model):
            expected = torch.cat([one[key] for one in alone])
            check_close(f"ions in a batch: {key}", together[key], expected, tolerance=TIGHT)
            if FIELDS[key].irreps is not None:
                law = f"ions, rotation and inversion: {key} must turn as {FIELDS[key].irreps}"
                check_close(law, mapped[key], turned_field(FIELDS[key], expected, matrix), tolerance=TIGHT)
            if FIELDS[key].per == "atom" and FIELDS[key].unit == "e" and not FIELDS[key].std_of:
                sums = torch.stack([one[key].sum() for one in alone]).to(torch.float64)
                charges = torch.cat([graph["total_charge"] for graph in graphs])
                check_close(f"ions: {key} must add up to the charge of the frame", sums, charges, tolerance=TIGHT)

    @after("batch_equals_singles", "translation")
    def test_image_wrapping(self) -> None:
        """Replacing atoms by their periodic images changes no prediction.

        Tolerance: 1e-9, relative to the largest value or 1; does not apply to heads for molecules only.
        Why: engines wrap atoms into the cell or let them drift.
        Goes wrong: positions read where the frame is periodic: there, charges times positions depend on the image.
        """
        model = self.model()
        periodic = {name: one for name, one in self.structures().items() if any(one.pbc)}
        if not periodic:
            raise NotApplicable("the head serves no periodic frames")
        generator = torch.Generator().manual_seed(8)
        for name, structure in periodic.items():
            shifts = torch.randint(-2, 3, (len(structure), 3), generator=generator)
            wrapped = structure.shifted_by_images(shifts)
            before, found = model(structure.graph(model.info)), model(wrapped.graph(model.info))
            for key in self.fields(model):
                law = f"atoms replaced by periodic images, {name}: {key} must not change"
                check_close(law, found[key], before[key], tolerance=TIGHT)

    @after("batch_equals_singles", "translation")
    def test_extensivity(self) -> None:
        """Of two distant copies, atoms have what they have alone, and extensive fields of the frame are the sum.

        Tolerance: 1e-9, relative to the largest value or 1; a supercell where molecules are not served.
        Why: fields per frame are compared per atom, and added up by engines, if their declaration says extensive.
        Goes wrong: a mean declared as extensive; a sum that is not; a division by ``num_atoms``.
        """
        model = self.model()
        structure = max(self.structures().values(), key=lambda one: (not any(one.pbc), len(one)))
        both = _two_copies(structure)
        one, two = model(structure.graph(model.info)), model(both.graph(model.info))
        for key in self.fields(model):
            field, summed = FIELDS[key], any(key in head.sums for head in self.heads(model))
            if field.per == "atom":
                repeated = torch.cat([one[key], one[key]])
                check_close(f"two distant copies: {key} of each atom must stay", two[key], repeated, tolerance=TIGHT)
            elif field.extensive and key not in self.moves_along:
                check_close(
                    f"two distant copies: {key} must be twice that of one", two[key], 2 * one[key], tolerance=TIGHT
                )
            check_that(field.per == "atom" or field.extensive or not summed, f"{key} is a sum: declare it extensive")

    @after("batch_equals_singles")
    def test_smooth_at_cutoff(self) -> None:
        """Predictions are continuous when an atom crosses the cutoff radius.

        Tolerance: jumps of at most 1e-4 of the change from half the radius on.
        Why: charges that jump heat up a simulation that uses them, and spectra of dipole moments get false lines.
        Goes wrong: neighbours counted or averaged without the cutoff function.
        """
        model = self.model()
        kind = next(iter(served([_pair(1.0, name) for name in BOUNDARIES], model.info)))
        at = {place: _pair(place * self.r_max, kind.boundary) for place in (0.5, 1 - EDGE, 1 + EDGE)}
        near, inside, outside = (model(one.graph(model.info)) for one in at.values())
        for key in self.fields(model):
            if not outside[key].is_floating_point():
                continue
            moved = 2 * EDGE * self.r_max * float(inside[key].abs().max())  # what reads positions moves with them
            allowed = 1e-4 * float((near[key] - outside[key]).abs().max()) + moved + 1e-9
            jump = float((inside[key] - outside[key]).abs().max())
            law = f"an atom at the cutoff radius: {key} must be continuous, jumps by {jump:.3g}"
            check_that(jump <= allowed, f"{law}, allowed {allowed:.3g}")

    @after("batch_equals_singles")
    def test_symmetric_sites(self) -> None:
        """At symmetric sites, where vector features vanish, predictions and their gradients are finite.

        Tolerance: none; an atom amid a cube of others, a dimer, a lone atom; gradients by the weights.
        Why: a perfect crystal would give NaN, and one such frame in a batch ends a training.
        Goes wrong: the norm of a vector, or its direction, without a small number under the square root.
        """
        model = self.model().train()
        for name, structure in _symmetric(model).items():
            graph = structure.graph(model.info)
            output = called(f"symmetric site, {name}", model, graph)
            values = {key: output[key] for key in self.fields(model)}
            finite = all(bool(torch.isfinite(value).all()) for value in values.values())
            check_that(finite, f"symmetric site, {name}: predictions must be finite")
            loss = sum((value.sum() for value in values.values() if value.requires_grad), torch.zeros(()))
            gradients = torch.autograd.grad(loss, parameters_of(model), allow_unused=True) if loss.requires_grad else ()
            finite = all(one is None or bool(torch.isfinite(one).all()) for one in gradients)
            check_that(finite, f"symmetric site, {name}: gradients of the weights must be finite")

    @after("batch_equals_singles", "symmetric_sites")
    def test_gradients(self) -> None:
        """Gradients of a loss on the predictions agree with finite differences of all weights.

        Tolerance: 1e-5, along one random direction.
        Why: with wrong gradients the loss falls, but the model is worse; without any, the head is never trained.
        Goes wrong: ``detach`` or ``.data`` in the forward pass; a rounding; weights kept as plain tensors.
        """
        model = self.model().train()
        batch = batch_of(self.structures().values(), model.info)
        weights = parameters_of(model)
        generator = torch.Generator().manual_seed(21)
        direction = [torch.randn(weight.shape, generator=generator, dtype=torch.float64) for weight in weights]

        def loss() -> torch.Tensor:
            output = model(batch)
            return torch.stack([output[key].to(torch.float64).square().mean() for key in self.fields(model)]).sum()

        if not loss().requires_grad:
            raise NotApplicable("what it predicts depends on no weight")
        gradients = torch.autograd.grad(loss(), weights, allow_unused=True)
        slope = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True) if g is not None)
        step, values = 1e-5, []
        with torch.no_grad():
            for offset in (step, -2 * step):
                for weight, d in zip(weights, direction, strict=True):
                    weight.add_(offset * d)
                values.append(float(loss()))
        expected = torch.tensor((values[0] - values[1]) / (2 * step))
        law = "weights: gradient of a loss on the predictions, against finite differences"
        check_close(law, torch.tensor(slope), expected, tolerance=1e-5)

    @after("batch_equals_singles", "permutation", "extensivity")
    def test_ghosts(self) -> None:
        """Split among processes with ghost atoms, parts give what the whole frame gives.

        Tolerance: 1e-9, relative to the largest value or 1; does not apply to fields per frame that are not sums.
        Why: engines with ghost atoms run the head in parts, and would give other numbers on another machine.
        Goes wrong: ``strict`` stated by a head that reads the whole frame; a sum of its own over all atoms.
        """
        model = self.model()
        heads = [head for head in self.heads(model) if head.locality == "strict" and _in_parts(head)]
        if not heads or not served([_pair(1.0, "molecule")], model.info):
            raise NotApplicable("it is not for frames in parts")
        structure = standard_structures(len(self.type_names))["molecule"]
        whole = model(structure.graph(model.info))
        parts = [(share, model(share.frame)) for share in split(structure, model.info, 2)]
        for key in (key for head in heads for key in head.provides):
            if FIELDS[key].per == "frame":
                total = torch.stack([found[key] for _, found in parts]).sum(0)
                check_close(f"parts of a frame: {key} must add up", total, whole[key], tolerance=TIGHT)
                continue
            for share, found in parts:
                own = share.frame["owned"]
                expected = whole[key][share.parents[own]]
                check_close(f"parts of a frame: {key} of owned atoms", found[key][own], expected, tolerance=TIGHT)
                check_that(not found[key][~own].any(), f"parts of a frame: {key} of ghost atoms must be 0")


def _with_charge(graph: Graph, charge: float) -> Graph:
    return {**graph, "total_charge": torch.tensor([charge], dtype=torch.float64)}


def _in_parts(head: OutputHead) -> bool:
    """Whether it can predict in parts of a frame."""
    return all(FIELDS[key].per == "atom" or key in head.sums for key in head.provides)


def _pair(distance: float, boundary: str) -> Structure:
    """A molecule of three atoms and a probe at a distance from one of them, in a large cell where it is periodic."""
    places = [[0.0, 0.0, 0.0], [-1.1, 0.5, 0.1], [-0.8, -1.0, 0.4], [distance, 0.0, 0.0]]
    molecule = cluster(places, [0, 1, 0, 1])
    periodic = BOUNDARIES.index(boundary)
    cell = 40.0 * torch.eye(3, dtype=torch.float64) * (1.0 if periodic else 0.0)
    pbc = (periodic > 0, periodic > 1, periodic > 2)
    return Structure(molecule.positions, molecule.types, cell, pbc)


def _two_copies(structure: Structure) -> Structure:
    """A supercell, or two molecules 60 Å apart."""
    if any(structure.pbc):
        counts = tuple(2 if index == structure.pbc.index(True) else 1 for index in range(3))
        return structure.repeated(cast("tuple[int, int, int]", counts))
    far = structure.moved(torch.tensor([60.0, 5.0, 0.0], dtype=torch.float64))
    places = torch.cat([structure.positions, far.positions])
    return cluster(places.tolist(), torch.cat([structure.types, structure.types]).tolist())


def _symmetric(model: GraphModel) -> dict[str, Structure]:
    """Frames with atoms at inversion centres, as far as the model serves them."""
    corners = [[x, y, z] for x in (-1.2, 1.2) for y in (-1.2, 1.2) for z in (-1.2, 1.2)]
    edge = 3.0 * torch.eye(3, dtype=torch.float64)
    origin = torch.zeros(1, 3, dtype=torch.float64)
    frames = {
        "amid a cube": cluster([[0.0, 0.0, 0.0], *corners], [0] + [1] * 8),
        "dimer": cluster([[0.0, 0.0, 0.0], [1.5, 0.0, 0.0]], [0, 0]),
        "lone atom": cluster([[0.0, 0.0, 0.0]], [0]),
        "simple cubic crystal": Structure(origin, torch.zeros(1, dtype=torch.int64), edge, (True, True, True)),
        "square layer": Structure(origin, torch.zeros(1, dtype=torch.int64), edge, (True, True, False)),
        "chain": Structure(origin, torch.zeros(1, dtype=torch.int64), edge, (True, False, False)),
    }
    return {name: one for name, one in frames.items() if served([one], model.info)}
