"""The whole road on the builder of ``tests/invariant_plugin``, which a stranger might have written.

Config check, training, resume, evaluation, package, modifiers, fine-tuning, ASE, compilation: on real
periodic frames with energies, forces and stress.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from ase import units
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.io import read
from ase.md.verlet import VelocityVerlet

from equipot._cli.main import main
from equipot.artifacts import load_model
from equipot.ase import EquipotCalculator
from equipot.model import apply_modifier
from equipot.plugins import plugins
from equipot_test_support.commands import equipot
from equipot_test_support.configs import short_run
from equipot_test_support.folders import current, train_config, write_data
from equipot_test_support.roads import FINE_TUNING, check_outputs_kept, force_loss, packaged, with_forces
from equipot_testing.conformance import ModelBuilderConformance
from equipot_testing.frames import batch_of, standard_structures

WATER = Path(__file__).parents[1] / "examples" / "data" / "water_gfn1.extxyz"

MODEL = {
    "_target_": "equipot.model.InvariantModel",
    "seed": 1,
    "model_dtype": "float64",
    "type_names": "${chemical_symbols}",
    "r_max": 3.5,
    "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
    "per_type_energy_shifts": "${training_data_stats:per_type_energy_shifts_lstsq}",
    "per_type_energy_scales": "${training_data_stats:forces_rms}",
    "pair_potential": {
        "_target_": "equipot.pair_potentials.ZBL",
        "units": "metal",
        "chemical_species": "${chemical_symbols}",
    },
}

TRAINING = {
    "ema_decay": 0.9,
    "loss": {
        "_target_": "equipot.train.EnergyForceStressLoss",
        "per_atom_energy": True,
        "coeffs": {"total_energy": 1.0, "forces": 1.0, "stress": 1.0},
    },
    "val_metrics": {
        "_target_": "equipot.train.EnergyForceStressMetrics",
        "coeffs": {"per_atom_energy_mae": 1.0, "forces_mae": 1.0, "stress_mae": 1.0},
    },
    "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.02},
}
"""What differs from ``short_run`` in the section of that name."""


class TestConformance(ModelBuilderConformance):
    name = "InvariantModel"
    options = {"num_channels": 4, "avg_num_neighbors": 20.0}  # noqa: RUF012 - read only


# ----------------------------------------------------------------------------- the runs


def full_config():
    """All labels, and every statistic that the model can use."""
    made = short_run("water.extxyz", dict(MODEL), train=8, val=2, test=2)
    made["chemical_symbols"] = ["H", "O"]
    made["trainer"]["max_epochs"] = 4
    made["training_module"].update(TRAINING)
    return made


def config(**training_module):
    """The config with other parts of its training module; the shifts as numbers, since water is always H2O."""
    made = full_config()
    made["training_module"]["model"]["per_type_energy_shifts"] = {"H": -13.0, "O": -110.0}
    made["training_module"].update(training_module)
    return made


def energy_only():
    made = config(
        loss={"_target_": "equipot.train.EnergyOnlyLoss", "per_atom_energy": True},
        val_metrics={"_target_": "equipot.train.EnergyOnlyMetrics", "coeffs": {"per_atom_energy_mae": 1.0}},
    )
    made["data"]["stats_manager"] = {"_target_": "equipot.data.EnergyOnlyDataStatisticsManager"}
    made["training_module"]["model"].update(do_derivatives=False, per_type_energy_scales=1.0)
    return made


def train(folder, name, made, *overrides):
    """Train in ``folder/name``; returns the checkpoint of the last epoch."""
    (last,) = train_config(folder, name, made, *overrides).rglob("last.ckpt")
    return last


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with 12 frames of water, and the current one while these tests run."""
    path = tmp_path_factory.mktemp("a road")
    write_data(path, "water_gfn1.extxyz", 12, new="water.extxyz")
    with current(path):
        yield path


@pytest.fixture(scope="module")
def checkpoint(folder):
    """Trained on energies, forces and stress."""
    return train(folder, "full", config())


@pytest.fixture(scope="module")
def package(folder, checkpoint):
    """That model as a package."""
    return packaged(checkpoint, "full")


@pytest.fixture(scope="module")
def energy_checkpoint(folder):
    """Trained on energies alone."""
    return train(folder, "energy_only", energy_only())


def frame(index=0):
    return read("water.extxyz", index)


# ------------------------------------------------------------------------------ training


def test_config_is_accepted(folder):
    (folder / "check.yaml").write_text(yaml.safe_dump(full_config()), encoding="utf-8")
    equipot("check", "check.yaml")


def test_misspelled_option_of_a_third_partys_builder(folder, capfd):
    made = config()
    made["training_module"]["model"]["num_chanels"] = 4
    (folder / "wrong.yaml").write_text(yaml.safe_dump(made), encoding="utf-8")
    assert main(["check", "wrong.yaml"]) == 2
    message = "error: training_module.model.num_chanels: unknown option; did you mean 'num_channels'?"
    assert message in capfd.readouterr().err.splitlines()


@pytest.mark.slow
def test_training_lowers_the_errors(folder, checkpoint):
    start = train(folder, "start", config(), "trainer.max_epochs=1", "training_module.optimizer.lr=1e-9")

    def force_error(path):
        model = load_model(path).eval()
        atoms = [frame(index) for index in range(12)]
        calculator = EquipotCalculator(model)
        errors = []
        for one in atoms:
            reference = one.get_forces()
            one.calc = calculator
            errors.append(np.abs(one.get_forces() - reference).mean())
        return np.mean(errors)

    assert force_error(checkpoint) < 0.95 * force_error(start)


@pytest.mark.slow
def test_resumed_run_equals_the_unbroken_one(folder, checkpoint):
    half = train(folder, "half", config(), "trainer.max_epochs=2")
    equipot(
        "train", "half.yaml", "--output", "resumed", "--resume", half, "--allow", "trainer.max_epochs",
        "trainer.max_epochs=4",
    )  # fmt: skip
    (last,) = (folder / "resumed").rglob("last.ckpt")
    states = [torch.load(path, weights_only=True)["state_dict"] for path in (last, checkpoint)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert any(key.startswith("ema.energy.") for key in states[0])


@pytest.mark.slow
def test_energy_only_run_never_differentiates(folder, energy_checkpoint, monkeypatch):
    model = load_model(energy_checkpoint).eval()
    assert model.info.outputs == ("atomic_energy", "total_energy")
    monkeypatch.setattr(torch.autograd, "grad", lambda *_args, **_kwargs: pytest.fail("autograd.grad was called"))
    train(folder, "energy_again", energy_only(), "trainer.max_epochs=1")


# ------------------------------------------------------------------- artifacts and modifiers


def test_package_is_the_checkpoint(package, checkpoint):
    equipot("package", "verify", package)
    check_outputs_kept(load_model(checkpoint).eval(), load_model(package).eval())


def test_inspect_names_the_plugins_a_model_needs(package, capfd):
    capfd.readouterr()
    equipot("inspect", package, "--json")
    text = capfd.readouterr().out
    assert json.loads(text)
    for distribution in ("equipot-invariant", "equipot-zbl", "equipot-force-stress"):
        assert distribution in text
    assert "equipot-nequip" not in text


def test_evaluation_reports_errors(folder, package):
    equipot("eval", package, "water.extxyz", "--out", "evaluation")
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    numbers = list(_numbers(metrics))
    assert numbers
    assert all(math.isfinite(value) for value in numbers)
    assert (folder / "evaluation" / "parity.png").read_bytes().startswith(b"\x89PNG")


def _numbers(value):
    if isinstance(value, dict):
        for item in value.values():
            yield from _numbers(item)
    elif isinstance(value, float):
        yield value


def test_modifier_gives_an_energy_model_its_forces(folder, energy_package):
    equipot(
        "package", "modify", energy_package, "with_forces.equipot.zip", "--modifiers", "enable_ForceStressOutput"
    )  # fmt: skip
    calculator = EquipotCalculator(folder / "with_forces.equipot.zip", skin=0.0)
    _check_derivatives(calculator)


def _check_derivatives(calculator):
    """Forces and stress of a calculator against finite differences of its energy."""
    atoms = frame()[:12]
    atoms.set_cell(atoms.cell.array + np.array([[0, 0, 0], [0.4, 0, 0], [-0.3, 0.5, 0]]), scale_atoms=True)
    atoms.calc = calculator
    forces, stress = atoms.get_forces(), atoms.get_stress()
    assert np.abs(forces).max() > 0.01
    numerical = calculate_numerical_forces(atoms, eps=1e-4, iatoms=[0, 5, 11])
    np.testing.assert_allclose(forces[[0, 5, 11]], numerical, atol=1e-5)
    np.testing.assert_allclose(stress, calculate_numerical_stress(atoms, eps=1e-5), atol=1e-6)


def test_a_recipe_that_starts_from_a_package_keeps_its_energies(energy_package):
    made = with_forces(energy_package)
    assert "forces" in made.info.outputs
    check_outputs_kept(made, load_model(energy_package).eval())


def test_fine_tuning_an_energy_model_on_forces(folder, energy_package):
    made = config(model=FINE_TUNING)
    del made["chemical_symbols"], made["data"]["stats_manager"]
    last = train(folder, "tuned", made, "trainer.max_epochs=3")
    before = apply_modifier(load_model(energy_package), "enable_ForceStressOutput")
    frames = [frame(index) for index in range(8)]
    assert force_loss(load_model(last, weights="raw"), frames) < force_loss(before, frames)


# -------------------------------------------------------------------------------- using it


def test_forces_and_stress_in_ase(package):
    _check_derivatives(EquipotCalculator(package, skin=0.0))


def test_energy_is_conserved_in_md(package):
    atoms = frame()
    atoms.calc = EquipotCalculator(package)
    speeds = np.sqrt(100.0 * units.kB / atoms.get_masses())[:, None]
    atoms.set_velocities(speeds * np.random.default_rng(1).standard_normal((len(atoms), 3)))
    start = atoms.get_total_energy()
    kinetic = atoms.get_kinetic_energy()
    VelocityVerlet(atoms, timestep=0.2 * units.fs).run(20)
    assert abs(atoms.get_kinetic_energy() - kinetic) > 1e-3
    assert abs(atoms.get_total_energy() - start) < 0.02 * abs(atoms.get_kinetic_energy() - kinetic) + 1e-4


def test_a_molecule_has_no_stress(package):
    atoms = frame()[:3]
    atoms.pbc = False
    atoms.calc = EquipotCalculator(package)
    assert atoms.get_forces().shape == (3, 3)
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


@pytest.mark.slow
def test_compiled_energy_model_with_the_modifier(folder, energy_checkpoint):
    equipot(
        "compile", energy_checkpoint, "compiled.equipot.pt2", "--compile-mode", "aotinductor",
        "--modifiers", "enable_ForceStressOutput",
    )  # fmt: skip
    compiled = EquipotCalculator(folder / "compiled.equipot.pt2", skin=0.0)
    eager = EquipotCalculator(apply_modifier(load_model(energy_checkpoint), "enable_ForceStressOutput").eval())
    atoms = frame(1)
    for prop in ("energy", "forces", "stress"):
        np.testing.assert_allclose(compiled.get_property(prop, atoms), eager.get_property(prop, atoms), atol=1e-9)
    _check_derivatives(compiled)


# ---------------------------------------------------------------- a potential for any builder


OPTIONS = {
    "NequIPGNNModel": {"num_layers": 2, "l_max": 1, "num_features": 4, "avg_num_neighbors": 10.0},
    "PresetNequIPGNNModel": {"preset": "S", "avg_num_neighbors": 10.0},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_zbl_adds_to_the_model_of_any_builder(name):
    options = {"type_names": ["H", "O"], "r_max": 3.5, "model_dtype": "float64"}

    def outputs(builder, potential, **more):
        model = plugins().load("model_builders", builder)(**options, **more, pair_potential=potential).build().eval()
        return model(batch_of(standard_structures(2).values(), model.info))

    zbl = plugins().load("pair_potentials", "ZBL")(units="metal")
    bare, joined = outputs(name, None, **OPTIONS[name]), outputs(name, zbl, **OPTIONS[name])
    without, expected = outputs("InvariantModel", None), outputs("InvariantModel", zbl)
    for key in ("atomic_energy", "forces", "stress"):
        torch.testing.assert_close(joined[key] - bare[key], expected[key] - without[key], rtol=1e-9, atol=1e-9)
