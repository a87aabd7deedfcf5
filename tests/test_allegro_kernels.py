"""Allegro-like models on kernels and splines: the same numbers as in plain PyTorch, in use and in training."""

import pytest
import torch

from equipot.ase._evaluate_in_parts import evaluate
from equipot.compile import export_model
from equipot.model import apply_modifiers
from equipot_allegro import AllegroModel, TwoBodyBesselScalarEmbed
from equipot_kernels._contraction.fused import FusedContraction
from equipot_kernels._spline.radial import SplineRadial
from equipot_testing.frames import batch_of, standard_structures

KERNELS = [("enable_FusedKernels", {})]
SPLINES = ("train_with_RadialSplines", {"num_knots": 257})


@pytest.fixture(autouse=True)
def _tables_for_few_edges(monkeypatch):
    """Tables are used in training too, however few the edges of a test are."""
    monkeypatch.setattr("equipot_kernels._spline.radial.EDGES_PER_KNOT", 0)


def allegro(**options):
    small = {
        "type_names": ["H", "C", "O"],
        "r_max": 4.0,
        "model_dtype": "float64",
        "l_max": 2,
        "radial_chemical_embed": TwoBodyBesselScalarEmbed(num_bessels=4),
        "num_scalar_features": 6,
        "num_tensor_features": 5,
        "avg_num_neighbors": 12.0,
    }
    return AllegroModel(**(small | options)).build()


def batch(model):
    return batch_of(standard_structures(3).values(), model.info)


def check(model, modified, tolerance):
    data = batch(model)
    expected, found = model.eval()(data), modified.eval()(data)
    for key, value in expected.items():
        scale = max(1.0, float(value.to(torch.float64).abs().max()))
        torch.testing.assert_close(found[key], value, rtol=0, atol=tolerance * scale)


@pytest.mark.slow
def test_kernels_give_the_same():
    model = allegro(num_layers=3)
    modified = apply_modifiers(model, KERNELS)
    fused = [part for part in modified.modules() if isinstance(part, FusedContraction)]
    assert [part.reference.from_weights for part in fused] == [True, False, False]
    assert list(modified.state_dict()) == list(model.state_dict())
    check(model, modified, 1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("l_max", [0, 1, 2, *(pytest.param(l_max, marks=pytest.mark.nightly) for l_max in (3, 4))])
@pytest.mark.parametrize("parity", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_give_the_same_for_all_options(l_max, parity, dtype):
    model = allegro(
        l_max=l_max,
        parity=parity,
        model_dtype=dtype,
        weight_individual_irreps=l_max != 1,
        tp_path_channel_coupling=l_max != 2,
    )
    check(model, apply_modifiers(model, KERNELS), 1e-13 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("modifiers", [KERNELS, [SPLINES], [*KERNELS, SPLINES], [SPLINES, *KERNELS]])
def test_training_gives_the_same_gradients(modifiers):
    model = allegro(num_layers=1).train()
    modified = apply_modifiers(model, modifiers)
    for part in modified.modules():
        if isinstance(part, SplineRadial):
            assert part.on_kernels == (KERNELS[0] in modifiers)
    data = batch(model)

    def gradients(of):
        outputs = of(data)
        loss = outputs["forces"].square().sum() + outputs["total_energy"].sum() + outputs["virial"].square().sum()
        return torch.autograd.grad(loss, [parameter for parameter in of.parameters() if parameter.requires_grad])

    tolerance = 1e-11 if modifiers == KERNELS else 1e-4
    for found, expected in zip(gradients(modified), gradients(model), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


@pytest.mark.slow
def test_exported_graphs_call_the_kernels():
    model = apply_modifiers(allegro(), [*KERNELS, SPLINES]).eval()
    exported = export_model(model)
    called = {str(node.target) for node in exported.program.graph.nodes if node.op == "call_function"}
    for name in ("init_apply", "init_backward", "al_mv", "al_outer", "env_sum", "spline_evaluate", "spline_contract"):
        assert f"equipot_kernels.{name}.default" in called
    data = batch(model)
    found = exported.program.module()(*(data[key] for key in exported.inputs))
    for key, value in zip(exported.outputs, found, strict=True):
        torch.testing.assert_close(value, model(data)[key], rtol=0, atol=1e-12)


@pytest.mark.slow
def test_large_frames_are_evaluated_in_parts():
    model = apply_modifiers(allegro(), KERNELS).eval()
    data = batch_of([standard_structures(3)["bulk"].repeated((2, 1, 1))], model.info)
    parts, whole = evaluate(model, data, data["edge_index"].shape[1] // 4), model(data)
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, rtol=0, atol=1e-12)
