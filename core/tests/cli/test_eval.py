"""``equipot eval``: labels, files of results, messages, and tables of at most 80 characters."""

import functools
import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import read, write
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import Hartree

from equipot.artifacts import write_package
from equipot.artifacts._training_labels import label_facts
from equipot.ase import EquipotCalculator
from equipot.data._frames import label_contract
from equipot.data.arguments import named_labels
from equipot.errors import ConfigError
from equipot_test_support import data_files

KEYS = {"total_energy": "REF_energy", "forces": "REF_forces", "stress": {"key": "virial", "convention": "virial"}}
NAMED = ("total_energy=REF_energy", "forces=REF_forces", "stress=virial:virial")


@pytest.fixture
def run(command_line):
    """Run ``equipot eval …`` in the test's folder: exit code, stdout, stderr."""
    return functools.partial(command_line, "eval")


@pytest.fixture
def data(tmp_path, package_file):
    """A file whose forces are 20 meV/Å and whose stresses are 5 meV/Å³ away from the model's."""
    calculator, frames = EquipotCalculator(package_file), []
    for seed in range(4):
        atoms = bulk("CO", "zincblende", a=4.4) if seed % 2 else molecule("CH3OH")
        atoms.rattle(0.05, seed=seed)
        atoms.info = {
            "config_type": f"a_kind_with_a_long_name_{seed % 2}",
            "REF_energy": calculator.get_potential_energy(atoms),
        }
        atoms.arrays["REF_forces"] = calculator.get_forces(atoms) + 0.02
        if seed % 2:
            stress = voigt_6_to_full_3x3_stress(calculator.get_stress(atoms)) + 0.005
            atoms.info["virial"] = -stress * atoms.get_volume()
        atoms.calc = None
        frames.append(atoms)
    write(tmp_path / "data.extxyz", frames)
    return tmp_path / "data.extxyz"


@pytest.fixture
def trained(tmp_path, make_model):
    """A package that states the labels of its training."""
    write_package(
        make_model(), tmp_path / "trained.equipot.zip", data=label_facts(label_contract(KEYS), mask_nan=False)
    )
    return tmp_path / "trained.equipot.zip"


def test_the_labels_are_those_of_the_training(run, data, trained):
    code, out, err = run("trained.equipot.zip", "data.extxyz")
    assert (code, err) == (0, "")
    assert out.splitlines()[:5] == [
        "4 frames",
        "labels by the model's training:",
        "  total_energy: info:REF_energy, 4 frames",
        "  forces: arrays:REF_forces, 4 frames",
        "  stress: info:virial (virial), 2 frames",
    ]


def test_one_label_can_be_named_and_the_others_stay(run, data, trained):
    code, out, _ = run("trained.equipot.zip", "data.extxyz", "--labels", "stress=info:virial:negative_stress", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["labels"]["stress"]["convention"] == "negative_stress"
    assert found["forces_mae_mev_per_angstrom"] == pytest.approx(20.0, rel=1e-5)
    assert found["stress_mae_mev_per_angstrom3"] > 100


def test_conventions_after_the_key(run, data):
    _, out, _ = run("model.equipot.zip", "data.extxyz", "--labels", *NAMED, "--json")
    found = json.loads(out)
    assert found["stress_mae_mev_per_angstrom3"] == pytest.approx(5.0, rel=1e-5)
    assert found["labels"]["stress"]["sources"] == {"info:virial": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stress=virial", {"key": "virial"}),
        ("stress=info:virial", {"key": "info:virial"}),
        ("stress=virial:virial", {"key": "virial", "convention": "virial"}),
        ("stress=info:s:negative_stress", {"key": "info:s", "convention": "negative_stress"}),
        ("stress=results:stress", {"key": "results:stress"}),
        ("stress=results:stress:stress", {"key": "results:stress", "convention": "stress"}),
        ("stress=a:b:stress", {"key": "a:b", "convention": "stress"}),
        ("forces=arrays:f", {"key": "arrays:f"}),
        ("total_energy=a:virial", {"key": "a:virial"}),
    ],
)
def test_keys_places_and_conventions(text, expected):
    assert named_labels([text]) == {text.partition("=")[0]: expected}


def test_an_unknown_convention_is_refused():
    with pytest.raises(ConfigError, match="--labels stress: .*virail.*did you mean 'virial'"):
        named_labels(["stress=virial:virail"])


def test_unused_forces_are_a_warning(run, data):
    code, out, err = run("model.equipot.zip", "data.extxyz", "--labels", "total_energy=REF_energy")
    assert code == 0
    assert "warning: keys that look like forces are not used: REF_forces (4 of 4 frames)" in err
    assert "by element" not in out


def test_an_older_package_is_doubted_only_where_it_matters(run, data, tmp_path, make_model):
    rows = {"total_energy": {"key": "REF_energy", "present": 1}, "stress": {"key": "virial", "present": 1}}
    facts = {"census": {"sets": {"train": {"labels": rows}}}}
    write_package(make_model(), tmp_path / "old.equipot.zip", data=facts)
    _, _, err = run("old.equipot.zip", "data.extxyz")
    assert "warning: old.equipot.zip: does not say how the stress was stored under the key 'virial'" in err
    _, _, err = run("old.equipot.zip", "data.extxyz", "--labels", "stress=virial:virial")
    assert "does not say how" not in err


def test_all_files_are_written_and_said(run, data, trained, tmp_path):
    words = ("--write", "pred.extxyz", "--csv", "frames.csv", "--out", "results")
    code, out, _ = run("trained.equipot.zip", "data.extxyz", *words)
    assert code == 0
    assert out.splitlines()[-3:] == [
        "wrote pred.extxyz",
        "wrote frames.csv",
        "wrote results/metrics.json and results/parity.png",
    ]
    atoms = read(tmp_path / "pred.extxyz", 0)
    np.testing.assert_allclose(atoms.arrays["label_forces"] - atoms.arrays["equipot_forces"], 0.02, atol=1e-6)
    assert len((tmp_path / "frames.csv").read_text().splitlines()) == 5
    stored = json.loads((tmp_path / "results" / "metrics.json").read_text())
    printed = json.loads(run("trained.equipot.zip", "data.extxyz", "--json")[1])
    assert stored == printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--write", "data.extxyz"),
            "error: --write: would overwrite an input, got 'data.extxyz'; choose another name",
        ),
        (("--write", "./link.extxyz"), "error: --write: would overwrite an input, got 'link.extxyz'"),
        (("--csv", "model.equipot.zip"), "error: --csv: would overwrite an input"),
        (("--write", "a.extxyz", "--csv", "a.extxyz"), "error: --csv: is written twice"),
        (("--write", "a.json"), "error: --write: must end in .extxyz or .xyz, got 'a.json'"),
        (("--csv", "none/a.csv"), "error: --csv: cannot be written, got 'none/a.csv'"),
        (("--labels", "forces="), "error: --labels: must be LABEL=KEY"),
        (("--labels", "force=f"), "error: --labels.force: unknown label"),
    ],
)
def test_mistakes_are_found_before_the_work(run, data, tmp_path, words, message):
    (tmp_path / "link.extxyz").hardlink_to(data)
    before = data.read_bytes()
    code, _, err = run("model.equipot.zip", "data.extxyz", *words)
    assert code == 2
    assert message in err
    assert data.read_bytes() == before


def test_tables_fit_80_columns(run, data, trained, tmp_path):
    folder = tmp_path / ("a_long_folder_name" * 5)
    folder.mkdir()
    frames = read(data, ":")
    for frame in frames:
        frame.info["REF_energy"] *= 1e4  # numbers as wide as they come
        frame.arrays["REF_forces"] *= -1e6
        if "virial" in frame.info:
            frame.info["virial"] = frame.info["virial"] * 1e5
    write(folder / "data.extxyz", frames)
    code, out, _ = run("trained.equipot.zip", folder / "data.extxyz", "data.extxyz")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "worst frames" in out
    assert "by file" in out
    assert "by config type" in out


def test_many_groups_stay_on_the_screen(run, data, trained, tmp_path):
    frames = read(data, ":")
    write(tmp_path / "many.extxyz", [frames[0].copy() for _ in range(20)])
    many = read(tmp_path / "many.extxyz", ":")
    for index, frame in enumerate(many):
        frame.info["config_type"] = f"kind {index}"
    write(tmp_path / "many.extxyz", many)
    _, out, _ = run("trained.equipot.zip", "many.extxyz")
    assert "and 5 more in the JSON (--json, --out)" in out
    assert len(json.loads(run("trained.equipot.zip", "many.extxyz", "--json")[1])["by_config_type"]) == 20


# ------------------------------------------------------------------------- how files are read


@pytest.fixture
def weighty(data):
    """The same data with weights of frames and of atoms, one of which is 0."""
    frames = read(data, ":")
    for number, atoms in enumerate(frames):
        atoms.info["config_weight"] = 1.0 + number
        atoms.arrays["trust"] = np.where(np.arange(len(atoms)) == 1, 0.0, 1.0)
        atoms.arrays["REF_forces"][0] += 0.01 * number
    write(data, frames)
    return data


def test_weights_of_the_training_give_weighted_errors(run, weighty, tmp_path, make_model):
    facts = label_facts(label_contract(KEYS), mask_nan=False, weights={"frame": "config_weight", "forces": "trust"})
    write_package(make_model(), tmp_path / "weights.equipot.zip", data=facts)
    code, out, err = run("weights.equipot.zip", "data.extxyz")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    at = lines.index("  forces: arrays:REF_forces, 4 frames")
    said = "    4 atoms of weight 0 are left out; weights config_weight (4), trust (4)"
    assert lines[at + 1] == said
    assert [line.split()[0] for line in lines if line.startswith("  weighted")] == ["weighted"] * 3
    _, plain, _ = run("weights.equipot.zip", "data.extxyz", "--label-weights", "none")
    assert "weight" not in plain
    _, named, _ = run("weights.equipot.zip", "data.extxyz", "--label-weights", "frame=config_weight", "--json")
    assert json.loads(named)["labels"]["forces"]["weights"] == {"config_weight": 4}


def test_unconverged_frames_by_an_option_and_by_the_training(run, tmp_path, make_model, package_file):
    path = data_files.vasprun(tmp_path, failed=[1])
    code, _, err = run("model.equipot.zip", path)
    assert code == 2
    assert f"error: --unconverged: 1 of 3 frames did not converge: {path}, frame 1" in err
    assert err.strip().endswith("--unconverged drop leaves them out, --unconverged use takes them as they are")
    for value, count in (("drop", 2), ("use", 3)):
        code, out, _ = run("model.equipot.zip", path, "--unconverged", value)
        assert (code, out.splitlines()[0]) == (0, f"{count} frames")
    facts = label_facts(label_contract(None), mask_nan=False, unconverged="drop")
    write_package(make_model(), tmp_path / "drop.equipot.zip", data=facts)
    assert run("drop.equipot.zip", path)[1].splitlines()[0] == "2 frames"
    assert run("drop.equipot.zip", path, "--unconverged", "error")[0] == 2


def test_names_of_atoms_by_an_option_and_by_the_training(run, tmp_path, make_model, package_file):
    (tmp_path / "a.xyz").write_text('2\nProperties=species:S:1:pos:R:3 energy=-1 pbc="F F F"\nOW 0 0 0\nHW 0 0 1\n')
    code, _, err = run("model.equipot.zip", "a.xyz")
    assert code == 2
    assert "say what they are, for example --species HW=H OW=O; remove ghost atoms" in err
    assert run("model.equipot.zip", "a.xyz", "--species", "HW=H", "OW=O")[0] == 0
    facts = label_facts(label_contract(None), mask_nan=False, species={"HW": "H", "OW": "O"})
    write_package(make_model(), tmp_path / "names.equipot.zip", data=facts)
    assert run("names.equipot.zip", "a.xyz")[0] == 0
    code, _, err = run("model.equipot.zip", "a.xyz", "--species", "HW=Hy", "OW=O")
    assert (code, "--species.HW: must be the symbol of an element, got 'Hy'" in err) == (2, True)


def test_format_and_frames_by_an_option(run, data, tmp_path):
    (tmp_path / "data.strange").write_bytes(b"what is this\n" + data.read_bytes())
    _, _, err = run("model.equipot.zip", "data.strange")
    assert "give --ase-args format=NAME with one of extxyz" in err
    (tmp_path / "data.strange").write_bytes(data.read_bytes())
    words = ("--labels", *NAMED, "--ase-args", "format=extxyz", "index=:3")
    assert run("model.equipot.zip", "data.strange", *words)[1].splitlines()[0] == "3 frames"
    code, _, err = run("model.equipot.zip", "data.strange", "--ase-args", "frames=3")
    assert (code, "--ase-args.frames: unknown argument" in err) == (2, True)


def test_a_unit_that_the_file_states_is_an_option_too(run, data):
    frames = read(data, ":")
    for atoms in frames:
        atoms.info.update(energy_unit="Hartree", REF_energy=atoms.info["REF_energy"] / Hartree)
    write(data, frames)
    code, _, err = run("model.equipot.zip", "data.extxyz", "--labels", *NAMED)
    offered = "--labels 'total_energy={key: REF_energy, unit: Hartree}'"
    assert (code, f"write {offered}, or correct the file" in err) == (2, True)
    code, out, _ = run("model.equipot.zip", "data.extxyz", "--labels", shlex.split(offered)[1], *NAMED[1:], "--json")
    assert code == 0
    assert json.loads(out)["per_atom_energy_mae_mev"] == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--label-weights", "config_weight"), "--label-weights: must be NAME=VALUE, got 'config_weight'"),
        (("--species", "OW=O", "OW=H"), "--species: names 'OW' twice"),
        (("--labels", "total_energy={key: [1"), "--labels: must be LABEL=KEY or a mapping as in configs"),
    ],
)
def test_values_of_another_form(run, data, words, message):
    code, _, err = run("model.equipot.zip", "data.extxyz", *words)
    assert (code, message in err) == (2, True)


# --------------------------------------------------------------------------- elsewhere


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", 2], "--workers: needs --out DIR, where predictions are kept and the same command goes on"),
        (["--scheduler", "tcp://a:1"], "--scheduler: needs --out DIR"),
        (["--workers", 2, "--out", "o", "--species", "C1=C"], "--species: cannot be given together with --workers"),
        (["--scheduler", "a", "--out", "o", "--ase-args", "index=:2"], "--ase-args: cannot be given together with"),
        (["--workers", 2, "--out", "o", "--labels", "virial=v"], "virial: cannot be compared together with --workers"),
    ],
)
def test_what_cannot_be_computed_elsewhere(run, data, package_file, words, message):
    code, _, err = run(package_file, data, *words)
    assert code == 2
    assert message in err


def test_the_command_that_computes_is_a_plugins(run, data, package_file, monkeypatch):
    """Core sends each file there, with the options of the model, and compares the records."""
    from equipot.plugins import PluginHost

    calculator, calls = EquipotCalculator(package_file), []

    class Predict:
        def main(self, words, **_):
            calls.append(words)
            sys.stdout.write("not for the standard output")
            folder = Path(words[words.index("--output") + 1], "records")
            folder.mkdir(parents=True)
            for number, atoms in enumerate(read(words[1], ":")):
                calculator.calculate(atoms)
                results = {name: np.asarray(value).tolist() for name, value in calculator.results.items()}
                record = {"index": number, "status": "ok", "results": results}
                (folder / f"{number:06d}.json").write_text(json.dumps(record))
            return 0

    names, load = PluginHost.names, PluginHost.load
    monkeypatch.setattr(PluginHost, "names", lambda host, kind: [*names(host, kind), "predict"])
    mine = lambda host, kind, name: Predict() if name == "predict" else load(host, kind, name)  # noqa: E731
    monkeypatch.setattr(PluginHost, "load", mine)
    _, plain, _ = run(package_file, data, "--labels", *NAMED, "--json")
    code, out, err = run(
        package_file, data, "--labels", *NAMED, "--json", "--workers", 3, "--out", "o", "--weights", "raw"
    )
    assert code == 0, err
    assert "not for the standard output" in err
    found, expected = json.loads(out), json.loads(plain)
    assert found["forces_rmse_mev_per_angstrom"] == pytest.approx(expected["forces_rmse_mev_per_angstrom"], rel=1e-9)
    assert found["stress_rmse_mev_per_angstrom3"] == pytest.approx(expected["stress_rmse_mev_per_angstrom3"], rel=1e-9)
    (words,) = calls
    assert words[-2:] == ["--workers", "3"]
    assert words[words.index("--weights") + 1] == "raw"


def test_without_such_a_plugin(run, data, package_file, monkeypatch):
    from equipot.plugins import PluginHost

    names = PluginHost.names
    monkeypatch.setattr(PluginHost, "names", lambda host, kind: [one for one in names(host, kind) if one != "predict"])
    code, _, err = run(package_file, data, "--workers", 2, "--out", "o")
    assert code == 2
    assert "--workers: needs a plugin with the command predict; pip install equipot-simulate" in err
