"""With nequip itself: train, export and import again. Needs an interpreter that has nequip and nequip-allegro."""

import os
import subprocess
from pathlib import Path

import ase.io
import numpy as np
import pytest

from equipot._cli.main import main
from equipot.ase import EquipotCalculator

PYTHON = os.environ.get("EQUIPOT_NEQUIP_PYTHON")
HERE = Path(__file__).parent
DATA = HERE.parents[2] / "examples" / "data"
CASES = {
    "nequip_zbl": "ethanol_pbe",
    "nequip_everything": "water_gfn1",
    "nequip_finetuned": "water_gfn1",
    "allegro_spline": "water_gfn1",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PYTHON is None, reason="needs EQUIPOT_NEQUIP_PYTHON: an interpreter that has nequip"),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models that nequip trains now: case to file."""
    scratch = tmp_path_factory.mktemp("peer")
    command = [PYTHON, str(HERE / "make_exports.py"), str(scratch), "--cases", *CASES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: Path(path) for name, path in (line.split(": ", 1) for line in done.stdout.splitlines())}


@pytest.mark.parametrize("name", CASES)
def test_a_model_trained_by_nequip_moves_over_and_runs_in_ase(name, models, tmp_path, capsys):
    out, frames = tmp_path / "model.equipot.zip", DATA / f"{CASES[name]}.extxyz"
    trusted = ["--i-trust-this-file", "--python", PYTHON, "--frames", str(frames)]
    assert main(["import-nequip", str(models[name]), str(out), *trusted]) == 0, capsys.readouterr().err
    assert "in float64: atomic_energy" in capsys.readouterr().out
    atoms = ase.io.read(frames, index=30)
    atoms.calc = EquipotCalculator(out)
    step = 1e-4
    forces = atoms.get_forces()
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.calc = atoms.calc
        moved.positions[0, 0] += sign * step
        energies.append(moved.get_potential_energy())
    assert np.isclose(-(energies[0] - energies[1]) / (2 * step), forces[0, 0], rtol=1e-3, atol=2e-3)
