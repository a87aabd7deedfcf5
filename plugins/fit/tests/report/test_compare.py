"""Runs side by side."""

import json
import shutil

import pytest

from equipot._cli.main import main
from equipot_fit._report._compare import compared, delivered, errors
from equipot_fit._report._compare_page import html, text


@pytest.fixture
def other(made_run, tmp_path):
    """The same run with smaller errors of the forces in its records."""
    copy = shutil.copytree(made_run, tmp_path / "a_run_with_a_very_long_name")
    path = copy / "results.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    results["test"]["test0_epoch/forces_mae"] /= 2.0
    path.write_text(json.dumps(results), encoding="utf-8")
    return copy


def test_the_best_is_marked_where_sets_agree(made_run, other, capsys):
    assert main(["compare", str(made_run), str(other), "--no-speed"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    row = next(line for line in lines if line.startswith("test0 forces MAE"))
    first, second = row.split()[-2:]
    assert not first.startswith("*")
    assert second.startswith("*")
    assert not any(line.startswith("note") for line in lines)


def test_other_data_are_said_and_nothing_is_best(made_run, energies_run, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["compare", str(made_run), str(energies_run), "--no-speed", "--output", str(page)]) == 0
    out = capsys.readouterr().out
    assert "note: The val0 sets differ (run 4, " in out.replace(str(made_run), "run")
    assert "note: The runs read different data files." in out
    assert "not comparable" in page.read_text(encoding="utf-8")
    assert not any("*" in line for line in out.splitlines() if line.startswith("val0"))


def test_json_has_everything(made_run, other, capsys):
    assert main(["compare", str(made_run), str(other), "--json", "--no-speed"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["comparable"] == {"test0": True, "val0": True}
    assert all(run["parameters"] > 0 for run in found["runs"])


def test_models_are_timed_on_one_structure(made_run, other):
    found = compared([made_run, other])
    assert {run["speed"]["atoms"] for run in found["runs"]} == {found["runs"][0]["speed"]["atoms"]}
    assert "µs per atom" in text(found)
    assert "µs per atom" in html(found)


def test_many_runs_take_several_tables(made_run):
    found = compared([made_run], speed=False)
    found["runs"] = [found["runs"][0] | {"name": f"run <{index}>"} for index in range(7)]
    shown = text(found)
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert all(f"run <{index}>" in shown for index in range(7))
    assert "run &lt;6&gt;" in html(found)


@pytest.mark.parametrize(
    ("given", "message"),
    [(("a",), "two runs or more"), (("a", "a"), "given twice"), (("a", "b", "--output", "c.txt"), "must end in .html")],
)
def test_wrong_arguments_are_one_line(given, message, capsys):
    assert main(["compare", *given]) == 2
    assert message in capsys.readouterr().err


def test_errors_are_read_by_set_and_quantity():
    results = {"val": {"val0_epoch/forces_mae": 0.1, "val0_epoch/other": 1.0, "val0_epoch/stress_rmse": 0.002}}
    assert errors(results, "metal") == {
        "val0": {"forces": {"mae": 100.0}, "stress": {"rmse": 2.0}},
    }


def test_errors_of_the_delivered_model_count_instead():
    assert delivered({"forces_mae_mev_per_angstrom": 12.0, "n_frames": 3}) == {"test0": {"forces": {"mae": 12.0}}}
    assert delivered({}) == {}
