"""Splines in programs: in eval mode their tables are given, in training batches of different size differ."""

import pytest
import torch

from equipot.model import apply_modifier
from equipot_kernels._program import made
from equipot_kernels._spline import radial
from equipot_kernels._spline.radial import SplineRadial
from equipot_testing.frames import batch_of, bulk, molecule

KNOTS, PER_KNOT = 9, 8


@pytest.fixture
def model(make_model, monkeypatch):
    monkeypatch.setattr(radial, "EDGES_PER_KNOT", PER_KNOT)
    plain = apply_modifier(make_model(do_derivatives=True), "train_with_RadialSplines", {"num_knots": KNOTS})
    served = apply_modifier(plain, "enable_FusedKernels")
    served.evaluator.begin_training()
    return served


@pytest.fixture
def batches(model):
    """One with so few edges that splines do not pay, and one with many."""
    found = [batch_of(frames, model.info) for frames in ([molecule(3)], [bulk(3), molecule(3)])]
    few, many = (batch["edge_index"].shape[1] for batch in found)
    assert few < PER_KNOT * KNOTS <= many
    return found


def parts(outputs):
    return {name: value for name, value in outputs.items() if value.is_floating_point()}


def test_tables_are_kept_between_calls_and_follow_the_weights(model, batches, monkeypatch):
    model.eval()
    builds = []
    original = SplineRadial.build
    monkeypatch.setattr(SplineRadial, "build", lambda self: (builds.append(self), original(self))[1])
    for _ in range(2):
        for batch in batches:
            torch.testing.assert_close(
                parts(model(batch)), parts(model.evaluate_directly(batch)), rtol=1e-10, atol=1e-11
            )
    assert len(builds) == 2, "one for each spline"
    before = model(batches[1])["total_energy"]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    after = model(batches[1])["total_energy"]
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, model.evaluate_directly(batches[1])["total_energy"], rtol=1e-10, atol=1e-11)


@pytest.mark.slow
def test_a_training_has_a_program_for_few_edges_and_one_for_many(model, batches, monkeypatch):
    model.train()
    monkeypatch.setattr(made, "_folder", lambda: None)
    traced = []
    original = made.trace_training
    monkeypatch.setattr(made, "trace_training", lambda *given: (traced.append(given[-1]), original(*given))[1])
    weights = [one for one in model.parameters() if one.requires_grad]
    for batch in [*batches, *batches]:
        results = []
        for outputs in (model(batch), model.evaluate_directly(batch)):
            loss = outputs["forces"].square().sum() + outputs["total_energy"].sum()
            results.append(torch.autograd.grad(loss, weights, allow_unused=True))
        for ours, theirs in zip(*results, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
    assert traced == [batch["edge_index"].shape[1] for batch in batches]
