"""The whole report: one page without network, with numbers that agree with those of the run."""

import json
import shutil
from html.parser import HTMLParser

import pytest

from equipot._cli.main import main
from equipot.errors import ConfigError
from equipot.files import file_digest
from equipot_fit._report._page import page
from equipot_fit._report._run_folder import RunFolder
from equipot_fit._report._section import NotShownError, Section
from equipot_fit._report._subject import Subject
from equipot_fit._report._write import SECTIONS, drawn, numbers, write_report

VOID = {"meta", "img", "link", "br"}


class Page(HTMLParser):
    """Checks that elements are closed in order, and keeps what a browser would fetch or run."""

    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.links, self.tags, self.text = [], [], [], set(), []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(given)
        self.links += [value for name, value in attrs if name in ("href", "src", "srcset", "action", "data")]
        assert not any(name.startswith("on") for name in given)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def only(monkeypatch):
    """Leave out all sections but some, which saves time."""

    def choose(*names):
        chosen = tuple(one for one in SECTIONS if one.name in names)
        assert len(chosen) == len(names)
        monkeypatch.setattr("equipot_fit._report._write.SECTIONS", chosen)

    return choose


@pytest.fixture(scope="module")
def report(made_run, tmp_path_factory):
    """Text of the page, its numbers, and digests of the run's files before and after."""
    before = {path: file_digest(path) for path in made_run.rglob("*") if path.is_file()}
    path = write_report(made_run, tmp_path_factory.mktemp("page") / "report.html")
    after = {path: file_digest(path) for path in made_run.rglob("*") if path.is_file()}
    found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    return path.read_text(encoding="utf-8"), found, before, after


@pytest.mark.slow
def test_the_page_needs_nothing_else(report):
    found = Page(report[0])
    assert found.links
    assert all(link.startswith(("data:image/", "#")) for link in found.links)
    assert not found.tags & {"script", "iframe", "object", "embed", "link", "form"}
    assert len(report[0].encode()) < 1_500_000


def test_pictures_have_texts_for_those_who_do_not_see_them(report):
    images = Page(report[0]).images
    assert len(images) > 8
    assert all(len(one["alt"]) > 15 for one in images)


def test_texts_from_files_are_shown_and_not_obeyed(report):
    assert "<script" not in report[0]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in report[0]
    assert "a&lt;b&gt;&amp;.extxyz" in report[0]


def test_the_run_is_not_changed(report):
    assert report[2] == report[3]


def test_errors_are_those_of_the_run(report, made_run):
    results = json.loads((made_run / "results.json").read_text(encoding="utf-8"))["test"]
    rows = report[1]["errors"]["sets"]["test0"]["quantities"]
    for name, row in rows.items():
        for kind in ("mae", "rmse"):
            assert row[kind] == pytest.approx(1000.0 * results[f"test0_epoch/{name}_{kind}"], rel=1e-4)
    assert rows["forces"]["trivial_rmse"] > 500.0
    assert report[1]["errors"]["headline"] == ["test0"]


def test_every_section_is_there_or_says_why_not(report):
    absent = {name for name, one in report[1].items() if isinstance(one, dict) and "not_shown" in one}
    assert absent <= {"volume", "dynamics", "calibration"}
    assert "periodic" in report[1]["volume"]["not_shown"]
    assert all(one.name in report[1] for one in SECTIONS)
    assert "could not be" not in report[0]


def test_sections_for_which_there_is_no_time_are_named(run, tmp_path):
    path = write_report(run, tmp_path / "a.html", until=0.0)
    found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    absent = {name for name, one in found.items() if isinstance(one, dict) and "no time left" in str(one)}
    assert absent == {one.name for one in SECTIONS if one.can_wait}
    assert "not_shown" not in found["errors"]
    assert f"equipot report {run} has it" in path.read_text(encoding="utf-8")


def test_laws_hold_for_a_model_of_ours(report):
    physics = report[1]["physics"]
    assert physics["dtype"] == "float64"
    assert len(physics["laws"]) == 8
    assert all(one["kept"] for one in physics["laws"])


@pytest.mark.slow
def test_energies_alone_and_no_test_set(energies_run):
    found = numbers(Subject(RunFolder.read(energies_run)))
    assert found["errors"]["headline"] == ["val0"]
    assert list(found["errors"]["sets"]["val0"]["quantities"]) == ["per_atom_energy"]
    assert "no forces" in found["dynamics"]["not_shown"]
    assert len(found["physics"]["laws"]) == 3
    assert all("could not" not in drawn(one, found[one.name]) for one in SECTIONS if "not_shown" not in found[one.name])


@pytest.mark.slow
def test_a_liquid_has_a_volume_and_stress(liquid_run, tmp_path):
    path = write_report(liquid_run, tmp_path / "liquid.html")
    found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert len(found["volume"]["energy_mev"]) == 13
    assert found["speed"]["rows"]
    Page(path.read_text(encoding="utf-8"))


def test_an_interrupted_run_has_a_report(run, tmp_path, only):
    only("errors", "curves", "origin")
    (run / "results.json").unlink()
    (run / "best.ckpt").unlink()
    text = write_report(run, tmp_path / "a.html").read_text(encoding="utf-8")
    assert "was interrupted" in text


def test_a_run_without_checkpoint_has_one_too(run, tmp_path, only):
    only("errors", "curves", "data", "speed")
    for name in ("best.ckpt", "last.ckpt"):
        (run / name).unlink()
    text = write_report(run, tmp_path / "a.html").read_text(encoding="utf-8")
    assert "The run has no model yet" in text
    assert "Learning curves" in text
    assert "Verdict of the checks" in text


def test_plan_and_work_of_fit_are_shown(run, tmp_path, only):
    only("usage", "origin")
    (run / "plan.yaml").write_text("lr: 0.01 # because of <b>\n", encoding="utf-8")
    (run / "fit.json").write_text('{"minutes": 3, "stages": {"train": 100.5}}', encoding="utf-8")
    text = write_report(run, tmp_path / "a.html").read_text(encoding="utf-8")
    assert "because of &lt;b&gt;" in text
    assert "train 100.5" in text
    assert "plan.yaml --output NEW_RUN" in text


def test_data_that_are_gone_or_other_ones(made_run, run, tmp_path, only):
    only("errors", "origin")
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    config["data"]["split_dataset"]["file_path"] = str(tmp_path / "gone.extxyz")
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    found = numbers(Subject(RunFolder.read(run)))
    assert "gone.extxyz" in found["errors"]["not_shown"]
    assert found["origin"]["model"]["parameters"] > 0
    source = next(made_run.parent.glob("*.extxyz"))
    shutil.copy(source, tmp_path / "gone.extxyz")
    with (tmp_path / "gone.extxyz").open("a", encoding="utf-8") as file:
        file.write("\n")
    subject = Subject(RunFolder.read(run))
    assert subject.changed_files == [str(tmp_path / "gone.extxyz")]


def test_a_damaged_record_is_left_out(run):
    (run / "results.json").write_text("{", encoding="utf-8")
    (run / "logs/metrics.csv").write_text("epoch,val0_epoch/forces_rmse\n0,nan\nx,y,z\n", encoding="utf-8")
    folder = RunFolder.read(run)
    assert folder.results == {}
    with pytest.raises(NotShownError, match="no errors by epoch"):
        next(one for one in SECTIONS if one.name == "curves").data(Subject(folder))


@pytest.mark.parametrize(
    ("name", "message"), [("nothing", "no such folder"), (".", "it has no config.json")], ids=["missing", "no run"]
)
def test_what_is_no_run_is_one_line(tmp_path, capsys, name, message):
    assert main(["report", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_the_page_must_be_html(run):
    with pytest.raises(ConfigError, match=r"must end in \.html"):
        write_report(run, run / "config.json")


def test_a_section_that_fails_costs_only_itself(run, monkeypatch):
    def broken(subject):
        raise ZeroDivisionError("oh <b>")

    section = Section("broken", "Broken", broken, lambda data: data["missing"])
    monkeypatch.setattr("equipot_fit._report._write.SECTIONS", (section,))
    found = numbers(Subject(RunFolder.read(run)))
    assert found == {"broken": {"not_shown": "It could not be computed (ZeroDivisionError: oh <b>)."}}
    assert "could not be drawn" in drawn(section, {})


def test_titles_are_escaped():
    assert "<script>" not in page("<script>", "<script>", [("a", "<script>", "")], "<script>")
