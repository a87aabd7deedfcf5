"""``equipot new``: what it prints is a config that is checked and trained as any other."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.data import chemical_symbols

from equipot._cli.main import main
from equipot_test_support import ROOT
from equipot_test_support.faults import alloys, changed, ethanol, isolated_atoms, water_boxes
from equipot_test_support.scripts import load_script
from equipot_test_support.water import labelled


@pytest.fixture
def new(capfd):
    """Run the command: exit code, standard output and errors."""

    def call(*arguments):
        capfd.readouterr()
        code = main(["new", *map(str, arguments)])
        output = capfd.readouterr()
        return code, output.out, output.err

    return call


def test_the_config_goes_to_standard_output_and_passes_the_check(write, new, capfd):
    source = write("frames.extxyz", [*ethanol(30), *isolated_atoms()])
    code, text, errors = new(source, "--minutes", "3")
    assert (code, errors) == (0, "")
    assert text == new(source, "--minutes", "3")[1], "the same again"
    Path("c.yaml").write_text(text, encoding="utf-8")
    assert main(["check", "c.yaml"]) == 0
    code, full, _ = new(source, "--minutes", "3", "--full")
    config = yaml.safe_load(full)
    assert config["data"]["split_dataset"]["file_path"] == source
    assert config["trainer"]["callbacks"][0]["minutes"] == 3


KINDS = {
    "mixed": lambda: [*ethanol(12), *water_boxes(8)],
    "energies alone": lambda: [changed(one, forces=None) for one in ethanol(12)],
    "forces alone": lambda: [changed(one, energy=None) for one in ethanol(12)],
    "crystals": lambda: alloys(12),
    "partly": lambda: [*ethanol(4), *(changed(one, forces=None) for one in ethanol(12)[4:])],
    "two frames": lambda: ethanol(2),
}


def cells(elements, number, atoms=1):
    """Cells of some atoms each, at changing volumes, with made-up labels; on a single atom acts no force."""
    random = np.random.default_rng(3)
    frames = []
    for index in range(number):
        chosen = [elements[(index + shift) % len(elements)] for shift in range(atoms)]
        cell = Atoms(
            chosen, positions=[(3.0 * shift, 0, 0) for shift in range(atoms)], cell=[3.0 * atoms, 3, 3], pbc=True
        )
        cell.set_cell(cell.cell * (1.0 + 0.05 * random.normal()), scale_atoms=True)
        forces = random.normal(size=(atoms, 3))
        values = {"energy": atoms * (0.5 * random.normal() - 3.0), "forces": forces - forces.mean(0)}
        frames.append(labelled(cell, **values, stress=0.01 * random.normal(size=6)))
    return frames


AWKWARD = {
    "twenty frames": lambda: ethanol(20),
    "cells of one atom": lambda: cells(["Al"], 24),
    "cells of one and two atoms": lambda: [*cells(["Al"], 12), *cells(["Al", "Ni"], 12, 2)],
    "one element": lambda: [changed(one, numbers=[29] * len(one)) for one in alloys(12)],
    "molecules, crystals and isolated atoms": lambda: [*ethanol(6), *water_boxes(4), *alloys(4), *isolated_atoms()],
    "eighty-five elements": lambda: cells(chemical_symbols[1:86], 100, 3),
    "two elements with one frame each": lambda: [*cells(["Al"], 30), *cells(["Mg"], 1), *cells(["O"], 1)],
}
"""What is only planned and checked here."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", {**KINDS, **AWKWARD})
def test_plans_of_all_kinds_pass_the_check(write, new, kind):
    code, text, errors = new(write("frames.extxyz", {**KINDS, **AWKWARD}[kind]()), "--minutes", "1", "--full")
    assert code == 0, errors
    Path("c.yaml").write_text(text, encoding="utf-8")
    assert main(["check", "c.yaml"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS, "cells of one atom"])
@pytest.mark.parametrize("full", [True, False])
def test_plans_train(write, new, kind, full):
    code, text, _ = new(
        write("frames.extxyz", {**KINDS, **AWKWARD}[kind]()), "--minutes", "0.05", *(["--full"] if full else [])
    )
    assert code == 0
    Path("c.yaml").write_text(text, encoding="utf-8")
    assert main(["train", "c.yaml", "--output", "run"]) == 0
    assert Path("run/results.json").is_file()


def test_output_and_notes(write, new):
    source = write("frames.extxyz", ethanol(12))
    code, text, errors = new(source, "--output", "c.yaml", "--minutes", "0.1")
    assert (code, text) == (0, "")
    assert errors.splitlines()[-1] == "note: wrote c.yaml; next: equipot train c.yaml"
    assert "note: about" in errors
    assert new(source, "--output", "c.yaml")[0] == 2, "it is there already"


def test_options_of_reading_are_in_the_config(write, new):
    frames = [changed(one, energy=None, info={"E": one.calc.results["energy"]}) for one in ethanol(12)]
    source = write("frames.extxyz", frames)
    code, text, _ = new(source, "--labels", "total_energy=E", "--units", "metal", "--ase-args", "index=:10", "--full")
    assert code == 0
    data = yaml.safe_load(text)["data"]
    assert data["labels"] == {"total_energy": {"key": "E"}}
    assert data["ase_args"] == {"index": ":10"}
    assert data["split_dataset"]["train"] + data["split_dataset"]["val"] == 10


@pytest.mark.parametrize(
    ("frames", "arguments", "said"),
    [
        (lambda: ethanol(1), (), "error: frames.extxyz: has 1 frame; "),
        (
            lambda: [changed(one, energy=None, forces=None) for one in ethanol(4)],
            (),
            "error: frames.extxyz: no frame has",
        ),
        (lambda: ethanol(4), ("--minutes", "-1"), "error: --minutes: must be greater than 0, got -1.0"),
        (lambda: ethanol(4), ("--preset", "Q"), "error: --preset: unknown preset, got 'Q'"),
        (lambda: ethanol(4), ("--test", "frames.extxyz"), "error: frames.extxyz: is given twice"),
        (lambda: ethanol(4), ("--test", "none.xyz"), "error: none.xyz"),
        (lambda: ethanol(4), ("--seed", "-3"), "error: "),
        (lambda: ethanol(4), ("--accept", "nonsense"), "error: "),
        (lambda: ethanol(4), ("--labels", "total_energy=nothing"), "error: frames.extxyz: no frame has"),
    ],
)
def test_what_cannot_be_planned_is_one_clear_error(write, new, frames, arguments, said):
    code, text, errors = new(write("frames.extxyz", frames()), *arguments)
    assert (code, text) == (2, "")
    assert errors.startswith(said), errors
    assert "Traceback" not in errors
    assert len(errors.splitlines()) == 1


def test_a_test_file_without_labels_is_refused(write, new):
    bare = ethanol(4)
    for atoms in bare:
        atoms.calc = None
    file, test = write("frames.extxyz", ethanol(4)), write("bare.extxyz", bare)
    code, _, errors = new(file, "--test", test)
    assert code == 2
    assert errors.startswith("error: bare.extxyz: no frame has total_energy or forces"), errors


def test_without_files(new):
    assert new()[0] == 2


FEW_LINES = {
    "ethanol": (("ethanol_pbe.extxyz", "ethanol_pbe_isolated_atoms.extxyz"), None),
    "water with stress": (("water_gfn1.extxyz",), None),
    "energies": (("ethanol_pbe.extxyz",), lambda atoms: changed(atoms, forces=None)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FEW_LINES)
def test_a_config_has_twelve_lines_at_most(tmp_path, monkeypatch, new, kind):
    monkeypatch.chdir(tmp_path)
    files, change = FEW_LINES[kind]
    for file in files:
        frames = ase.io.read(ROOT / "examples/data" / file, ":")
        ase.io.write(file, frames if change is None else [change(atoms) for atoms in frames])
    code, text, errors = new(*files)
    assert code == 0, errors
    assert configured(text) <= 12, text


@pytest.mark.slow
@pytest.mark.extra_data
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # its loader
def test_a_config_for_silicon_has_twelve_lines_at_most(extra_data, tmp_path, monkeypatch, new):
    monkeypatch.chdir(tmp_path)
    ase.io.write("si.extxyz", load_script(extra_data / "loaders.py").mlearn("Si", "training"))
    code, text, errors = new("si.extxyz")
    assert code == 0, errors
    assert configured(text) <= 12, text


def configured(text):
    """Number of lines that are not comments."""
    return sum(not line.strip().startswith("#") for line in text.splitlines())


EXAMPLES = (
    ("ethanol_pbe.extxyz", "ethanol_pbe_isolated_atoms.extxyz"),
    ("water_gfn1.extxyz", "water_gfn1_isolated_atoms.extxyz"),
)

SETS = {
    "acac": (("acac/train_300K.xyz", "acac/isolated_atoms.xyz"), ("--test", "acac/test_MD_300K.xyz")),
    "ecemc": (("ecemc/ECEMC.xyz",), ()),
    "rmd17": (("rmd17_dev/rmd17_aspirin_train_01.npz",), ("--units", "real")),
    "mptrj": (("mattersim_dev/mptrj-random-1k.xyz",), ()),
    "few": (("mattersim_dev/high_level_water.xyz",), ()),
    "botnet": (("ethanol_botnet/train.xyz", "ethanol_botnet/isolated_atoms.xyz"), ()),
    "dimers": (("ethanol_botnet/test_dimers.xyz",), ()),
    "other keys": (("small_mixed/janus_mlip_train.xyz",), ()),
    "carbon": (("small_mixed/carbon_reduced_100.xyz",), ()),
    "qm9": (("small_mixed/qm9_reduced_100.xyz",), ()),
    "outcars": (("small_mixed/OUTCAR_1_1", "small_mixed/OUTCAR_1_5", "small_mixed/OUTCAR_2_10"), ()),
}


@pytest.mark.slow
@pytest.mark.parametrize("files", EXAMPLES)
def test_plans_of_the_examples_pass_the_check(tmp_path, monkeypatch, new, files):
    monkeypatch.chdir(tmp_path)
    code, text, _ = new(*(ROOT / "examples/data" / file for file in files), "--full")
    assert code == 0
    Path("c.yaml").write_text(text, encoding="utf-8")
    assert main(["check", "c.yaml"]) == 0


@pytest.mark.slow
@pytest.mark.extra_data
@pytest.mark.parametrize("name", SETS)
def test_plans_of_public_sets_pass_the_check(extra_data, tmp_path, monkeypatch, new, name):
    monkeypatch.chdir(tmp_path)
    files, options = SETS[name]
    options = [extra_data / one if one.endswith(".xyz") else one for one in options]
    code, text, errors = new(*(extra_data / file for file in files), *options, "--minutes", "15", "--full")
    assert code == 0, errors
    Path("c.yaml").write_text(text, encoding="utf-8")
    assert main(["check", "c.yaml"]) == 0
