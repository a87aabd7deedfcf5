"""The conformance class of model builders: physics first, then engineering."""

from __future__ import annotations

import copy
import io
from typing import TYPE_CHECKING
from unittest import mock

import pytest
import torch

from equipot.errors import ConfigError
from equipot.graph import num_atoms
from equipot.testing.checks import check_close, check_equal, check_outputs_equal, check_that
from equipot.testing.frames import batch_of, bulk, lone_atom, molecule
from equipot.testing.model_kit import cloned, parameters_of
from equipot.testing.model_physics import ModelPhysicsChecks
from equipot.testing.tracing import exported, runner, traced

if TYPE_CHECKING:
    from collections.abc import Callable

    from equipot.graph import Graph
    from equipot.model.graph_model import GraphModel


class ModelBuilderConformance(ModelPhysicsChecks):
    """Everything a model builder must do.

    Example:
        >>> class TestMyModel(ModelBuilderConformance):
        ...     name = "MyModel"
        ...     options = {"num_layers": 2}

    Forces and stress come from the installed modifier that provides them (``equipot-force-stress``).
    """

    def test_inputs_not_changed(self) -> None:
        """The batch is the same after the call, bit for bit."""
        model = self.model()
        batch = batch_of(self.structures().values(), model.info)
        before = cloned(batch)
        model(batch)
        check_outputs_equal("the batch must not be changed", batch, before)

    def test_strides(self) -> None:
        """Inputs that are not contiguous in memory give the same outputs."""
        model = self.model()
        batch = batch_of(self.structures().values(), model.info)
        strided = {key: _strided(value) for key, value in batch.items()}
        check_that(not strided["positions"].is_contiguous(), "strides: the kit's own batch is not strided")
        _close_outputs("inputs that are not contiguous", model(strided), model(batch))

    def test_undeclared_fields_not_read(self) -> None:
        """Labels and other fields that may be in a batch do not matter."""
        model = self.model()
        batch = batch_of(self.structures().values(), model.info)
        declared = {key: batch[key] for key in model.info.inputs}
        nonsense = {
            **batch,
            "atomic_numbers": torch.full_like(batch["atomic_numbers"], 118),
            "forces": torch.full_like(batch["positions"], float("nan")),
            "total_energy": torch.full((len(batch["num_atoms"]),), float("nan"), dtype=torch.float64),
        }
        expected = model(declared)
        check_outputs_equal("fields outside info.inputs must not matter", model(nonsense), expected)

    def test_empty_frames(self) -> None:
        """No edges at all, one atom, one frame, and these between others, in train mode too."""
        model = self.model()
        n_types = len(self.type_names)
        batches = {
            "one atom": [lone_atom()],
            "two lone atoms": [lone_atom(), lone_atom(n_types - 1)],
            "one molecule": [molecule(n_types)],
            "lone atoms around a bulk": [lone_atom(), bulk(n_types), lone_atom(1), molecule(n_types)],
        }
        for name, structures in batches.items():
            batch = batch_of(structures, model.info)
            for training in (False, True):
                mode = "train" if training else "eval"
                output = _outputs(f"{name} in {mode} mode", model.train(training), batch)
                finite = all(bool(torch.isfinite(value).all()) for value in output.values())
                check_that(finite, f"{name} in {mode} mode: outputs must be finite")
                n_expected, shape = num_atoms(batch), tuple(output["forces"].shape)
                check_that(shape == (n_expected, 3), f"{name}: forces must have shape {(n_expected, 3)}, got {shape}")
            loss = output["total_energy"].sum() + output["forces"].square().sum()
            if loss.requires_grad:
                gradients = torch.autograd.grad(loss, parameters_of(model), allow_unused=True)
                finite = all(gradient is None or bool(torch.isfinite(gradient).all()) for gradient in gradients)
                check_that(finite, f"{name}: gradients of the weights must be finite")

    def test_train_equals_eval(self) -> None:
        """Train and eval mode give the same values; eval mode gives them without a graph."""
        model = self.model()
        batch = batch_of(self.structures().values(), model.info)
        in_eval, in_train = model(batch), model.train()(batch)
        tracked = [key for key, value in in_eval.items() if value.requires_grad]
        check_that(not tracked, f"eval mode: outputs must be detached, these are not: {tracked}")
        check_that(in_train["forces"].requires_grad, "train mode: forces must be differentiable")
        _close_outputs(
            "train mode against eval mode", {key: value.detach() for key, value in in_train.items()}, in_eval
        )

    def test_weight_gradients(self) -> None:
        """Gradients of a loss on energies and forces agree with finite differences of the weights."""
        model = self.model().train()
        batch = batch_of([bulk(len(self.type_names)), lone_atom(), molecule(len(self.type_names))], model.info)
        weights = parameters_of(model)
        check_that(bool(weights), "the model has nothing to train")
        generator = torch.Generator().manual_seed(21)
        direction = [torch.randn(weight.shape, generator=generator, dtype=torch.float64) for weight in weights]

        def loss() -> torch.Tensor:
            output = model(batch)
            return output["total_energy"].square().mean() + output["forces"].square().mean()

        gradients = torch.autograd.grad(loss(), weights, allow_unused=True)
        slope = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True) if g is not None)
        step, values = 1e-5, []
        with torch.no_grad():
            for offset in (step, -step):
                for weight, d in zip(weights, direction, strict=True):
                    weight.add_(offset * d)
                values.append(float(loss()))
                for weight, d in zip(weights, direction, strict=True):
                    weight.sub_(offset * d)
        expected = (values[0] - values[1]) / (2 * step)
        check_that(expected != 0.0, "the loss must depend on the weights")
        check_close(
            "weights: gradient of a loss on energies and forces, against finite differences",
            torch.tensor(slope),
            torch.tensor(expected),
            tolerance=1e-5,
        )

    def test_trace(self) -> None:
        """A trace with symbolic sizes equals the model at other sizes, down to one atom without edges."""
        model = self.model()
        graph, outputs = traced(model, batch_of(self.structures().values(), model.info))
        self._check_program("traced model", runner(graph, model.info.inputs, outputs), model)

    @pytest.mark.slow
    def test_export(self) -> None:
        """The exported model equals the eager one at other sizes, down to one atom without edges."""
        model = self.model()
        self._check_program("exported model", exported(model), model)

    def _check_program(self, law: str, program: Callable[[Graph], Graph], model: GraphModel) -> None:
        n_types = len(self.type_names)
        for name, structures in {
            "bulk, lone atoms and molecule": [bulk(n_types), lone_atom(), lone_atom(1), molecule(n_types)],
            "one lone atom": [lone_atom()],
            "one molecule": [molecule(n_types)],
        }.items():
            batch = batch_of(structures, model.info)
            _close_outputs(f"{law}, {name}", program(batch), model(batch))

    def test_state_dict(self) -> None:
        """Weights saved and loaded into a model of another seed give the same bits."""
        model, other = self.model(), self.model(seed=99)
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        other.load_state_dict(torch.load(file, weights_only=True))
        batch = batch_of(self.structures().values(), model.info)
        check_outputs_equal("weights saved and loaded", other(batch), model(batch))
        for what, twin in (
            ("a deep copy", copy.deepcopy(model)),
            ("a model built from the config", self._rebuilt(model)),
        ):
            check_outputs_equal(what, twin(batch), model(batch))

    def _rebuilt(self, model: GraphModel) -> GraphModel:
        """The model made again from what an artifact stores."""
        from equipot.model.rebuild import rebuild_model

        if self.target is not None:
            return model
        twin = rebuild_model(model.config, model.modifiers, model.info.units).eval()
        twin.load_state_dict(model.state_dict())
        return twin

    def test_state_unchanged_by_calls(self) -> None:
        """Calling the model in either mode changes none of its tensors."""
        model = self.model()
        before = {key: value.clone() for key, value in model.state_dict().items()}
        batch = batch_of(self.structures().values(), model.info)
        for training in (False, True):
            model.train(training)(batch)
        for key, value in model.state_dict().items():
            check_equal(f"a call must not change {key}", value, before[key])

    def test_seed(self) -> None:
        """Weights follow from the seed alone; the global generator is neither read nor moved."""
        before = torch.get_rng_state()
        first = self.model().state_dict()
        check_that(torch.equal(torch.get_rng_state(), before), "building must not draw from the global generator")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(12345)
            second = self.model().state_dict()
        for key, value in first.items():
            check_equal(f"weights must follow from the seed alone ({key})", second[key], value)
        changed = self.model(seed=99).state_dict()
        check_that(
            any(not torch.equal(changed[key], value) for key, value in first.items()),
            "another seed must give other weights",
        )

    def test_default_dtype(self) -> None:
        """The default dtype is neither changed nor relied on."""
        before = torch.get_default_dtype()
        model = self.model(model_dtype="float32")
        batch = batch_of(self.structures().values(), model.info)
        expected = model(batch)
        check_that(torch.get_default_dtype() == before, "the default dtype must not be changed")
        try:
            torch.set_default_dtype(torch.float64)
            other = self.model(model_dtype="float32")
            actual = other(batch)
        finally:
            torch.set_default_dtype(before)
        for key, value in model.state_dict().items():
            check_equal(f"built under another default dtype, {key}", other.state_dict()[key], value)
        _close_outputs("run under another default dtype", actual, expected)

    def test_model_dtype(self) -> None:
        """Floating-point weights of the energy module are in ``model_dtype``."""
        for name, dtype in (("float32", torch.float32), ("float64", torch.float64)):
            wrong = [
                key for key, value in self.model(model_dtype=name).energy.named_parameters() if value.dtype != dtype
            ]
            check_that(not wrong, f"model_dtype {name}: weights of other types: {wrong}")

    def test_energy_only(self) -> None:
        """Without derivatives the energies are the same and autograd is never called."""
        with_forces, without = self.model(), self.model(do_derivatives=False)
        batch = batch_of(self.structures().values(), with_forces.info)
        with mock.patch(
            "torch.autograd.grad", side_effect=AssertionError("energy-only: torch.autograd.grad was called")
        ):
            output = without(batch)
        check_that(
            set(output) == {"atomic_energy", "total_energy"},
            f"energy-only: outputs must be energies, got {sorted(output)}",
        )
        expected = with_forces(batch)
        for key, value in output.items():
            check_equal(f"energy-only model: {key}", value, expected[key])

    def test_unknown_option(self) -> None:
        """An unknown option is refused, naming it."""
        try:
            self.recipe(surely_not_an_option=1)
        except (ConfigError, TypeError) as error:
            check_that("surely_not_an_option" in str(error), f"the error must name the unknown option, got: {error}")
        else:
            check_that(False, "an unknown option must be refused")

    def test_wrong_type(self) -> None:
        """A wrong value is a ConfigError that names the option."""
        try:
            self.recipe(r_max="four")
        except ConfigError as error:
            check_that("r_max" in str(error), f"the error must name the option, got: {error}")
        else:
            check_that(False, "r_max='four' must be refused")


def _outputs(law: str, model: GraphModel, batch: Graph) -> Graph:
    """Call the model; whatever it raises breaks the law."""
    try:
        return model(batch)
    except Exception as error:
        raise AssertionError(f"{law}: the model fails with {type(error).__name__}: {error}") from error


def _close_outputs(law: str, actual: Graph, expected: Graph) -> None:
    check_that(actual.keys() == expected.keys(), f"{law}: outputs {sorted(actual)}, expected {sorted(expected)}")
    for key, value in expected.items():
        if value.dtype == torch.bool:
            check_equal(f"{law}: {key}", actual[key], value)
        else:
            check_close(f"{law}: {key}", actual[key], value, tolerance=1e-10 if value.dtype == torch.float64 else 1e-5)


def _strided(value: torch.Tensor) -> torch.Tensor:
    """The same values with other strides."""
    if value.dim() == 1:
        return torch.stack([value, value], dim=1)[:, 0]
    return value.transpose(0, -1).contiguous().transpose(0, -1)
