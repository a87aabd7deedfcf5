"""Wrong input of ``equipot fit``: one line, exit code 2, nothing written."""

import json

import pytest

from equipot._cli.main import main

GOOD = {
    "state": "planned",
    "asked": {},
    "asked_minutes": 1.0,
    "choices": {},
    "compiles": False,
    "stages": [],
    "skipped": {},
}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "missing argument 'DATA...'"),
        (["nothing.xyz"], "nothing.xyz: there is no such file"),
        (["{water}", "--minutes", "0"], "--minutes: must be greater than 0, got 0.0"),
        (["{water}", "--minutes", "nan"], "--minutes: must be greater than 0, got nan"),
        (["{water}", "--minutes", "soon"], "'soon' is not a valid float"),
        (["{water}", "--preset", "XXL"], "'XXL' is not one of 'S', 'M', 'L', 'XL'"),
        (["{water}", "--model", "mace"], "'mace' is not one of 'nequip', 'allegro'"),
        (["{water}", "--test", "no.xyz"], "no.xyz: there is no such file"),
        (["{water}", "--resume", "auto"], "--resume auto: needs --output"),
        (["{water}", "--resume", "auto", "--overwrite", "--output", "run"], "--overwrite: cannot be given together"),
        (["{water}", "--seed", "-1"], "-1 is not in the range"),
        (["{water}", "--labels", "energy"], "--labels"),
        (["{water}", "--output", "{water}"], "--output: cannot be made"),
        (["{water}", "--labels", "total_energy=nothing", "--output", "run"], "no frame has an energy"),
    ],
)
def test_wrong_input(water, capsys, monkeypatch, tmp_path, arguments, text):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", *(one.replace("{water}", str(water)) for one in arguments)]) == 2
    _, error = capsys.readouterr()
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    assert text in error
    assert [path.name for path in tmp_path.iterdir()] == ["water.extxyz"]


@pytest.mark.parametrize("name", ["best.ckpt", "fit.json", "plan.yaml"])
def test_a_folder_with_a_run_is_refused(water, capsys, tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).touch()
    assert main(["fit", str(water), "--output", str(tmp_path / "run")]) == 2
    assert f"the folder holds a run already ({name})" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "text"), [("{", "cannot be read"), ("[]", "is damaged"), ("3", "cannot be read"), ("{}", "is damaged")]
)
def test_a_damaged_record_is_refused(water, capsys, tmp_path, content, text):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "fit.json").write_text(content)
    assert main(["fit", str(water), "--output", str(tmp_path / "run"), "--resume", "auto"]) == 2
    assert text in capsys.readouterr().err


def test_a_run_that_goes_on_has_the_same_options(water, capsys, tmp_path):
    (tmp_path / "run").mkdir()
    asked = {"data": [str(water)], "test": [], "preset": "S", "model": None, "seed": 1, "reading": {}}
    (tmp_path / "run" / "fit.json").write_text(json.dumps({**GOOD, "asked": asked}))
    again = ["fit", str(water), "--output", str(tmp_path / "run"), "--resume", "auto"]
    assert main([*again, "--preset", "M", "--seed", "2"]) == 2
    assert "was asked otherwise in preset, seed" in capsys.readouterr().err
    assert main([*again, "--preset", "S", "--minutes", "3"]) == 2
    assert "--minutes: cannot change in a run that goes on; leave --minutes out; it has 1" in capsys.readouterr().err


def test_help(capsys):
    assert main(["fit", "--help"]) == 0
    text = capsys.readouterr().out
    for option in ("--minutes", "--test", "--preset", "--model", "--output", "--seed", "--resume", "--labels"):
        assert option in text
