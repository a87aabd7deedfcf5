"""Programs of real models, run by the reference, against the models themselves."""

import pytest

from equipot.model import AllegroModel, NequIPGNNModel, PaiNNModel, apply_modifier
from equipot.pair_potentials import ZBL
from equipot_allegro import TwoBodyBesselScalarEmbed, TwoBodySplineScalarEmbed
from equipot_test_support.programs import SIZES, assert_inference_agrees, assert_training_agrees

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
CASES = [*MODELS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients_agree_with_the_model(name):
    model = {**MODELS, **SLOW}[name]()
    assert_training_agrees(model, sizes=SIZES, tolerance=1e-12 if name in MODELS else 1e-11)


@pytest.mark.parametrize("name", CASES)
def test_inference_agrees_with_the_model(name):
    assert_inference_agrees({**MODELS, **SLOW}[name](), sizes=SIZES)
