"""The head against brute force: columns by unit weights of the last layer, which the plugin does not use."""

import copy

import pytest
import torch

from equipot.artifacts import load, load_model, write_package
from equipot.compile import compile_model
from equipot.data import FrameDataset, frame_from_atoms
from equipot.data.transforms import default_transforms
from equipot.errors import ConfigError
from equipot.graph import collate
from equipot.model import InvariantModel, NequIPGNNModel, apply_modifier
from equipot_testing.conformance import ModifierConformance, OutputHeadConformance
from equipot_testing.frames import batch_of, molecule, standard_structures
from equipot_testing.toy import ToyModel
from equipot_uncertainty._fit import FitOptions, add_uncertainty
from equipot_uncertainty._head import NAME

SMALL = {"num_layers": 1, "l_max": 1, "parity": False, "num_features": 4, "radial_mlp_width": 4}


def columns(model, batch):
    """Energies [n_frames, p] and forces [n_atoms, 3, p] of unit weights of the last layer, without shifts and terms."""
    model = copy.deepcopy(model)
    weights = model.energy.last_layer()
    energies, forces = [], []
    with torch.no_grad():
        weights.zero_()
    base = model(batch)
    for index in range(weights.numel()):
        with torch.no_grad():
            weights.zero_()
            weights.view(-1)[index] = 1.0
        found = model(batch)
        energies.append(found["total_energy"] - base["total_energy"])
        forces.append(found["forces"] - base["forces"])
    return torch.stack(energies, 1), torch.stack(forces, 2)


@pytest.fixture(scope="module")
def fitted(model, sets):
    """The model with all directions of forces."""
    return add_uncertainty(model, sets["train"], sets["val"], FitOptions(force_directions=10_000, force_frames=10))


def covariances(model, sets):
    """Of energies, and of energies and forces, made by unit weights: frames 0, 3, … have forces."""
    batch = collate(list(sets["train"]))
    energies, forces = columns(model, batch)
    outputs = model(batch)
    errors, force_errors = outputs["total_energy"] - batch["total_energy"], outputs["forces"] - batch["forces"]
    used = batch["batch"] % 3 == 0
    rows = forces[used].reshape(-1, forces.shape[2])
    total = energies.T @ energies / errors.square().mean() + rows.T @ rows / force_errors[used].square().mean()
    return energies.T @ energies, total


def inverse(covariance, ridge):
    return torch.linalg.inv(covariance + ridge * covariance.diagonal().mean() * torch.eye(len(covariance)))


def test_variances_are_those_of_bayesian_linear_regression(model, sets, fitted):
    made, fit = fitted
    of_energies, of_forces = covariances(model, sets)
    batch = collate(list(sets["test"]))
    energies, forces = columns(model, batch)
    outputs = made(batch)
    expected = fit.alpha * torch.einsum("np,pq,nq->n", energies, inverse(of_energies, fit.ridge), energies).sqrt()
    torch.testing.assert_close(outputs["energy_std"], expected, rtol=1e-6, atol=0.0)
    expected = (
        fit.alpha_forces * torch.einsum("ncp,pq,ncq->nc", forces, inverse(of_forces, 1e-6), forces).mean(1).sqrt()
    )
    torch.testing.assert_close(outputs["forces_std"], expected, rtol=1e-6, atol=0.0)


def test_the_calibration_holds_on_both_of_its_sets(sets, fitted):
    """The mean square of z over validation and training frames is what n of them leave: (n - 2) / n."""
    made, fit = fitted
    z = []
    for name in ("train", "val"):
        batch = collate(list(sets[name]))
        z.append((made(batch)["total_energy"] - batch["total_energy"]) / made(batch)["energy_std"])
    assert float(torch.cat(z).square().mean()) == pytest.approx(88.0 / 90.0)
    assert fit.energy.rms_z == pytest.approx(float(z[1].square().mean().sqrt()))
    assert fit.forces.rms_z == pytest.approx(1.0, abs=0.1)
    assert fit.calibrated_with_training
    assert (fit.train_frames, fit.train_force_frames, fit.validation_frames) == (30, 10, 60)


def test_a_training_set_known_by_heart_does_not_count(model, sets):
    """Labels of the training set that are the model's own: no errors there."""
    known = []
    for frame in sets["train"]:
        found = model(frame)
        known.append({**frame, "total_energy": found["total_energy"] + 1e-9, "forces": found["forces"]})
    _, fit = add_uncertainty(model, known, sets["val"])
    assert not fit.calibrated_with_training
    assert fit.energy.rms_z == pytest.approx((58.0 / 60.0) ** 0.5)


def test_isolated_atoms_do_not_count(model, sets, labelled, make_model):
    """Their energies are shifts, which no weight of the last layer changes."""
    atom = next(iter(labelled(model, 1, 7)))[:1]
    atom.calc = None
    frame = frame_from_atoms(atom, {}, "here")[0]
    frame = FrameDataset([frame], transforms=default_transforms(model.info))[0]
    frame |= {"total_energy": torch.tensor([50.0], dtype=torch.float64), "total_energy_mask": torch.tensor([True])}
    frame |= {"forces": torch.zeros(1, 3, dtype=torch.float64), "forces_mask": torch.tensor([True])}
    _, expected = add_uncertainty(model, sets["train"], sets["val"])
    _, fit = add_uncertainty(model, [*sets["train"], frame], [*sets["val"], frame])
    assert fit.alpha == pytest.approx(expected.alpha)


def test_energies_and_forces_stay_the_same_bit_for_bit(model, sets, fitted):
    batch = collate(list(sets["test"]))
    outputs, expected = fitted[0](batch), model(batch)
    assert set(outputs) == {*expected, "energy_std", "atomic_energy_std", "forces_std"}
    assert all(torch.equal(outputs[key], value) for key, value in expected.items())


def test_few_directions_estimate_the_same(model, sets, fitted):
    """Half of the directions: the root of a mean over many atoms and seeds is right, and single ones are near."""
    batch = collate(list(sets["test"]))
    exact = fitted[0](batch)["forces_std"] / fitted[1].alpha_forces
    ratios = []
    for seed in range(6):
        options = FitOptions(force_directions=fitted[1].num_features // 2, force_frames=10, seed=seed)
        made, fit = add_uncertainty(model, sets["train"], sets["val"], options)
        ratios.append(made(batch)["forces_std"] / fit.alpha_forces / exact)
    assert float(torch.stack(ratios).square().mean().sqrt()) == pytest.approx(1.0, abs=0.25)


def test_atoms_add_up_like_features(model, sets, fitted):
    """Two copies of a molecule that do not see each other have twice its uncertainty: their errors are the same."""
    one = molecule(2)
    far = one.moved(torch.tensor([100.0, 0.0, 0.0], dtype=torch.float64))
    both = type(one)(torch.cat([one.positions, far.positions]), torch.cat([one.types, far.types]), one.cell, one.pbc)
    made = fitted[0]
    single, double = (made(batch_of([structure], model.info)) for structure in (one, both))
    torch.testing.assert_close(double["energy_std"], 2.0 * single["energy_std"])
    torch.testing.assert_close(double["atomic_energy_std"], single["atomic_energy_std"].repeat(2))


def test_frames_in_a_batch_are_alone(model, fitted):
    structures = list(standard_structures(2).values())
    together = fitted[0](batch_of(structures, model.info))
    alone = [fitted[0](batch_of([one], model.info)) for one in structures]
    for key in ("energy_std", "atomic_energy_std", "forces_std"):
        torch.testing.assert_close(together[key], torch.cat([one[key] for one in alone]))


def test_packages_keep_the_head(tmp_path, model, sets, fitted):
    write_package(fitted[0], tmp_path / "a.equipot.zip")
    batch = collate(list(sets["test"]))
    outputs, expected = load_model(tmp_path / "a.equipot.zip")(batch), fitted[0](batch)
    assert all(torch.equal(outputs[key], value) for key, value in expected.items())


@pytest.mark.slow
def test_compiled_files_have_the_head(tmp_path, sets):
    options = {"type_names": ["H", "O"], "r_max": 3.0, "avg_num_neighbors": 2.0, "model_dtype": "float64"}
    model = NequIPGNNModel(**options, **SMALL).build().eval()
    made, _ = add_uncertainty(model, sets["train"], sets["val"], FitOptions(force_directions=2, force_frames=5))
    compile_model(made, tmp_path / "a.equipot.pt2")
    batch = collate(list(sets["test"]))
    outputs, expected = load(tmp_path / "a.equipot.pt2", allow_native=True)(batch), made(batch)
    for key, value in expected.items():
        torch.testing.assert_close(outputs[key], value)


def test_builders_without_a_last_layer_have_node_features(sets):
    model = InvariantModel(type_names=["H", "O"], r_max=3.0, model_dtype="float64").build().eval()
    made, fit = add_uncertainty(model, sets["train"], sets["val"], FitOptions(force_frames=5))
    assert (fit.features, fit.num_features) == ("node", 8)
    outputs = made(collate(list(sets["test"])))
    assert bool((outputs["energy_std"] > 0.0).all())
    assert "forces_std" not in outputs


def test_before_the_fit_nothing_is_known(model):
    made = apply_modifier(model, "add_LastLayerUncertainty")
    outputs = made(batch_of([molecule(2)], model.info))
    assert not bool(outputs["energy_std"].isfinite().any())


def test_refusals(model):
    toy = ToyModel(type_names=["H", "O"], r_max=3.0).build()
    with pytest.raises(ConfigError, match="ToyEnergy does not have them, got 'last_layer'"):
        apply_modifier(toy, "add_LastLayerUncertainty")
    with pytest.raises(ConfigError, match="neither last_layer_features nor node_features; take a committee"):
        add_uncertainty(toy.eval(), [], [])
    bare = NequIPGNNModel(type_names=["H"], r_max=3.0, avg_num_neighbors=2.0, do_derivatives=False, **SMALL).build()
    with pytest.raises(ConfigError, match="force_directions: the model has no forces, got 4"):
        apply_modifier(bare, "add_LastLayerUncertainty", {"force_directions": 4})


def filled(model):
    """The model with numbers in its head, as after a fit."""
    head = dict(model.heads())[NAME]
    generator = torch.Generator().manual_seed(1)
    for buffer in (head.factor, head.atom_factor, head.force_factor):
        buffer.copy_(torch.randn(buffer.shape, dtype=torch.float64, generator=generator))
    return model


class TestModifier(ModifierConformance):
    name = "add_LastLayerUncertainty"
    options = {"force_directions": 2}  # noqa: RUF012 - read only

    def model(self):
        made = NequIPGNNModel(
            type_names=list(self.type_names), r_max=4.0, model_dtype="float64", avg_num_neighbors=5.0, **SMALL
        ).build()
        next(made.parameters()).requires_grad_(False)
        return made

    def modified(self, model, **options):
        return filled(super().modified(model, **options))


class TestHead(OutputHeadConformance):
    name = "add_LastLayerUncertainty"
    options = {"features": "node", "force_directions": 1}  # noqa: RUF012 - read only

    def model(self, **changes):
        return filled(super().model(**changes))
