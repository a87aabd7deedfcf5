"""The model under test, and the checks on which all others build."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch

from equipot.fields import FIELDS
from equipot.graph import num_atoms
from equipot_testing._base import Conformance
from equipot_testing.checks import check_equal, check_outputs_equal, check_that
from equipot_testing.frames import Structure, batch_of, bulk, lone_atom, molecule, served, standard_structures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from equipot.graph import Graph
    from equipot.model import GraphModel, ModelBuilder, ModelInfo


class ModelKit(Conformance):
    """Builds the model under test."""

    kind = "model_builders"
    basics = ("runs", "inputs_not_changed", "repeatable", "state_unchanged_by_calls", "empty_frames")

    type_names: ClassVar[tuple[str, ...]] = ("H", "C", "O")
    """Types the model is tested with."""

    r_max: ClassVar[float] = 4.0
    """Cutoff radius in Å the model is tested with."""

    def base_options(self) -> dict[str, Any]:
        """Options that every model builder has, as the kit sets them: float64, shifts in eV and scales by type."""
        return {"r_max": self.r_max, "seed": 3, "model_dtype": "float64", **self.options_of_types(self.type_names)}

    def options_of_types(self, names: Sequence[str]) -> dict[str, Any]:
        """Options of a model with these types."""
        return {
            "type_names": list(names),
            "per_type_energy_shifts": {name: -1.5 - 2.25 * index for index, name in enumerate(names)},
            "per_type_energy_scales": {name: 1.0 + 0.5 * index for index, name in enumerate(names)},
        }

    def recipe(self, **changes: Any) -> ModelBuilder:
        """The builder with the kit's base options, the plugin's and the check's, in this order."""
        recipe: ModelBuilder = self.component()(**{**self.base_options(), **self.made_options(), **changes})
        return recipe

    def model(self, **changes: Any) -> GraphModel:
        """The model with forces and stress, in eval mode."""
        return self.recipe(**changes).build().eval()

    def bare_model(self) -> GraphModel:
        """The model with energies of the component alone."""
        return self.model()

    def without_forces(self, model: GraphModel) -> GraphModel:
        """The model with energies only, whose calls take less time."""
        return model.replace(derivatives=None)

    def structures(self) -> dict[str, Structure]:
        """Bulk, slab, wire, molecule and lone atom with all types, as far as the model serves them."""
        return served_by_name(standard_structures(len(self.type_names)), self.model().info)

    def shift_of(self, model: GraphModel, atom_type: int) -> float:
        """The model's energy of the isolated atom, E0, eV."""
        return model.scale_shift.values("shifts")[model.info.type_names[atom_type]]

    # ----------------------------------------------------------------- checks

    def test_runs(self) -> None:
        """The model can be built, reads only the fields it declares and gives all outputs in their shapes, finite.

        Tolerance: none.
        Why: otherwise nothing else can be judged. The model only receives the fields that it declares; if it
        computed distances from positions, forces and stress would lack their contribution.
        Goes wrong: ``data["positions"]`` without ``requires``; an output of shape [n_atoms, 1].
        """
        model = self.model()
        batch = batch_of(self.structures().values(), model.info)
        output = called("bulk, slab, wire, molecule and lone atom in one batch", model, batch)
        missing = sorted(set(model.info.outputs) - set(output))
        check_that(not missing, f"declared outputs are missing: {missing}")
        sizes = {"n_atoms": len(batch["atom_types"]), "n_frames": len(batch["num_atoms"])}
        for key in model.info.outputs:
            shape = tuple(sizes.get(str(size), size) for size in FIELDS[key].shape) if key in FIELDS else None
            found = tuple(output[key].shape)
            check_that(shape in (None, found), f"{key} must have shape {shape}, got {found}")
            check_that(bool(torch.isfinite(output[key]).all()), f"{key} must be finite")

    def test_inputs_not_changed(self) -> None:
        """A call does not change the batch, bit for bit.

        Tolerance: none.
        Why: the trainer, the skin list of the calculator and the next model of a committee use the same tensors.
        Goes wrong: ``data[key] += …``, ``mul_``, ``zero_`` or ``index_add_`` on an input tensor.
        """
        model = self.model()
        batch = batch_of(self.structures().values(), model.info)
        before = cloned(batch)
        model(batch)
        check_outputs_equal("the batch must not be changed", batch, before)

    def test_repeatable(self) -> None:
        """The same call in eval mode gives the same bits.

        Tolerance: none, one thread or many.
        Why: otherwise molecular dynamics cannot be restarted or debugged, and golden frames fail at random.
        Goes wrong: dropout or noise in eval mode; something kept from the call before.
        """
        model = self.model()
        batch = batch_of(self.structures().values(), model.info)
        check_outputs_equal("the same call again", model(cloned(batch)), model(cloned(batch)))

    def test_state_unchanged_by_calls(self) -> None:
        """Calling the model in either mode changes none of its tensors.

        Tolerance: none.
        Why: otherwise results depend on earlier calls, and checkpoints on when they are written.
        Goes wrong: running averages as buffers; a call counter.
        """
        model = self.model()
        before = cloned(model.state_dict())
        batch = batch_of(self.structures().values(), model.info)
        for training in (False, True):
            model.train(training)(batch)
        for key, value in model.state_dict().items():
            check_equal(f"a call must not change {key}", value, before[key])

    def test_empty_frames(self) -> None:
        """The model works without edges, for one atom and one frame, alone and among others, in train mode too.

        Tolerance: none; outputs and gradients of weights must be finite.
        Why: dissociation, isolated-atom frames in data, and empty domains of parallel engines have no edges.
        Goes wrong: ``index[0]`` or ``max()`` of an empty tensor, 0/0 in a mean, normalisation over one atom.
        """
        model = self.model()
        n_types = len(self.type_names)
        batches = {
            "one atom": [lone_atom()],
            "two lone atoms": [lone_atom(), lone_atom(n_types - 1)],
            "one molecule": [molecule(n_types)],
            "lone atoms around a bulk": [lone_atom(), bulk(n_types), lone_atom(1), molecule(n_types)],
        }
        for name, structures in batches.items():
            if not (kept := served(structures, model.info)):
                continue
            batch = batch_of(kept, model.info)
            for training in (False, True):
                mode = "train" if training else "eval"
                output = called(f"{name} in {mode} mode", model.train(training), batch)
                finite = all(bool(torch.isfinite(value).all()) for value in output.values())
                check_that(finite, f"{name} in {mode} mode: outputs must be finite")
                n_expected, shape = num_atoms(batch), tuple(output["forces"].shape)
                check_that(shape == (n_expected, 3), f"{name}: forces must have shape {(n_expected, 3)}, got {shape}")
            loss = output["total_energy"].sum() + output["forces"].square().sum()
            if loss.requires_grad:
                gradients = torch.autograd.grad(loss, parameters_of(model), allow_unused=True)
                finite = all(gradient is None or bool(torch.isfinite(gradient).all()) for gradient in gradients)
                check_that(finite, f"{name}: gradients of the weights must be finite")


def served_by_name(structures: Mapping[str, Structure], info: ModelInfo) -> dict[str, Structure]:
    """Those of the structures whose boundary conditions a model serves."""
    return {name: one for name, one in structures.items() if served([one], info)}


def five_types(names: Sequence[str]) -> tuple[str, ...]:
    """These types and others, at least five."""
    others = [name for name in ("N", "Cu", "Si", "H", "C") if name not in names]
    return (*names, *others[: max(0, 5 - len(names))])


def called(law: str, model: Callable[[Graph], Graph], batch: Graph) -> Graph:
    """Call the model; any exception means that the law is broken.

    Args:
        law: Starts the message.
        model: The model, or a program made of it.
        batch: Its input.

    Raises:
        AssertionError: Instead of the model's error; it says so if the model reads a field that it does not declare.
    """
    try:
        return model(batch)
    except Exception as error:
        text = f"{law}: fails with {type(error).__name__}: {error}"
        if isinstance(error, KeyError) and str(error.args[0]) in FIELDS:
            text = f"{law}: a component reads the field {error.args[0]!r}, which its 'requires' does not name"
        raise AssertionError(text) from error


def in_batches_and_alone(
    model: GraphModel, structures: Mapping[str, Structure], keys: Iterable[str]
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """What a model says of each frame in batches of all, in both orders, and of the frame alone.

    Args:
        model: Any model.
        structures: By name.
        keys: Fields of atoms or of frames.

    Yields:
        Names of the frame and of the field, its values in the batch, and those of the frame alone.
    """
    keys, listed = list(keys), list(structures.items())
    for ordered in (listed, listed[::-1]):
        together = model(batch_of([structure for _, structure in ordered], model.info))
        start = 0
        for index, (name, structure) in enumerate(ordered):
            alone, stop = model(structure.graph(model.info)), start + len(structure)
            for key in keys:
                rows = slice(start, stop) if FIELDS[key].per == "atom" else slice(index, index + 1)
                yield f"{name}: {key}", together[key][rows], alone[key]
            start = stop


def parameters_of(model: GraphModel) -> list[Any]:
    """Trainable parameters."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def cloned(graph: Graph) -> Graph:
    """A copy with its own tensors."""
    return {key: value.clone() for key, value in graph.items()}
