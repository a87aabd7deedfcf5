"""The kit for calculators of any program: what it needs, how it measures, which models it takes."""

import json
import subprocess
import sys
import types

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from broken_toys.calculators import Leaking, Pairs

from equipot.errors import ConfigError
from equipot_testing.calculators._derivatives import fd_forces, fd_stress, measured_precision
from equipot_testing.calculators._remote import outcomes_of
from equipot_testing.calculators._structures import bulk, molecule, orthogonal_matrices, radius_of, slab
from equipot_testing.calculators.conformance import CalculatorConformance
from equipot_testing.calculators.potentials import ASEPotential, TorchSimPotential, wrapped
from equipot_testing.run import run_checks


class TestHealthyCalculator(CalculatorConformance):
    target = Pairs


class TestEMT(CalculatorConformance):
    elements = ("Cu", "Au")
    target = EMT


class SingleEnergies(Pairs):
    """Energies rounded as float32 does."""

    def results_of(self, atoms):
        results = super().results_of(atoms)
        energies = results["energies"].astype(np.float32).astype(float)
        return {**results, "energies": energies, "energy": float(energies.sum())}


def test_float32_is_recognised_and_judged_as_such():
    kit = type("Kit", (CalculatorConformance,), {"target": SingleEnergies})
    assert [one.check.name for one in run_checks(kit) if one.broken] == []
    precision = kit().precision
    assert precision.dtype == "float32"
    assert 1e-9 < precision.noise < 1e-6
    assert measured_precision(ASEPotential(Pairs()), molecule("HCO")).dtype == "float64"
    assert measured_precision(ASEPotential(Pairs()), molecule("HCO"), "float32").step == 2e-2


def test_structures_keep_distances_and_are_the_same_each_time():
    for elements in (("H", "C", "O"), ("Cs",), ("Cu", "Au")):
        for make in (bulk, slab, molecule):
            frame = make(elements)
            assert frame == make(elements)
            distances = frame.get_all_distances(mic=frame.pbc.any())
            np.fill_diagonal(distances, np.inf)
            radii = np.array([radius_of(symbol) for symbol in frame.symbols])
            assert (distances > 1.09 * (radii[:, None] + radii)).all()
    assert not molecule(("H",)).cell.any()
    assert abs(np.linalg.det(orthogonal_matrices()["rotation"]) - 1) < 1e-12


def test_differences_of_a_known_energy():
    class Springs:
        batched = True

        def energies(self, frames):
            return np.array([(frame.positions**2).sum() for frame in frames])

    frame = Atoms("H2", positions=[[1.0, 2.0, 3.0], [0.0, -1.0, 0.5]], cell=2 * np.eye(3), pbc=True)
    np.testing.assert_allclose(fd_forces(Springs(), frame, 1e-3), -2 * frame.positions, atol=1e-9)
    expected = 2 * frame.positions.T @ frame.positions / 8
    np.testing.assert_allclose(fd_stress(Springs(), frame, 1e-3), expected, atol=1e-9)


# ---------------------------------------------------------------------------- torch-sim


class Model:
    """What torch-sim calls a model, with the pairs' energies."""

    memory_scales_with = "n_atoms"
    device, dtype = "cpu", "float64"

    def forward(self, state):
        import torch

        results = ASEPotential(Pairs()).evaluate(state)
        stress = [one.stress if one.stress is not None else np.zeros((3, 3)) for one in results]
        return {
            "energy": torch.tensor([one.energy for one in results]),
            "forces": torch.tensor(np.concatenate([one.forces for one in results])),
            "stress": torch.tensor(np.array(stress)),
        }

    __call__ = forward


@pytest.fixture
def torch_sim(monkeypatch):
    module = types.ModuleType("torch_sim.io")
    module.atoms_to_state = lambda frames, device, dtype: frames
    monkeypatch.setitem(sys.modules, "torch_sim", types.ModuleType("torch_sim"))
    monkeypatch.setitem(sys.modules, "torch_sim.io", module)


@pytest.mark.slow
@pytest.mark.usefixtures("torch_sim")
def test_torch_sim_model_is_checked_in_batches():
    assert isinstance(wrapped(Model(), "x"), TorchSimPotential)
    kit = type("Kit", (CalculatorConformance,), {"target": Model})
    states = {one.check.name: (one.state, one.message) for one in run_checks(kit)}
    assert states.pop("sum_of_energies") == ("not applicable", "it does not provide energies of atoms")
    assert {state for state, _ in states.values()} == {"passed"}
    assert "batch_equals_singles" in states


def test_what_is_no_calculator_is_refused():
    with pytest.raises(
        ConfigError, match=r"--calculator: makes no calculator, got 'a:b -> dict'; the factory must return an ASE"
    ):
        wrapped({}, "a:b")
    assert wrapped(leaking := Leaking(), "a:b") is leaking


# ------------------------------------------------------------------- other environments


def test_worker_imports_neither_torch_nor_the_rest_of_core():
    code = (
        "import sys, equipot_testing.calculators._worker\n"
        "heavy = {'torch', 'e3nn', 'pydantic', 'equipot.plugins', 'equipot.model'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", f"import json\n{code}"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.slow
def test_calculator_in_another_python(tmp_path, monkeypatch):
    (tmp_path / "far_away.py").write_text(
        "import os\nfrom ase.calculators.emt import EMT as make\n\n\ndef dies():\n    os._exit(3)\n"
    )
    monkeypatch.chdir(tmp_path)
    outcomes = outcomes_of("far_away:make", elements=["Cu"], python=sys.executable)
    assert {one.state for one in outcomes} == {"passed", "not applicable"}
    assert outcomes[0].message.startswith("computes in float64")
    with pytest.raises(ConfigError, match="cannot be imported: No module named 'nearby'"):
        outcomes_of("nearby:make", elements=["Cu"], python=sys.executable)
    with pytest.raises(ConfigError, match="--calculator: fails in .*: no message; it needs numpy and ase there"):
        outcomes_of("far_away:dies", elements=["Cu"], python=sys.executable)
