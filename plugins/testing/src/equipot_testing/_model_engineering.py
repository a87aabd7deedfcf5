"""Checks of model builders: tensors in and out, modes, gradients of weights, dtypes, devices, global state."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from equipot_testing._checklist import after
from equipot_testing._global_state import check_global_state_kept
from equipot_testing._model_kit import called, parameters_of
from equipot_testing._model_sites import ModelSiteChecks
from equipot_testing.checks import check_close, check_equal, check_outputs_equal, check_that
from equipot_testing.frames import batch_of, bulk, lone_atom, molecule, served

if TYPE_CHECKING:
    from equipot.graph import Graph


class ModelEngineeringChecks(ModelSiteChecks):
    """Modes, gradients, strides, fields, seeds, dtypes, devices, global state."""

    def test_train_equals_eval(self) -> None:
        """Train and eval mode give the same values; eval mode gives them without a graph.

        Tolerance: 1e-10 in float64, 1e-5 in float32.
        Why: validation errors must be those of the model in use; outputs with a graph use up memory in long runs.
        Goes wrong: dropout; noise; batch normalisation.
        """
        model = self.model()
        batch = batch_of(self.structures().values(), model.info)
        in_eval, in_train = model(batch), model.train()(batch)
        tracked = [key for key, value in in_eval.items() if value.requires_grad]
        check_that(not tracked, f"eval mode: outputs must be detached, these are not: {tracked}")
        check_that(in_train["forces"].requires_grad, "train mode: forces must be differentiable")
        detached = {key: value.detach() for key, value in in_train.items()}
        close_outputs("train mode against eval mode", detached, in_eval)

    @after("train_equals_eval")
    def test_weight_gradients(self) -> None:
        """Gradients of a loss on energies and forces agree with finite differences of the weights.

        Tolerance: 1e-5, along one random direction of all weights.
        Why: training on forces needs second derivatives; with wrong ones the loss falls, but the model is worse.
        Goes wrong: ``detach`` or ``.data`` in the forward pass; a custom backward that cannot be differentiated.
        """
        model = self.model().train()
        frames = [bulk(len(self.type_names)), lone_atom(), molecule(len(self.type_names))]
        batch = batch_of(served(frames, model.info), model.info)
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

    def test_strides(self) -> None:
        """Inputs that are not contiguous in memory give the same outputs.

        Tolerance: 1e-10 in float64, 1e-5 in float32.
        Why: engines pass transposed cells and slices of larger arrays.
        Goes wrong: kernels that use pointers; ``view`` instead of ``reshape``.
        """
        model = self.model()
        batch = batch_of(self.structures().values(), model.info)
        strided = {key: _strided(value) for key, value in batch.items()}
        check_that(not strided["positions"].is_contiguous(), "strides: the kit's own batch is not strided")
        close_outputs("inputs that are not contiguous", called("strided inputs", model, strided), model(batch))

    def test_undeclared_fields_not_read(self) -> None:
        """Labels and other undeclared fields in a batch have no influence.

        Tolerance: none, bit for bit; labels are NaN and atomic numbers are those of another element.
        Why: a model that sees its labels trains perfectly and predicts nothing.
        Goes wrong: a stored reference to the batch; element properties looked up by atomic number instead of type.
        """
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

    def test_seed(self) -> None:
        """Weights are determined by the seed alone; the global random generator is neither used nor changed.

        Tolerance: none, bit for bit.
        Why: otherwise runs could not be repeated, and members of a committee would share weights.
        Goes wrong: ``torch.randn`` or ``torch.nn.Linear`` without ``generator=context.generator``.
        """
        before = torch.get_rng_state()
        first = self.model().state_dict()
        check_that(torch.equal(torch.get_rng_state(), before), "building must not draw from the global generator")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(12345)
            second = self.model().state_dict()
        for key, value in first.items():
            check_equal(f"weights must follow from the seed alone ({key})", second[key], value)
        changed = self.model(seed=99).state_dict()
        differs = any(not torch.equal(changed[key], value) for key, value in first.items())
        check_that(differs, "another seed must give other weights")

    @after("seed")
    def test_energy_only(self) -> None:
        """Without derivatives the energies are the same and autograd is never called.

        Tolerance: none, bit for bit.
        Why: otherwise energy-only training and Monte Carlo would pay for forces that nobody needs.
        Goes wrong: a gradient taken inside the energy module.
        """
        with_forces, without = self.model(), self.model(do_derivatives=False)
        batch = batch_of(self.structures().values(), with_forces.info)
        called_it = AssertionError("energy-only: torch.autograd.grad was called")
        with mock.patch("torch.autograd.grad", side_effect=called_it):
            output = without(batch)
        expected_keys = {"atomic_energy", "total_energy"}
        check_that(set(output) == expected_keys, f"energy-only: outputs must be energies, got {sorted(output)}")
        expected = with_forces(batch)
        for key, value in output.items():
            check_equal(f"energy-only model: {key}", value, expected[key])

    def test_model_dtype(self) -> None:
        """Floating-point weights of the energy module are in ``model_dtype``.

        Tolerance: none.
        Why: weights in another type cost time, memory, or the accuracy that was requested.
        Goes wrong: ``torch.zeros(n)`` without ``dtype=context.model_dtype``.
        """
        for name, dtype in (("float32", torch.float32), ("float64", torch.float64)):
            weights = self.model(model_dtype=name).energy.named_parameters()
            wrong = [key for key, value in weights if value.dtype != dtype]
            check_that(not wrong, f"model_dtype {name}: weights of other types: {wrong}")

    @after("model_dtype", "seed")
    def test_default_dtype(self) -> None:
        """The model neither changes the default dtype nor depends on it.

        Tolerance: 1e-5 for float32, 1e-10 for float64.
        Why: some programs set it to float64, and the model would be a different one there.
        Goes wrong: ``torch.tensor(0.5)`` or ``torch.zeros(n)`` without a dtype in the forward pass.
        """
        before = torch.get_default_dtype()
        model = self.model(model_dtype="float32")
        batch = batch_of(self.structures().values(), model.info)
        expected = model(batch)
        check_that(torch.get_default_dtype() == before, "the default dtype must not be changed")
        try:
            torch.set_default_dtype(torch.float64)
            other = self.model(model_dtype="float32")
            actual = called("run under another default dtype", other, batch)
        finally:
            torch.set_default_dtype(before)
        for key, value in model.state_dict().items():
            check_equal(f"built under another default dtype, {key}", other.state_dict()[key], value)
        close_outputs("run under another default dtype", actual, expected)

    def test_device(self) -> None:
        """All tensors follow the model and its inputs to another device.

        Tolerance: none; run on torch's ``meta`` device, which has shapes but no numbers, so no GPU is needed.
        Why: otherwise the model would fail on a GPU, or copy tensors back and forth.
        Goes wrong: ``torch.zeros(n)`` without ``device=``; constants kept as plain tensors instead of buffers.
        """
        model = copy.deepcopy(self.model()).to("meta")
        batch = batch_of(self.structures().values(), model.info)
        moved = {key: value.to("meta") for key, value in batch.items()}
        with _OneDevice():  # type: ignore[no-untyped-call] # torch annotates no __init__
            output = called("on another device", model, moved)
        stayed = [key for key, value in output.items() if value.device.type != "meta"]
        check_that(not stayed, f"on another device: outputs must be on it, these are not: {stayed}")

    @after("seed")
    def test_global_state(self) -> None:
        """Building and calling the model leaves the process as it was.

        Tolerance: none; default dtype and device, threads, autograd, precision, Python's and numpy's generators.
        Why: otherwise the next model in the same process would give different results.
        Goes wrong: ``torch.set_num_threads``, ``torch.set_float32_matmul_precision`` or a seed set on the way.
        """
        batch = batch_of(self.structures().values(), self.model().info)
        with check_global_state_kept("building and calling the model"):
            self.model().train()(batch)
            self.model()(batch)


class _OneDevice(TorchDispatchMode):
    """Fail if an operation mixes devices; scalars may be on any device, as torch allows."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, torch.Tensor)]
        devices = sorted({tensor.device.type for tensor in tensors if tensor.dim()})
        if len(devices) > 1:
            raise RuntimeError(f"{func} gets tensors on {' and '.join(devices)}")
        return func(*args, **(kwargs or {}))


def close_outputs(law: str, actual: Graph, expected: Graph) -> None:
    """Fail unless outputs are the same fields, within 1e-10 in float64 and 1e-5 in float32."""
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
