"""Programs of models, run by the reference, against the models themselves."""

from __future__ import annotations

import torch

from equipot.artifacts import random_frames
from equipot.graph import collate

SIZES = ("frames", "atom", "molecule")
"""Several frames; one atom without edges; one frame."""


def sized_batch(info, size):
    """A batch of a name in ``SIZES``."""
    frames = random_frames(info, 7)
    kinds = {"frames": ("triclinic", "atom", "molecule"), "atom": ("atom",), "molecule": ("molecule",)}
    batch = collate([frames[kind] for kind in kinds[size]])
    batch["owned"] = torch.arange(len(batch["batch"])) % 3 != 0
    return batch


def inputs_of(model, traced, batch):
    """What a program gets in phase 0."""
    from equipot_kernels._program.evaluator import Bound, ProgramEvaluator

    return Bound(model, ProgramEvaluator().fall_back).inputs(traced.inputs, batch)


def _step(model, batch, differentiated):
    """Outputs and gradients of the model itself, and the cotangents."""
    batch = {key: value for key, value in batch.items() if key != "owned"}
    outputs = model(batch)
    generator = torch.Generator().manual_seed(3)
    cotangents = [torch.randn(outputs[key].shape, dtype=torch.float64, generator=generator) for key in differentiated]
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    along = [(outputs[key], g) for key, g in zip(differentiated, cotangents, strict=True) if outputs[key].requires_grad]
    found = torch.autograd.grad([o for o, _ in along], list(trained.values()), [g for _, g in along], allow_unused=True)
    gradients = {name: g for name, g in zip(trained, found, strict=True) if g is not None}
    return {key: value.detach() for key, value in outputs.items()}, gradients, cotangents


def _error(found, exact):
    """The largest error relative to the largest number."""
    if found.dtype == torch.bool:
        return 0.0 if torch.equal(found, exact) else 1.0
    if not exact.numel():
        return 0.0
    return float((found.double() - exact.double()).abs().max() / exact.double().abs().max().clamp_min(1e-30))


def assert_training_agrees(model, differentiated=None, *, sizes, tolerance=1e-12, exact=None):
    """Outputs and gradients of a program equal those of the model.

    Args:
        model: Any model.
        differentiated: Outputs that have cotangents; all of energies, forces and stress by default.
        sizes: Names of batches, see ``sized_batch``.
        tolerance: Relative to the largest number.
        exact: The same model in double precision: then errors against it may be twice those of the model.
    """
    from equipot_kernels._program.check import check_program
    from equipot_kernels._program.reference import Reference
    from equipot_kernels._program.trace import trace_training

    model.train()
    if differentiated is None:
        differentiated = [key for key in ("total_energy", "forces", "stress") if key in model.info.outputs]
    traced = trace_training(model, tuple(differentiated))
    check_program(traced.program)
    for size in sizes:
        batch = sized_batch(model.info, size)
        outputs, gradients, cotangents = _step(model, batch, differentiated)
        reference = Reference(traced.program)
        made, state = reference.forward(inputs_of(model, traced, batch))
        found = dict(zip(traced.gradients, reference.backward(state, cotangents), strict=True))
        assert gradients.keys() <= found.keys()
        assert all(not found[name].any() for name in found.keys() - gradients.keys())
        pairs = [(key, value, outputs[key]) for key, value in zip(traced.outputs, made, strict=True)]
        pairs += [(name, found[name], value) for name, value in gradients.items()]
        _compare(pairs, exact and _step(exact.train(), batch, differentiated), tolerance, size)
    return traced


def _compare(pairs, exact, tolerance, size):
    for name, one, other in pairs:
        assert one.shape == other.shape, name
        if exact is None:
            assert _error(one, other) <= tolerance, (size, name, _error(one, other))
            continue
        true = exact[1].get(name, exact[0].get(name))
        own, models = _error(one, true), _error(other, true)
        assert own <= 2 * models + 1e-6, (size, name, own, models)


def assert_inference_agrees(model, *, sizes, extra=(), tolerance=1e-12):
    """Outputs of a program equal those of the model in eval mode."""
    from equipot_kernels._program.check import check_program
    from equipot_kernels._program.reference import Reference
    from equipot_kernels._program.trace import trace_inference

    model.eval()
    traced = trace_inference(model, extra)
    check_program(traced.program)
    for size in sizes:
        batch = sized_batch(model.info, size)
        given = batch if "owned" in extra else {key: value for key, value in batch.items() if key != "owned"}
        outputs = model(given)
        found, _ = Reference(traced.program).forward(inputs_of(model, traced, batch))
        assert tuple(outputs) == traced.outputs
        for (name, one), other in zip(outputs.items(), found, strict=True):
            assert one.shape == other.shape
            assert _error(other, one) <= tolerance, (size, name, _error(other, one))
    return traced
