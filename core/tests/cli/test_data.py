"""``equipot data check``: files, configs, exit codes."""

import json

import ase.io
import numpy as np
import pytest

from equipot._cli.main import main
from equipot.data.checks import _consistency
from equipot_test_support import data_files
from equipot_test_support.faults import changed, ethanol, isolated_atoms

ABSENT = "label-absent"


@pytest.fixture(autouse=True)
def _no_fit(monkeypatch):
    """The checks by a fit have tests of their own."""
    monkeypatch.setattr(_consistency, "consistency_findings", lambda *_, **__: ([], {}))


@pytest.fixture
def check(tmp_path, monkeypatch, capfd):
    """Write sets of frames as files and check them: exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, **files):
        for name, frames in files.items():
            ase.io.write(f"{name}.xyz", frames, format="extxyz")
        capfd.readouterr()
        code = main(["data", "check", *arguments])
        output = capfd.readouterr()
        return code, output.out, output.err

    return call


def with_nan(index):
    frames = ethanol(10)
    forces = frames[index].calc.results["forces"].copy()
    forces[0, 0] = np.nan
    frames[index] = changed(frames[index], forces=forces)
    return frames


def test_sound_files(check):
    code, output, errors = check("a.xyz", "b.xyz", a=ethanol(10), b=isolated_atoms())
    assert (code, errors) == (0, "")
    assert output.splitlines()[0] == "Checks of the data: 0 errors, 0 warnings, 1 note"
    assert output.splitlines()[-1] == "looked at: all 13 frames"


def test_errors_and_warnings_are_exit_codes(check):
    code, output, _ = check("a.xyz", a=with_nan(4))
    assert code == 1
    assert "error label-nan: forces is NaN or infinite in 1 of 10 frames\n  at  a.xyz, frame 4\n" in output
    shared = {"a": ethanol(10), "b": ethanol(3)}
    assert check("a.xyz", "b.xyz", **shared)[0] == 0
    code, output, _ = check("a.xyz", "b.xyz", "--strict", **shared)
    assert code == 1
    assert "warning frames-shared: 3 frames of b.xyz are in a.xyz too" in output
    assert check("a.xyz", "b.xyz", "--strict", "--accept", "frames-shared", **shared)[0] == 0


def test_advice_names_options_of_the_command(check, folder, capfd):
    frames = [changed(one, energy=None, info={"REF_energy": one.calc.results["energy"]}) for one in ethanol(3)]
    output = check("a.xyz", a=frames)[1]
    assert "  do  Name the key under which the file keeps the label, e.g. --labels" in output
    assert "labels: {" not in output
    (advice,) = (one["remedy"] for one in json.loads(check("a.xyz", "--json")[1])["findings"] if one["code"] == ABSENT)
    assert advice.endswith("e.g. --labels total_energy=REF_energy.")
    folder.change_data(lambda atoms: changed(atoms, energy=None))
    assert "e.g. labels: {total_energy: REF_energy}." in " ".join(of_config(folder, capfd)[1].split())


def test_json(check):
    code, output, _ = check("a.xyz", "--json", a=with_nan(4))
    assert code == 1
    found = json.loads(output)["findings"]
    assert {"code": "label-nan", "severity": "error", "count": 1, "example": "a.xyz, frame 4"}.items() <= found[
        0
    ].items()


def test_labels_and_units(check):
    frames = [
        changed(one, energy=None, info={"e": one.calc.results["energy"]}, stress=None, forces=None)
        for one in ethanol(5)
    ]
    for one, own in zip(frames, ethanol(5), strict=True):
        one.set_array("f", own.calc.results["forces"])
    assert check("a.xyz", a=frames)[0] == 1
    code, output, _ = check("a.xyz", "--labels", "total_energy=e", "forces=f", "--units", "real", a=frames)
    assert (code, "0 warnings" in output) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "equipot data check: no data are given; name files, or a --config"),
        (("missing.xyz",), "missing.xyz: no such file; "),
        (("a.xyz", "a.xyz"), "a.xyz: is given twice"),
        (("a.xyz", "--labels", "energy"), "--labels: must be LABEL=KEY, got 'energy'; "),
        (("a.xyz", "--accept", "contcat"), "accept.0: unknown check, got 'contcat'; did you mean 'contact'?"),
        (("--config", "config.yaml", "--units", "real"), "--units: cannot be given together with --config; "),
    ],
)
def test_bad_input(check, arguments, message):
    code, _, errors = check(*arguments, a=ethanol(3))
    assert code == 2
    assert errors.startswith(f"error: {message}")


def of_config(folder, capfd, *arguments):
    capfd.readouterr()
    code = main(["data", "check", "--config", "config.yaml", *arguments])
    output = capfd.readouterr()
    return code, output.out + output.err


def test_the_sets_of_a_config(folder, capfd):
    code, output = of_config(folder, capfd)
    assert code == 0
    assert "looked at: all 20 frames" in output
    folder.change_data(lambda atoms: changed(atoms, forces=np.full((3, 3), np.nan)))
    code, output = of_config(folder, capfd)
    assert code == 1
    assert "error label-nan: forces is NaN or infinite in 20 of 20 frames" in output


def test_other_files_as_if_they_were_of_the_config(folder, capfd):
    ase.io.write("c.xyz", ethanol(4), format="extxyz")
    code, output = of_config(folder, capfd, "c.xyz")
    assert code == 1
    assert "error element-without-type: the model has no type for C" in output
    assert "looked at: all 4 frames" in output


def test_accepted_checks_and_given_shifts_of_a_config(folder, capfd):
    text = (folder.path / "config.yaml").read_text()
    given = text.replace("${training_data_stats:per_atom_energy_mean}", "{H: -3000.0, O: 0.0}")
    folder.write(given)
    code, output = of_config(folder, capfd)
    assert code == 0
    assert "warning energy-offset: less the shifts, energies are 1997 eV per atom" in " ".join(output.split())
    folder.write(given.replace("  seed: 1\n", "  seed: 1\n  accept: [energy-offset]\n", 1))
    assert "accepted: energy-offset (12)" in of_config(folder, capfd)[1]


def test_overrides_change_the_config(folder, capfd):
    text = (folder.path / "config.yaml").read_text()
    folder.write(text.replace("${training_data_stats:per_atom_energy_mean}", "{H: -3000.0, O: 0.0}"))
    code, output = of_config(folder, capfd, "+data.accept=[energy-offset]")
    assert (code, "accepted: energy-offset (12)" in output) == (0, True)
    assert of_config(folder, capfd, "+data.strict=true")[0] == 1
    ase.io.write("c.xyz", ethanol(4), format="extxyz")
    code, output = of_config(folder, capfd, "c.xyz", "+data.labels={total_energy: energy}")
    assert "looked at: all 4 frames" in output
    code, output = of_config(folder, capfd, "data.sead=2")
    assert code == 2
    assert "sead" in output


def test_a_file_whose_name_looks_like_an_override(check):
    code, output, _ = check("a=1.xyz", **{"a=1": ethanol(3)})
    assert (code, "looked at: all 3 frames" in output) == (0, True)


def test_options_about_reading(check, tmp_path):
    path = str(data_files.vasprun(tmp_path, failed=[1]))
    assert "unconverged-scf" in check(path)[1], "frames that did not converge are judged"
    code, _, errors = check(path, "--unconverged", "error")
    assert (code, errors.startswith("error: --unconverged: 1 of 3 frames did not converge")) == (2, True)
    assert "unconverged-dropped" in check(path, "--unconverged", "drop")[1]
    frames = ethanol(5)
    for number, one in enumerate(frames):
        one.info["w"] = float(number + 1)
    assert check("a.xyz", "--label-weights", "frame=w", a=frames)[0] == 0
    code, _, errors = check("a.xyz", "--label-weights", "frame=v")
    assert (code, errors) == (2, "error: --label-weights: no frame of a.xyz that has the labels has the key 'v'\n")
    code, _, errors = check("--config", "config.yaml", "--species", "OW=O")
    assert (code, errors.startswith("error: --species: cannot be given together with --config")) == (2, True)


def test_unused_weights_are_offered_as_an_option(check):
    frames = ethanol(5)
    for one in frames:
        one.info["config_weight"] = 2.0
    assert "--label-weights" in check("a.xyz", a=frames)[1].replace("\n", " ")
