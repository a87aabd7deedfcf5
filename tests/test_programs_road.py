"""Training on kernels and programs, unasked: equal to training without them, and resumed with the same bits."""

import concurrent.futures
import functools
import json
import logging
import pickle
import subprocess
import sys

import pytest
import torch

import equipot
from equipot.ase import EquipotCalculator
from equipot.model import NequIPGNNModel
from equipot_kernels._program.interpreter import Runner
from equipot_test_support.checkpoints import differences, saving
from equipot_test_support.water import CONFIG

MODEL = """
  model:
    _target_: equipot.model.NequIPGNNModel
    seed: 1
    model_dtype: float64
    type_names: ${chemical_symbols}
    r_max: ${cutoff_radius}
    num_layers: 2
    l_max: 1
    num_features: 4
    num_bessels: 4
    radial_mlp_width: 6
    avg_num_neighbors: 9.0
    per_type_energy_shifts: ${training_data_stats:per_atom_energy_mean}
    per_type_energy_shifts_trainable: true
    per_type_energy_scales: 1.0
"""
TRAIN = ["run=[train]", "trainer.max_epochs=3"]
OFF = "+training_module.automatic_modifiers=false"


@pytest.fixture(autouse=True)
def _automatic(kernel_folder, monkeypatch, folder):
    monkeypatch.setenv("EQUIPOT_CACHE_DIR", str(kernel_folder))
    monkeypatch.setenv("EQUIPOT_AUTOMATIC_MODIFIERS", "1")
    folder.write(CONFIG[: CONFIG.index("\n  model:")] + MODEL)


def trained(folder, name, *arguments):
    code, output, errors = folder.call("--output", name, *TRAIN, *arguments)
    assert code == 0, errors
    return output


def state(folder, name):
    return torch.load(folder.path / name / "last.ckpt", weights_only=True)["state_dict"]


def assert_equal_training(folder, one, other):
    for key, value in state(folder, one).items():
        torch.testing.assert_close(value, state(folder, other)[key], rtol=1e-7, atol=1e-9, msg=key)


@pytest.fixture
def served(monkeypatch, caplog):
    """How many calculations programs served; nothing may be said of one that failed."""
    caplog.set_level(logging.INFO, "equipot_kernels")
    calls, forward = [], Runner.forward
    monkeypatch.setattr(Runner, "forward", lambda self, inputs: calls.append(self) or forward(self, inputs))
    yield calls
    assert "program" not in caplog.text


def test_with_and_without(folder, served):
    """Weights, averages and errors after nine steps and three validations."""
    output = trained(folder, "on")
    assert f"automatic modifiers: enable_FusedKernels (equipot-kernels {equipot.__version__})" in output
    assert len(served) == 12
    assert "automatic" not in trained(folder, "off", OFF)
    assert len(served) == 12
    assert_equal_training(folder, "on", "off")
    found, expected = (json.loads((folder.path / name / "results.json").read_text()) for name in ("on", "off"))
    assert found["automatic_modifiers"] == {"enable_FusedKernels": f"equipot-kernels {equipot.__version__}"}
    for key, value in expected["train"].items():
        assert found["train"][key] == pytest.approx(value, rel=1e-6), key


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["+trainer.accumulate_grad_batches=2"]], ids=["plain", "accumulated"])
def test_resumed_with_the_same_bits(folder, served, more):
    trained(folder, "whole", saving(1), *more)
    steps = sorted(folder.path.glob("whole/step*.ckpt"), key=lambda path: int(path.stem[4:]))
    stop, final = steps[len(steps) // 2].name, steps[-1].name
    trained(folder, "rest", saving(1), *more, "--resume", f"whole/{stop}")
    assert differences(folder.path / "whole" / final, folder.path / "rest" / final) == []


@pytest.mark.slow
def test_a_resumed_run_says_that_the_choice_changed(folder, monkeypatch):
    trained(folder, "whole", saving(3))
    monkeypatch.setenv("EQUIPOT_AUTOMATIC_MODIFIERS", "0")
    output = trained(folder, "rest", saving(3), "--resume", "whole/step3.ckpt")
    assert "automatic modifiers were enable_FusedKernels (equipot-kernels " in output
    assert "now none: results may differ by rounding" in output
    assert_equal_training(folder, "whole", "rest")


@pytest.mark.slow
def test_a_run_without_programs(folder, served):
    """Kernels alone, as asked for."""
    text = (folder.path / "config.yaml").read_text()
    start = text.index("  model:\n")
    inner = text[start:].replace("\n    ", "\n      ").replace("  model:\n", "    model:\n", 1)
    modifiers = "    modifiers: [{modifier: enable_FusedKernels, programs: false}]\n"
    folder.write(text[:start] + "  model:\n    _target_: equipot.model.modify\n" + modifiers + inner)
    trained(folder, "kernels")
    assert served == []
    folder.write(text)
    trained(folder, "off", OFF)
    assert_equal_training(folder, "kernels", "off")


@pytest.mark.slow
def test_combined_gradients_of_several_terms(folder, served):
    """One backward pass for each term of the loss, the second with a forward pass of its own."""
    text = (folder.path / "config.yaml").read_text()
    combined = text.replace("equipot.train.EMALightningModule", "equipot_toolbox.EMAConFIGLightningModule")
    assert combined != text
    folder.write(combined)
    trained(folder, "on")
    assert len(served) == 21
    trained(folder, "off", OFF)
    assert_equal_training(folder, "on", "off")


@pytest.mark.slow
def test_two_processes(folder):
    two = ["+trainer.devices=2", "+trainer.strategy=ddp", "data.train_dataloader.batch_size=2"]
    for name, more in (("on", []), ("off", [OFF])):
        call = [
            sys.executable,
            "-m",
            "equipot._cli.main",
            "train",
            "config.yaml",
            "--output",
            name,
            *TRAIN,
            *two,
            *more,
        ]
        done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("automatic modifiers: enable_FusedKernels") == (name == "on")
    assert_equal_training(folder, "on", "off")


# ------------------------------------------------------------------------------ calculators


def water():
    from equipot_test_support.water import water_frames

    return water_frames()[0]


@pytest.fixture
def model():
    options = {"num_layers": 2, "l_max": 1, "num_features": 4, "radial_mlp_width": 6, "avg_num_neighbors": 9.0}
    return NequIPGNNModel(**options, type_names=["H", "O"], r_max=4.0, model_dtype="float64", parity=False).build()


def steps(calculator, number, atoms=None):
    """Energies and forces along a made-up trajectory."""
    atoms = atoms or water()
    atoms.calc = calculator
    found = []
    for step in range(number):
        atoms.positions[0, 0] += 0.01 * (1 + step % 3)
        found.append((atoms.get_potential_energy(), atoms.get_forces()))
    return found


def test_a_calculator_uses_a_program_from_the_tenth_calculation(model, served):
    expected = steps(EquipotCalculator(model, automatic_modifiers=False), 14)
    made = EquipotCalculator(model)
    found = steps(made, 14)
    assert len(served) == 5
    for (energy, forces), (right, right_forces) in zip(found, expected, strict=True):
        assert energy == pytest.approx(right, abs=1e-10)
        torch.testing.assert_close(torch.tensor(forces), torch.tensor(right_forces), rtol=1e-9, atol=1e-10)
    arrived = pickle.loads(pickle.dumps(made))  # noqa: S301 - our own
    assert steps(arrived, 1)[0][0] == pytest.approx(expected[0][0], abs=1e-10)


def test_threads_that_share_a_calculator_or_have_their_own(model, served):
    expected = steps(EquipotCalculator(model, automatic_modifiers=False), 12)
    shared = EquipotCalculator(model)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        given = [shared, shared, EquipotCalculator(model), EquipotCalculator(model)]
        for found in pool.map(functools.partial(steps, number=12), given):
            for (energy, _), (right, _) in zip(found, expected, strict=True):
                assert energy == pytest.approx(right, abs=1e-10)
    # Calculations 10 to 12 of each calculator; how many more the shared one has depends on how often one thread finds
    # that the other has just computed its frame.
    assert len(served) >= 3 * 3
