"""``equipot data convert``: options, refusals, exit codes and what is said."""

import ase.io
import numpy as np
import pytest

from equipot import _progress
from equipot._cli.main import main
from equipot.data import _convert
from equipot.data._label_contract import label_contract
from equipot.data._regular import collect_files
from equipot_test_support.faults import changed, ethanol
from equipot_test_support.water import CONFIG


@pytest.fixture
def convert(tmp_path, monkeypatch, capfd):
    """Write frames as a.xyz and b.xyz and convert: exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(_progress._state, "shown", False)
    ase.io.write("a.xyz", ethanol(6), format="extxyz")
    ase.io.write("b.xyz", ethanol(9)[6:], format="extxyz")

    def call(*arguments):
        capfd.readouterr()
        code = main(["data", "convert", *arguments])
        output = capfd.readouterr()
        return code, output.out, output.err

    return call


@pytest.mark.parametrize("out", ["out.npz", "out.db", "out.extxyz"])
def test_several_files_become_one(convert, out):
    assert convert("a.xyz", "b.xyz", out) == (0, f"{out}: 9 frames\n", "")
    found = collect_files([out], label_contract(None))
    wanted = collect_files(["a.xyz", "b.xyz"], label_contract(None))
    for key in ("positions", "forces", "total_energy"):
        assert found.frames.fields[key].numpy().tobytes() == wanted.frames.fields[key].numpy().tobytes()


def test_existing_files_are_kept(convert, tmp_path):
    (tmp_path / "out.npz").write_text("old")
    code, _, errors = convert("a.xyz", "out.npz")
    assert (code, errors) == (2, "error: out.npz: exists already; choose another name, or give --force\n")
    assert (tmp_path / "out.npz").read_text() == "old"
    assert convert("a.xyz", "out.npz", "--force")[0] == 0


def test_options_of_reading(convert, tmp_path):
    text = (tmp_path / "a.xyz").read_text().replace("energy=", "E=").replace("\nO ", "\nOW ")
    (tmp_path / "c.xyz").write_text(text)
    options = ("--labels", "total_energy=E", "forces=forces", "--species", "OW=O", "--units", "real")
    code, output, _ = convert("c.xyz", "out.npz", *options)
    assert (code, output) == (0, "out.npz: 6 frames\nto read it, write data: {units: real}\n")
    found = collect_files(["out.npz"], label_contract(None, units="real"))
    assert set(found.frames.fields) >= {"total_energy", "forces"}
    assert convert("c.xyz", "out.extxyz", "--species", "OW")[2].startswith("error: --species: must be NAME=VALUE")
    assert convert("c.xyz", "out.db", *options, "--ase-args", "index=:2")[1].startswith("out.db: 2 frames\n")


def test_named_labels_are_there(convert, tmp_path):
    code, _, errors = convert("a.xyz", "out.npz", "--labels", "total_energy=E", "forces=forces")
    assert (code, errors) == (2, "error: --labels, total_energy: no frame has the key 'E'; correct the key\n")
    given = "  seed: 1\n  labels: {total_energy: energy, forces: F}\n  split"
    (tmp_path / "config.yaml").write_text(CONFIG.replace("  seed: 1\n  split", given))
    code, _, errors = convert("a.xyz", "out.npz", "--config", "config.yaml")
    assert (code, errors) == (2, "error: labels, forces: no frame has the key 'F'; correct the key\n")


def test_weights_are_kept(convert):
    frames = [changed(one, info={"config_weight": float(index)}) for index, one in enumerate(ethanol(3))]
    ase.io.write("c.xyz", frames, format="extxyz")
    given = ("c.xyz", "out.npz", "--label-weights")
    code, output, _ = convert(*given, "frame=config_weight")
    assert (code, output.startswith("out.npz: 3 frames\nto read it, write data: {weights: ")) == (0, True)
    code, _, errors = convert(*given, "frame=importance", "--force")
    assert (code, errors) == (
        2,
        "error: --label-weights: no frame of c.xyz that has the labels has the key 'importance'\n",
    )


def test_messages_are_in_the_words_of_the_command(convert, tmp_path):
    (tmp_path / "c.xyz").write_text((tmp_path / "a.xyz").read_text().replace("\nO ", "\nOW "))
    assert "for example --species OW=O; " in convert("c.xyz", "out.npz")[2]
    (tmp_path / "c.strange").write_text("nothing\n")
    assert "give --ase-args format=NAME with one of extxyz, " in convert("c.strange", "out.npz")[2]
    ase.io.write("d.xyz", [changed(one, energy=None, forces=None) for one in ethanol(2)], format="extxyz")
    assert convert("d.xyz", "out.npz")[2] == "error: out.npz: has no labels to write; name them with --labels\n"


def test_a_config_says_how_files_are_read(convert, tmp_path):
    labels = "{total_energy: E, forces: {key: forces, unit: kcal/mol/Å}}"
    (tmp_path / "config.yaml").write_text(
        CONFIG.replace("  seed: 1\n  split", f"  seed: 1\n  labels: {labels}\n  split")
    )
    (tmp_path / "c.xyz").write_text((tmp_path / "a.xyz").read_text().replace("energy=", "E="))
    code, output, errors = convert("c.xyz", "out.npz", "--config", "config.yaml")
    assert (code, output, errors) == (0, "out.npz: 6 frames\n", "")
    wanted = collect_files(["a.xyz"], label_contract(None)).frames.fields["forces"].numpy()
    found = collect_files(["out.npz"], label_contract(None)).frames.fields["forces"].numpy()
    np.testing.assert_allclose(found, wanted * 0.0433641, rtol=1e-5)
    code, _, errors = convert("c.xyz", "o.npz", "--config", "config.yaml", "--units", "real")
    assert (code, errors.count("--units: cannot be given together with --config")) == (2, 1)


def test_faults_are_one_line(convert, tmp_path):
    assert convert("a.xyz")[2].startswith("error: equipot data convert: needs files to read and one to write")
    assert convert("missing.xyz", "out.npz")[0] == 2
    frames = ethanol(4)
    forces = frames[2].calc.results["forces"].copy()
    forces[0, 0] = np.inf
    frames[2] = changed(frames[2], forces=forces)
    ase.io.write("d.xyz", frames, format="extxyz")
    assert convert("d.xyz", "out.npz")[2] == "error: d.xyz, frame 2, forces: is infinite; correct the file\n"
    assert not (tmp_path / "out.npz").exists()


def test_progress_is_said(convert, monkeypatch):
    monkeypatch.setattr(_progress, "_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(_convert, "_BETWEEN_UPDATES", 1)
    errors = convert("a.xyz", "out.npz")[2].splitlines()
    assert any(line.startswith("writing out.npz: ") and line.endswith(" s left") for line in errors)
