"""The commands package, inspect, eval and compile: output, messages and exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from equipot.artifacts import load_model
from equipot.ase import EquipotCalculator
from equipot.errors import DataError
from equipot.evaluate import evaluate


@pytest.fixture
def run(command_line):
    """Run ``equipot …`` in the test's folder: exit code, stdout, stderr."""
    return command_line


@pytest.fixture
def labelled(tmp_path, package_file):
    """Frames with labels 3 meV (energy), 20 meV/Å and 5 meV/Å³ away from the model's."""
    calculator, frames = EquipotCalculator(package_file), []
    for seed in range(5):
        atoms = bulk("CO", "zincblende", a=4.4).repeat((2, 1, 1)) if seed % 2 else molecule("CH3OH")
        atoms.rattle(0.05, seed=seed)
        results = {
            "energy": calculator.get_potential_energy(atoms) - 0.003,
            "forces": calculator.get_forces(atoms) + np.array([0.02, -0.02, 0.02]),
        }
        if atoms.pbc.any():
            results["stress"] = calculator.get_stress(atoms) + 0.005
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    write(tmp_path / "data.extxyz", frames)
    return tmp_path / "data.extxyz"


# ------------------------------------------------------------------ package


def test_package_from_build_to_modify(run, make_model, make_checkpoint):
    make_checkpoint(make_model())
    code, out, err = run("package", "build", "model.ckpt", "a.equipot.zip")
    assert (code, err) == (0, "")
    assert out.startswith("wrote a.equipot.zip (ema weights, fingerprint ")
    code, out, _ = run("package", "verify", "a.equipot.zip")
    assert code == 0
    deviations = "atomic_energy 0.0e+00, forces 0.0e+00, stress 0.0e+00, stress_mask 0.0e+00, total_energy 0.0e+00"
    assert out.startswith(f"a.equipot.zip: reproduces its golden frames; largest relative deviations: {deviations}, ")
    code, out, _ = run("package", "info", "a.equipot.zip", "--json")
    assert json.loads(out)["model"]["type_names"] == ["C", "H", "O"]
    code, out, _ = run(
        "package", "modify", "a.equipot.zip", "b.equipot.zip", "--modifiers", "disable_ForceStressOutput"
    )
    assert (code, out) == (0, "wrote b.equipot.zip with disable_ForceStressOutput: atomic_energy, total_energy\n")
    code, out, _ = run("package", "info", "b.equipot.zip")
    assert "modifiers    enable_ForceStressOutput disable_ForceStressOutput" in out
    assert "verdict      safe: holds data only: no pickle, no code" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("package", "build", "none.ckpt", "a.equipot.zip"), "error: none.ckpt: there is no such file\n"),
        (
            ("package", "build", "none.ckpt", "a.zip"),
            "error: a.zip: must end in .equipot.zip; name it e.g. model.equipot.zip\n",
        ),
        (("package", "verify", "none.equipot.zip"), "error: none.equipot.zip: there is no such file\n"),
        (
            ("package", "verify", "empty.equipot.zip"),
            (
                "error: empty.equipot.zip: cannot be read as a zip file (File is not a zip file); "
                "the file is truncated, damaged or of another kind: get it again\n"
            ),
        ),
        (
            ("package", "modify", "model.equipot.zip", "model.equipot.zip", "--modifiers", "disable_ForceStressOutput"),
            "error: model.equipot.zip: would overwrite the package to modify; choose another name for the output\n",
        ),
        (
            ("package", "modify", "model.equipot.zip", "b.equipot.zip", "--modifiers", "a b"),
            "error: --modifiers: must be NAME or NAME:key=value,…, got 'a b'\n",
        ),
        (
            (
                "package",
                "modify",
                "model.equipot.zip",
                "b.equipot.zip",
                "--modifiers",
                "modify_PerTypeScaleShift:scale=2",
            ),
            "error: modifier modify_PerTypeScaleShift.scale: unknown option; did you mean 'scales'?\n",
        ),
        (
            ("inspect", "model.pth"),
            "error: model.pth: unknown file type; known: .ckpt, .equipot.zip, .equipot.pt2\n",
        ),
        (
            ("inspect", "empty.ckpt"),
            (
                "error: empty.ckpt: cannot be read as a checkpoint (File is not a zip file); "
                "the file is truncated, damaged or of another kind: get it again\n"
            ),
        ),
        (
            ("compile", "model.equipot.zip", "a.pt2"),
            "error: a.pt2: must end in .equipot.pt2; name it e.g. model.equipot.pt2\n",
        ),
        (
            ("compile", "a.equipot.pt2", "b.equipot.pt2"),
            (
                "error: a.equipot.pt2: is a compiled file, which cannot become an eager model again; "
                "use the package or checkpoint it was compiled from\n"
            ),
        ),
        (
            ("compile", "model.equipot.zip", "a.equipot.pt2", "--mode", "jit", "--target", "x", "--device", "tpu"),
            (
                "error: --compile-mode: must be one of ['aotinductor'], got 'jit'\n"
                "error: --device: must be one of ['cpu', 'cuda'], got 'tpu'\n"
                "error: --target: no export target named 'x'; installed: ['ase'"
            ),
        ),
        (("eval", "model.equipot.zip", "none.extxyz"), "error: none.extxyz: no such file; "),
        (
            ("eval", "model.equipot.zip", "none.extxyz", "--batch-size", "0"),
            "error: --batch-size: must be at least 1, got 0\n",
        ),
        (
            ("eval", "model.equipot.zip", "none.extxyz", "--labels", "energy"),
            "error: --labels: must be LABEL=KEY, got 'energy'; for example total_energy=REF_energy\n",
        ),
    ],
)
def test_messages_and_exit_code_of_wrong_input(run, package_file, words, message):
    for name in ("empty.equipot.zip", "empty.ckpt"):
        Path(package_file.parent / name).write_bytes(b"")
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert "Traceback" not in err


def test_an_unknown_modifier_names_the_nearest(run, package_file):
    code, _, err = run("compile", "model.equipot.zip", "a.equipot.pt2", "--modifiers", "enable_ForceStresOutput")
    assert code == 2
    assert err.startswith("error: no modifier named 'enable_ForceStresOutput'; installed: ")
    assert "Did you mean 'enable_ForceStressOutput'?" in err


def test_the_installed_commands(package_file):
    folder = Path(sys.executable).parent
    for words, code in (
        (("equipot-package", "info", package_file.name), 0),
        (("equipot", "inspect", package_file.name, "--json"), 0),
        (("equipot-compile", package_file.name, "out.pt2"), 2),
    ):
        done = subprocess.run(
            [str(folder / words[0]), *words[1:]], cwd=package_file.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr


# ------------------------------------------------------------------ inspect


def test_inspect_shows_what_is_needed(run, package_file):
    code, out, _ = run("inspect", "model.equipot.zip")
    assert code == 0
    for line in (
        "verdict      safe: holds data only: no pickle, no code",
        "format       package, version 1",
        "types        C H O",
        "r_max        4.0 Å, per pair of types",
        "units        metal",
        "locality     strict",
        "outputs      atomic_energy total_energy forces stress virial",
        "plugins      equipot-force-stress 0.1.0, equipot-invariant 0.1.0, equipot-zbl 0.1.0",
    ):
        assert line in out
    code, out, _ = run("inspect", "model.equipot.zip", "--json")
    assert json.loads(out)["verdict"] == "safe"


def test_control_characters_of_a_file_are_shown_not_obeyed(run, package_file):
    from equipot.artifacts import _archive as archive
    from equipot.artifacts._manifest import Manifest

    with archive.opened(package_file) as file:
        members = {name: file.read(name) for name in file.namelist()}
    manifest = Manifest.from_json(members["manifest.json"], "x")
    manifest.citations.append("\x1b[2J\nverdict       safe")
    archive.write_members(package_file, {**members, "manifest.json": manifest.to_json()})
    _, out, _ = run("inspect", "model.equipot.zip")
    assert "cite         \\x1b[2J\n             verdict       safe" in out
    assert out.count("\nverdict") == 1


def test_inspect_names_missing_plugins(run, package_file):
    from equipot.artifacts import _archive as archive
    from equipot.artifacts._manifest import Manifest

    with archive.opened(package_file) as file:
        members = {name: file.read(name) for name in file.namelist()}
    manifest = Manifest.from_json(members["manifest.json"], "x")
    manifest.plugins["equipot-nowhere"] = "1.0"
    archive.write_members(package_file, {**members, "manifest.json": manifest.to_json()})
    code, out, _ = run("inspect", "model.equipot.zip")
    assert code == 0
    advice = "needs equipot-nowhere 1.0 (not installed); pip install --upgrade 'equipot-nowhere>=1.0'"
    assert f"verdict      needs plugins: model.equipot.zip: {advice}" in out


# ------------------------------------------------------------------ eval


def test_eval_prints_and_writes_the_errors(run, labelled, tmp_path):
    code, out, err = run("eval", "model.equipot.zip", "data.extxyz", "--out", "results", "--batch-size", "2")
    assert (code, err.strip()) == (0, "")
    found = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert found["n_frames"] == 5
    assert found["per_atom_energy_mae_mev"] == pytest.approx((3 * 3 / 6 + 2 * 3 / 4) / 5, rel=1e-4)
    assert found["forces_mae_mev_per_angstrom"] == pytest.approx(20.0, rel=1e-6)
    assert found["forces_rmse_mev_per_angstrom"] == pytest.approx(20.0, rel=1e-6)
    assert found["stress_max_mev_per_angstrom3"] == pytest.approx(5.0, rel=1e-5)
    assert (found["forces_values"], found["stress_values"]) == (3 * (3 * 6 + 2 * 4), 2 * 9)
    assert (tmp_path / "results" / "parity.png").read_bytes().startswith(b"\x89PNG")
    lines = out.splitlines()
    assert lines[0] == "5 frames"
    table = lines.index(next(line for line in lines if line.split()[:2] == ["quantity", "RMSE"]))
    assert lines[table].split() == ["quantity", "RMSE", "MAE", "max", "values", "unit"]
    assert [line.split()[0] for line in lines[table + 1 : table + 5]] == ["per_atom_energy", "less", "forces", "stress"]


def test_eval_of_other_names_and_of_no_label(run, labelled):
    frames = read(labelled, ":")
    for atoms in frames:
        atoms.info["REF_energy"] = atoms.calc.results["energy"]
        atoms.calc = None
    write(labelled, frames)
    code, out, _ = run("eval", "model.equipot.zip", "data.extxyz", "--labels", "total_energy=REF_energy")
    assert code == 0
    assert "forces" not in out
    assert "  total_energy: info:REF_energy, 5 frames" in out
    code, _, err = run("eval", "model.equipot.zip", "data.extxyz")
    assert code == 2
    assert "has no label that the model predicts (atomic_energy, total_energy, forces, stress, virial)" in err
    assert "total_energy=REF_energy" in err


def test_batches_do_not_change_the_errors(package_file, labelled):
    model = load_model(package_file)
    one, all_at_once = (evaluate(model, labelled, batch_size=size).to_dict() for size in (1, 10))
    for key, value in one.items():
        if isinstance(value, (int, float)):
            assert value == pytest.approx(all_at_once[key], rel=1e-9), key
    assert one["labels"] == all_at_once["labels"]
    assert [worst["place"] for worst in one["worst"]["stress"]] == [
        worst["place"] for worst in all_at_once["worst"]["stress"]
    ]


def test_eval_refuses_unknown_elements_and_nan(package_file, tmp_path, make_model):
    gold = Atoms("Au")
    gold.calc = SinglePointCalculator(gold, energy=1.0)
    write(tmp_path / "gold.extxyz", gold)
    with pytest.raises(DataError, match="Au"):
        evaluate(load_model(package_file), tmp_path / "gold.extxyz")
    lone = Atoms("H")
    lone.calc = SinglePointCalculator(lone, energy=float("nan"))
    write(tmp_path / "nan.extxyz", lone)
    with pytest.raises(DataError, match="the label total_energy is nan"):
        evaluate(load_model(package_file), tmp_path / "nan.extxyz")
