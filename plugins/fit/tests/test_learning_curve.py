"""Learning curves: which trainings are made, in which time, what is kept of them, and what the page says."""

import itertools
import json

import ase.io
import pytest
import yaml

from equipot._cli.main import main
from equipot.config import stored_data
from equipot.files import write_json
from equipot_fit import _learning_curve as module
from equipot_fit._learning_curve import CurveOptions, LearningCurve, extrapolated
from equipot_fit._learning_curve_page import html, text
from equipot_test_support.water import random_labels


@pytest.fixture
def many(tmp_path):
    """Sixty water molecules with made-up labels: 54 train, 6 validate."""
    ase.io.write(tmp_path / "water.extxyz", random_labels(60, spread=0.1, cell=[5.0, 5.5, 6.0]))
    return tmp_path / "water.extxyz"


@pytest.fixture
def plain(monkeypatch):
    """Pages without pictures, which take time."""
    monkeypatch.setattr(module.page, "html", str)


class Planted:
    """Trainings whose errors follow a power law; the third one may be interrupted."""

    def __init__(self, interrupted_at=0, seconds=3.0):
        self.interrupted_at, self.seconds, self.plans, self.options = interrupted_at, seconds, [], []

    def __call__(self, options, planner, measured):
        plan = planner(options, measured)
        self.plans.append(plan)
        self.options.append(options)
        options.output.mkdir(parents=True, exist_ok=True)
        if len(self.plans) == self.interrupted_at:
            write_json(options.output / "fit.json", {"state": "planned"})
            return 130
        frames = plan.config["data"]["train_subset"]["frames"]
        errors = {}
        for name, scale in (
            ("per_atom_energy_{}_mev", 10.0),
            ("forces_{}_mev_per_angstrom", 200.0),
            ("stress_{}_mev_per_angstrom3", 1.0),
        ):
            errors |= {name.format(kind): scale * part * frames**-0.5 for kind, part in (("rmse", 1.0), ("mae", 0.7))}
        write_json(options.output / "evaluation.json", {"set": "val0", "n_frames": 6, **errors})
        write_json(options.output / "fit.json", {"used_seconds": self.seconds, "training": {"steps": 40}})
        return 0


def options(path, folder, **given):
    return CurveOptions(data=(str(path),), output=folder, **{"minutes": 1.0, **given})


def results(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


@pytest.mark.usefixtures("plain")
def test_one_training_for_each_number_of_frames(many, tmp_path, capsys):
    train, folder = Planted(), tmp_path / "curve"
    assert LearningCurve(options(many, folder, seeds=2), train).run() == 0
    found = results(folder)
    assert found["sizes"] == [4, 8, 15, 28, 54]
    assert found["state"] == "finished"
    made = [(one["frames"], one["seed"]) for one in found["points"]]
    assert made == [(size, seed) for seed in (1, 2) for size in found["sizes"]]
    first, *others = train.plans
    assert all(one.size == first.size for one in others), "one model"
    same = ("split_dataset", "seed")
    assert all(one.config["data"][key] == first.config["data"][key] for one in others for key in same)
    assert [one.config["training_module"]["model"]["seed"] for one in train.plans] == [1] * 5 + [2] * 5
    assert all(one.brief for one in train.options)
    said = capsys.readouterr().out
    assert "10 trainings" in said
    assert "each gets the same time" in said
    assert "no extrapolation" not in said
    assert max(len(line) for line in said.splitlines() if "/" not in line) <= 120


@pytest.mark.usefixtures("plain")
def test_subsets_are_nested_and_compared_on_the_same_frames(many, tmp_path):
    train = Planted()
    LearningCurve(options(many, tmp_path / "curve", points=4), train).run()
    sets = []
    for plan in train.plans:
        data = stored_data(plan.config)
        sets.append({name: set(data.dataset(name).places) for name in data.set_names})
    assert [len(one["train"]) for one in sets] == results(tmp_path / "curve")["sizes"]
    assert all(one["val0"] == sets[0]["val0"] for one in sets)
    assert all(small["train"] < large["train"] for small, large in itertools.pairwise(sets))
    assert not sets[-1]["train"] & sets[-1]["val0"]


@pytest.mark.usefixtures("plain")
def test_time_is_shared_and_a_training_that_took_too_long_costs_the_others(many, tmp_path):
    train, folder = Planted(seconds=30.0), tmp_path / "curve"
    LearningCurve(options(many, folder, minutes=1.9, sizes=(10, 20, 50)), train).run()
    each = results(folder)["minutes_each"]
    shares = [one.minutes for one in train.options]
    assert shares[0] == pytest.approx(each, abs=0.01)
    assert each < 1.9 / 3
    assert all(later < former + 1e-3 for former, later in itertools.pairwise(shares)), shares
    quick = Planted(seconds=1.0)
    LearningCurve(options(many, tmp_path / "quick", minutes=1.9, sizes=(10, 20, 50)), quick).run()
    shares = [one.minutes for one in quick.options]
    assert max(shares) - min(shares) < 0.01, "time that is left over does not go to larger sets"


@pytest.mark.usefixtures("plain")
def test_it_goes_on_with_what_is_finished(many, tmp_path, capsys):
    folder = tmp_path / "curve"
    assert LearningCurve(options(many, folder, sizes=(10, 20, 40)), Planted(interrupted_at=3)).run() == 130
    assert f"go on with: equipot learning-curve {many} --output {folder} --resume auto" in capsys.readouterr().out
    assert len(results(folder)["points"]) == 2
    again = Planted()
    assert LearningCurve(options(many, folder, sizes=(10, 20, 40), resume=True, minutes=None), again).run() == 0
    (one,) = again.options
    assert (one.resume, one.minutes, one.output.name) == (True, None, "frames_40_seed_1")
    assert [point["frames"] for point in results(folder)["points"]] == [10, 20, 40]
    none = Planted()
    targets = {"forces": 20.0}
    finished = options(many, folder, sizes=(10, 20, 40), resume=True, minutes=None, targets=targets)
    assert LearningCurve(finished, none).run() == 0
    assert none.plans == []
    (target,) = results(folder)["quantities"]["forces"]["rmse"]["targets"]
    assert target["error"] == 20.0
    assert target["frames"]["low"] < 100 < (target["frames"]["high"] or 1e9)


def test_a_planted_law_is_in_the_results_and_on_the_page(many, tmp_path, capsys):
    folder = tmp_path / "curve"
    LearningCurve(options(many, folder), Planted()).run()
    found = results(folder)
    law = found["quantities"]["forces"]["rmse"]
    assert law["b"]["low"] < 0.5 < law["b"]["high"]
    assert law["ahead"][0]["frames"] == 108
    assert law["ahead"][0]["middle"] == pytest.approx(200 * 108**-0.5, rel=0.15)
    said = capsys.readouterr().out
    assert "there is no test set" in " ".join(said.split()), said
    assert "forces, RMSE in meV/Å:" in said
    page = (folder / "learning-curve.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 3
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "").replace("http%3A//www.w3", "")
    for one in found["points"]:
        assert one["folder"] == f"frames_{one['frames']}_seed_1"


def content(points, targets=None):
    made = [
        {"frames": n, "seed": 1, "folder": "", "seconds": 60.0, "steps": 9, "set": "test", "set_frames": 100,
         "errors": {"forces": {"rmse": error, "mae": error}}}
        for n, error in points
    ]  # fmt: skip
    sizes = sorted({n for n, _ in points})
    return {
        "points": made, "sizes": sizes, "seeds": [1], "minutes": 9.0, "minutes_each": 3.0, "asked": {"data": ["a"]},
        "size_of_model": {"preset": "S"}, "quantities": extrapolated(made, targets or {}),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([(10, 50.0), (100, 20.0)], "no extrapolation: 3 different numbers of frames are needed, there are 2."),
        ([(10, 50.0), (50, 49.0), (200, 50.0)], "no extrapolation: From 10 to 200 frames the errors fall by less"),
        ([(100, 60.0), (200, 42.4), (400, 30.0)], "with 800 frames: 2"),
    ],
)
def test_what_is_said(points, said):
    made = content(points)
    assert said in " ".join(line.strip() for line in text(made))
    assert "<figure>" in html(made)
    assert said.split(":")[0] in html(made)
    assert all(len(line) <= 80 for line in text(made))


def test_a_target_far_off_is_not_promised():
    made = content([(100, 60.0), (200, 42.4), (400, 30.0)], {"forces": 0.5})
    said = list(text(made))
    assert any("to reach 0.5: more than 4000 frames, if at all" in line for line in said)
    assert any(line.startswith("note: the trainings had 9 steps at most, 4000 are wanted") for line in said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sizes", "1000"], "--sizes: the train set has 54 frames, of which 1 are the fewest that have all elements"),
        (["--sizes", "10"], "a curve needs two numbers of frames"),
        (["--sizes", "ten"], "--sizes: must be numbers of frames, got 'ten'"),
        (["--sizes", "10", "20", "--points", "3"], "--points: cannot be given together with --sizes"),
        (["--points", "1"], "1 is not in the range"),
        (["--target", "force=3"], "--target: unknown quantity, got 'force'; did you mean 'forces'"),
        (["--target", "forces=0"], "--target: the error of forces must be a number greater than 0, got '0'"),
        (["--target", "forces"], "--target: must be NAME=VALUE"),
        (["--minutes", "-2"], "--minutes: must be greater than 0"),
        (["--minutes", "0.01"], "--minutes: is too short for 5 trainings, got 0.01; 0.5 are the least"),
        (["--resume", "auto"], "--resume auto: needs --output"),
        (["--resume", "auto", "--output", "c", "--overwrite"], "--overwrite: cannot be given together"),
        (["--test", "no.xyz"], "no.xyz: there is no such file"),
    ],
)
def test_wrong_input(many, capsys, monkeypatch, tmp_path, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(["learning-curve", str(many), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    assert said in error
    assert [path.name for path in tmp_path.iterdir()] == ["water.extxyz"]


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_folder_with_something_else_is_refused(many, capsys, tmp_path, content):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "results.json").write_text(content)
    assert main(["learning-curve", str(many), "--output", str(folder)]) == 2
    assert "the folder holds a run already (results.json)" in capsys.readouterr().err
    assert main(["learning-curve", str(many), "--output", str(folder), "--resume", "auto"]) == 2
    assert str(folder / "results.json") in capsys.readouterr().err


@pytest.mark.usefixtures("plain")
def test_a_curve_that_goes_on_has_the_same_options(many, capsys, tmp_path):
    folder = tmp_path / "curve"
    LearningCurve(options(many, folder, sizes=(10, 20, 40)), Planted(interrupted_at=1)).run()
    again = ["learning-curve", str(many), "--output", str(folder), "--resume", "auto"]
    assert main([*again, "--sizes", "10", "30"]) == 2
    assert "was asked otherwise in sizes" in capsys.readouterr().err
    assert main([*again, "--sizes", "40", "20", "10", "--minutes", "7"]) == 2
    assert "otherwise in sizes" in capsys.readouterr().err


@pytest.mark.slow
def test_three_trainings_end_in_time_and_leave_what_fit_leaves(many, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHORTEST", 0.05)
    folder = tmp_path / "curve"
    asked = options(many, folder, minutes=0.5, sizes=(8, 20, 50), preset="S")
    assert LearningCurve(asked).run() == 0
    found = results(folder)
    assert [point["frames"] for point in found["points"]] == [8, 20, 50]
    for point in found["points"]:
        run = folder / point["folder"]
        assert (run / "model.equipot.zip").is_file()
        assert not (run / "report.html").exists()
        plan = yaml.safe_load((run / "plan.yaml").read_text(encoding="utf-8"))
        assert plan["data"]["train_subset"] == {"frames": point["frames"], "seed": 1}
        assert point["errors"]["forces"]["rmse"] > 0.0
    splits = [json.loads((folder / point["folder"] / "splits.json").read_text()) for point in found["points"]]
    assert len({str(one["val"]) for one in splits}) == 1
    assert set(splits[0]["train"]) < set(splits[1]["train"]) < set(splits[2]["train"])
    assert (folder / "learning-curve.html").is_file()
    assert found["used_seconds"] <= 60.0 * 0.5 * 3.0, "also on a busy machine"
