"""The closed-form refit: exact where the data are the model's own, and never worse on the validation set."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from equipot.data import frame_from_atoms
from equipot.data.transforms import default_transforms
from equipot.graph import collate
from equipot.model import apply_automatic
from equipot.train import EnergyForceMetrics
from equipot_allegro import AllegroModel, TwoBodyBesselScalarEmbed
from equipot_fit._refit import RIDGES, refit
from equipot_nequip import NequIPGNNModel
from equipot_painn.builder import PaiNNModel

COMMON = {"type_names": ["H", "O"], "r_max": 3.0, "model_dtype": "float32", "avg_num_neighbors": 2.0}
SMALL = {"l_max": 1, "radial_mlp_width": 4, "parity": False, "num_features": 4}
ENERGY_FORCES = {"per_atom_energy_mse": 1.0, "forces_mse": 1.0}

MODELS = {
    "nequip": lambda: NequIPGNNModel(**COMMON, num_layers=1, **SMALL),
    "painn": lambda: PaiNNModel(**COMMON, num_layers=1, num_features=6),
    "allegro": lambda: AllegroModel(
        **COMMON,
        l_max=1,
        num_layers=1,
        num_scalar_features=4,
        num_tensor_features=2,
        radial_chemical_embed=TwoBodyBesselScalarEmbed(num_bessels=4),
    ),
}


def made(name="nequip", **options):
    recipe = MODELS[name]()
    return (dataclasses.replace(recipe, **options) if options else recipe).build().eval()


def batches(model, count, seed):
    """Distorted water and its fragments, labelled by the model itself."""
    random = np.random.default_rng(seed)
    frames = []
    for index in range(count):
        atoms = molecule(("H2O", "H2O2", "OH")[index % 3])
        atoms.positions += random.normal(scale=0.08, size=atoms.positions.shape)
        frame, _ = frame_from_atoms(atoms, {}, "here")
        for transform in default_transforms(model.info):
            frame = transform(frame)
        frames.append(frame)
    found = []
    for start in range(0, count, 4):
        batch = collate(frames[start : start + 4])
        outputs = model(batch)
        found.append({**batch, "total_energy": outputs["total_energy"], "forces": outputs["forces"]})
    return found


def metrics(**coeffs):
    return EnergyForceMetrics(coeffs or {"per_atom_energy_rmse": 1.0, "forces_rmse": 1.0})


def weights(model):
    return model.energy.last_layer()


@pytest.mark.parametrize("name", MODELS)
def test_a_perturbed_last_layer_is_repaired(name):
    model = made(name)
    train, val = batches(model, 24, 1), batches(model, 8, 2)
    before = weights(model).detach().clone()
    with torch.no_grad():
        weights(model).add_(torch.randn(before.shape, generator=torch.Generator().manual_seed(1)))
        model.scale_shift.shifts.add_(0.5)
    found = refit(model, train, val, coefficients=ENERGY_FORCES, metrics=metrics())
    assert found.kept, found
    assert found.frames == 24
    assert found.weights == before.numel()
    assert found.after < 1e-3 * found.before
    outputs = model(val[0])
    assert torch.allclose(outputs["forces"], val[0]["forces"], atol=2e-4)
    assert torch.allclose(outputs["total_energy"], val[0]["total_energy"], atol=2e-3)


def test_perfect_crystals_whose_forces_are_rounding_do_not_make_a_model_look_nonlinear():
    model = made()
    atoms = bulk("O", "diamond", a=4.1, cubic=True)
    atoms.rotate(31.0, (1, 2, 3), rotate_cell=True)
    frame, _ = frame_from_atoms(atoms, {}, "here")
    for transform in default_transforms(model.info):
        frame = transform(frame)
    crystal = collate([frame])
    crystal = {**crystal, "total_energy": model(crystal)["total_energy"], "forces": torch.zeros(8, 3)}
    train, val = [crystal, *batches(model, 12, 1)], batches(model, 8, 2)
    with torch.no_grad():
        weights(model).add_(torch.randn(weights(model).shape, generator=torch.Generator().manual_seed(1)))
    found = refit(model, train, val, coefficients=ENERGY_FORCES, metrics=metrics())
    assert found.kept, found


def test_shifts_that_the_data_do_not_determine_move_as_little_as_possible():
    model = made(per_type_energy_shifts={"H": 0.0, "O": 0.0})
    only_water = [_only(model, 12, 4)], [_only(model, 6, 5)]
    with torch.no_grad():
        model.scale_shift.shifts.copy_(torch.tensor([-0.3, -0.6]))  # 2 H and 1 O: 1.2 eV too low
    found = refit(model, *only_water, coefficients=ENERGY_FORCES, metrics=metrics())
    assert found.kept
    assert found.shifts == ["H", "O"]
    changed = model.scale_shift.shifts - torch.tensor([-0.3, -0.6])
    assert float(2 * changed[0] + changed[1]) == pytest.approx(1.2, abs=0.02)
    assert float((model(only_water[1][0])["total_energy"] - only_water[1][0]["total_energy"]).abs().max()) < 0.02


def _only(model, count, seed):
    random = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        atoms = molecule("H2O")
        atoms.positions += random.normal(scale=0.08, size=(3, 3))
        frame, _ = frame_from_atoms(atoms, {}, "here")
        for transform in default_transforms(model.info):
            frame = transform(frame)
        frames.append(frame)
    batch = collate(frames)
    outputs = model(batch)
    return {**batch, "total_energy": outputs["total_energy"], "forces": outputs["forces"]}


def test_known_shifts_stay():
    model = made(per_type_energy_shifts={"H": 1.0, "O": 2.0})
    train, val = batches(model, 12, 1), batches(model, 6, 2)
    with torch.no_grad():
        model.scale_shift.shifts.copy_(torch.tensor([1.5, 2.5]))
    found = refit(model, train, val, coefficients=ENERGY_FORCES, metrics=metrics(), fixed_shifts=["H"])
    assert found.shifts == ["O"]
    assert float(model.scale_shift.shifts[0]) == 1.5


@pytest.mark.parametrize("seed", range(3))
def test_validation_never_gets_worse(seed):
    """Labels of noise: what fits the training set does not fit the validation set."""
    model = made()
    train, val = batches(model, 8, seed), batches(model, 8, seed + 10)
    random = torch.Generator().manual_seed(seed)
    for batch in train:
        batch["forces"] = batch["forces"] + torch.randn(batch["forces"].shape, generator=random).double()
    before = copy.deepcopy(model.state_dict())
    found = refit(model, train, val, coefficients=ENERGY_FORCES, metrics=metrics())
    if found.kept:
        assert found.after < found.before
    else:
        assert found.reason
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_perfect_model_stays_as_it_is_or_as_good():
    model = made()
    train, val = batches(model, 8, 1), batches(model, 4, 2)
    found = refit(model, train, val, coefficients=ENERGY_FORCES, metrics=metrics())
    assert found.before == 0.0
    assert not found.kept


def test_with_kernels_it_comes_to_the_same():
    plain, other = made(), made()
    train, val = batches(plain, 12, 1), batches(plain, 4, 2)
    with torch.no_grad():
        for model in (plain, other):
            weights(model).mul_(0.3)
    fast, _ = apply_automatic(other)
    refit(plain, train, val, coefficients=ENERGY_FORCES, metrics=metrics())
    assert refit(fast, train, val, coefficients=ENERGY_FORCES, metrics=metrics()).kept
    assert torch.allclose(weights(plain), weights(other), atol=1e-3)


def test_an_interruption_leaves_the_model_as_it_was():
    model = made()
    train, val = batches(model, 8, 1), batches(model, 4, 2)
    before = weights(model).detach().clone()

    def check():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refit(model, train, val, coefficients=ENERGY_FORCES, metrics=metrics(), check=check)
    assert torch.equal(weights(model), before)


def test_what_cannot_be_refitted_is_left_out_with_a_reason():
    model = made()
    batch = batches(model, 4, 1)
    other = {"dipole_mse": 1.0}
    assert "neither energies nor forces" in refit(model, batch, batch, coefficients=other, metrics=metrics()).reason
    model.energy.last_layer = lambda: None
    found = refit(model, batch, batch, coefficients=ENERGY_FORCES, metrics=metrics())
    assert "does not say" in found.reason
    assert found.line == f"refit of the last layer: left out, {found.reason}"


def test_weights_that_energies_are_not_linear_in_are_noticed():
    model = made()
    train, val = batches(model, 8, 1), batches(model, 4, 2)
    first = next(one for name, one in model.energy.named_parameters() if "layers" in name)
    before = first.detach().clone()
    model.energy.last_layer = lambda: first
    with torch.no_grad():
        weights(model).mul_(1.0)
    found = refit(model, train, val, coefficients=ENERGY_FORCES, metrics=metrics())
    assert not found.kept
    assert "not linear" in found.reason
    assert torch.equal(first, before)


def test_memory_does_not_grow_with_the_number_of_frames():
    model = made()
    batch = batches(model, 4, 1)

    def again(count):
        return (dict(batch[0]) for _ in range(count))

    found = refit(model, again(6), batch, coefficients=ENERGY_FORCES, metrics=metrics())
    assert found.frames == 24  # a generator: no batch is kept


def test_ridges_reach_from_the_data_to_the_trained_weights():
    assert RIDGES[0] < 1e-8
    assert RIDGES[-1] >= 1.0
