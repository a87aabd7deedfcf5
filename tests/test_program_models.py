"""Programs of real models, run by the reference, against the models themselves."""

import pytest
import torch

from equipot.model import AllegroModel, NequIPGNNModel, PaiNNModel, apply_modifier
from equipot.pair_potentials import ZBL
from equipot_allegro import TwoBodyBesselScalarEmbed, TwoBodySplineScalarEmbed
from equipot_kernels._program.evaluator import FIRST_CALL
from equipot_test_support.programs import SIZES, assert_inference_agrees, assert_training_agrees, sized_batch

BASE = {
    "type_names": ["C", "H", "O"],
    "r_max": 4.0,
    "model_dtype": "float64",
    "avg_num_neighbors": 10.0,
    "per_type_energy_shifts": {"C": -10.0, "H": -13.6, "O": -20.0},
    "per_type_energy_scales": 1.3,
}
CUTOFFS = {"per_edge_type_cutoff": {"H": 3.0, "C": {"H": 3.4}}, "pair_potential": ZBL(units="metal")}


@pytest.fixture(autouse=True)
def _kept_kernels(kernel_folder, monkeypatch):
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(kernel_folder))
    monkeypatch.setattr("equipot_kernels._spline.radial.EDGES_PER_KNOT", 0)  # tables also for batches this small


def nequip(*modifiers, **options):
    widths = {"num_layers": 2, "l_max": 1, "num_features": 4, "radial_mlp_width": 5, "parity": True}
    return modified(NequIPGNNModel(**{**BASE, **widths, **options}).build(), modifiers)


def allegro(*modifiers, **options):
    widths = {
        "num_layers": 1,
        "l_max": 1,
        "num_scalar_features": 4,
        "num_tensor_features": 3,
        "radial_chemical_embed": TwoBodyBesselScalarEmbed(num_bessels=4),
        "scalar_embed_mlp_hidden_layers_width": 5,
        "allegro_mlp_hidden_layers_width": 5,
        "readout_mlp_hidden_layers_width": 3,
    }
    return modified(AllegroModel(**{**BASE, **widths, **options}).build(), modifiers)


def modified(model, modifiers):
    for name in modifiers:
        model = apply_modifier(model, name)
    return model


MODELS = {
    "nequip": nequip,
    "nequip with kernels": lambda: nequip("enable_FusedKernels", **CUTOFFS),
    "allegro": lambda: allegro(**CUTOFFS),
    "allegro with kernels": lambda: allegro("enable_FusedKernels", num_layers=2),
    "allegro with splines of its own": lambda: allegro(radial_chemical_embed=TwoBodySplineScalarEmbed()),
    "painn": lambda: PaiNNModel(**BASE, num_layers=2, num_features=4).build(),
}
SLOW = {
    "nequip, even parity": lambda: nequip(parity=False, l_max=2, num_layers=3),
    "nequip, l_max 3": lambda: nequip("enable_FusedKernels", l_max=3),
    "nequip with splines": lambda: nequip("enable_FusedKernels", "train_with_RadialSplines", **CUTOFFS),
    "nequip with splines, without kernels": lambda: nequip("train_with_RadialSplines"),
    "allegro with splines": lambda: allegro("enable_FusedKernels", "train_with_RadialSplines"),
    "allegro, l_max 2": lambda: allegro("enable_FusedKernels", l_max=2, parity=True, **CUTOFFS),
}
CASES = [*MODELS, *SLOW]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients_agree_with_the_model(name):
    model = {**MODELS, **SLOW}[name]()
    assert_training_agrees(model, sizes=SIZES, tolerance=1e-12 if name in MODELS else 1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_inference_agrees_with_the_model(name):
    assert_inference_agrees({**MODELS, **SLOW}[name](), sizes=SIZES)


WITH_HEADS = {
    "nequip with one layer": lambda: nequip("add_Charges", num_layers=1),
    "nequip with kernels": lambda: nequip("enable_FusedKernels", "add_Charges", **CUTOFFS),
    "allegro": lambda: allegro("add_Charges", **CUTOFFS),
    "allegro with kernels": lambda: allegro("add_Charges", "enable_FusedKernels", num_layers=2),
    "allegro with kernels and one layer": lambda: allegro("enable_FusedKernels", "add_Charges"),
    "painn": lambda: modified(MODELS["painn"](), ["add_Charges"]),
    "painn, a head of energies": lambda: modified(MODELS["painn"](), ["add_Uncertainty"]),
}
FIRST, *OTHERS = WITH_HEADS


@pytest.mark.parametrize("name", [FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
@pytest.mark.usefixtures("heads_plugin")
def test_programs_compute_heads_too(name):
    model = WITH_HEADS[name]()
    (_, head), *_ = model.heads()
    assert_training_agrees(model, ("total_energy", "forces", *head.provides), sizes=SIZES)
    assert_inference_agrees(model, sizes=SIZES, extra=("owned",))


@pytest.mark.slow
@pytest.mark.parametrize("make", [nequip, allegro])
@pytest.mark.usefixtures("heads_plugin")
def test_heads_are_the_same_with_and_without_kernels(make):
    """Outputs and gradients by kernels, and by the program that the evaluator makes at its tenth call."""
    plain, fast = make("add_Charges"), make("enable_FusedKernels", "add_Charges")
    for training in (False, True):
        expected, weights = _step(plain.train(training))
        for _ in range(FIRST_CALL + 2):
            outputs, gradients = _step(fast.train(training))
            assert outputs.keys() == expected.keys()
            for name, value in {**outputs, **gradients}.items():
                torch.testing.assert_close(value, {**expected, **weights}[name], rtol=1e-9, atol=1e-9)
    assert fast.evaluator.fallbacks == ()


def _step(model):
    """Outputs, and in train mode the gradients of a loss on energies, forces and what the head predicts."""
    outputs = model({key: value for key, value in sized_batch(model.info, "frames").items() if key != "owned"})
    gradients = {}
    if model.training:
        loss = sum(outputs[key].square().sum() for key in ("total_energy", "forces", "charges", "dipole"))
        names, weights = zip(*model.named_parameters(), strict=True)
        found = torch.autograd.grad(loss, weights, allow_unused=True)
        gradients = {name: value for name, value in zip(names, found, strict=True) if value is not None}
    return {key: value.detach() for key, value in outputs.items()}, gradients
