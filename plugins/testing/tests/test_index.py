"""``equipot plugins index build``: what wheels say is read and shown, and nothing of them runs without being asked."""

import html.parser
import json
import subprocess
import sys
import zipfile

import pytest

from equipot import __version__
from equipot._cli.main import main
from equipot.errors import ArtifactError
from equipot_testing import _index_wheels
from equipot_testing._index_command import index_of
from equipot_testing._index_page import page
from equipot_testing._index_wheels import read_wheel
from equipot_testing._scaffold import new_plugin

SOURCE = """
raise SystemExit("this module must not be imported")
from equipot import hookimpl
from equipot.declarations import PairPotentialEntry, PartEntry

@hookimpl
def equipot_pair_potentials():
    yield PairPotentialEntry(name="Morse", target="equipot_bad.Morse", summary="A <b>well</b>")

@hookimpl
def equipot_parts():
    for kind in ("loss",):
        yield PartEntry(kind=kind, target="equipot_bad.MyLoss", summary="x" + "y")

def helper():
    return PairPotentialEntry(name="NotDeclared", target="a.b", summary="")
"""
METADATA = """Metadata-Version: 2.4
Name: equipot-bad
Version: 1.0
Summary: <script>alert(1)</script> "quoted"
License-Expression: MIT
Requires-Python: >=3.10
Requires-Dist: equipot>=0.1
Requires-Dist: pytest; extra == "test"
Project-URL: Source, https://example.org/bad?a=1&b=2
Project-URL: Evil, javascript:alert(1)
Project-URL: Sly, https://example.org/"onclick="alert(1)
"""
POINTS = "[equipot.plugins.v1]\nbad = equipot_bad.plugin\n\n[console_scripts]\nother = other:main\n"


@pytest.fixture
def wheel(tmp_path):
    """Write a wheel with some of its members replaced; None leaves one out."""

    def write(name="equipot_bad-1.0-py3-none-any.whl", **changes):
        members = {
            "equipot_bad-1.0.dist-info/METADATA": changes.get("metadata", METADATA),
            "equipot_bad-1.0.dist-info/entry_points.txt": changes.get("points", POINTS),
            "equipot_bad/plugin.py": changes.get("source", SOURCE),
        }
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as file:
            for member, text in members.items():
                if text is not None:
                    file.writestr(member, text)
        return tmp_path / name

    return write


def test_metadata_entry_points_and_declarations_are_read(wheel):
    facts = read_wheel(wheel())
    assert (facts["distribution"], facts["version"], facts["license"]) == ("equipot-bad", "1.0", "MIT")
    assert (facts["api"], facts["ids"], facts["requires"]) == (["1"], ["bad"], ["equipot>=0.1"])
    assert facts["links"] == {"Source": "https://example.org/bad?a=1&b=2"}
    assert facts["declares"] == [
        {"kind": "pair_potentials", "name": "Morse", "summary": "A <b>well</b>"},
        {"kind": "parts", "name": "equipot_bad.MyLoss", "summary": ""},
    ]
    assert len(facts["sha256"]) == 64


def test_a_wheel_without_a_plugin_is_left_out(wheel):
    assert read_wheel(wheel(points=None)) is None
    assert read_wheel(wheel(points="[console_scripts]\nother = other:main\n")) is None
    assert index_of([wheel(points=None)], {}, check=False)["plugins"] == []


@pytest.mark.parametrize("source", [None, "def (:", "x = " + "(" * 5000])
def test_a_module_that_cannot_be_parsed_declares_nothing(wheel, source):
    assert read_wheel(wheel(source=source))["declares"] == []


def test_what_is_no_wheel_or_a_bomb_is_refused(wheel, tmp_path, monkeypatch):
    (tmp_path / "text.whl").write_text("not a wheel")
    with pytest.raises(ArtifactError, match="cannot be read as a wheel: File is not a zip file"):
        read_wheel(tmp_path / "text.whl")
    with pytest.raises(ArtifactError, match="has no metadata"):
        read_wheel(wheel(metadata=None))
    with pytest.raises(ArtifactError, match="plugin.py has more than 1048576 bytes"):
        read_wheel(wheel(source="#" * 2_000_000))
    with pytest.raises(ArtifactError, match="cannot be read as a wheel"):
        read_wheel(wheel(points="[equipot.plugins.v1\nbad"))
    monkeypatch.setattr(_index_wheels, "_MOST_MEMBERS", 2)
    with pytest.raises(ArtifactError, match="has more than 2 files"):
        read_wheel(wheel())


class Tags(html.parser.HTMLParser):
    """Names of all tags and attributes of a page."""

    def __init__(self):
        super().__init__()
        self.found, self.links = set(), []

    def handle_starttag(self, tag, attrs):
        self.found |= {tag, *(name for name, _ in attrs)}
        self.links += [value for name, value in attrs if name == "href"]


def test_the_page_escapes_everything_and_has_no_script(wheel):
    index = index_of([wheel()], {}, check=False)
    index["problems"].append({"wheel": "<img src=x>", "reason": "<b>"})
    text = page(index)
    tags = Tags()
    tags.feed(text)
    assert not tags.found & {"script", "img", "b", "onclick", "iframe", "link"}
    assert tags.links == ["https://example.org/bad?a=1&b=2"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &quot;quoted&quot;" in text
    assert "default-src 'none'" in text


def test_verdicts_of_other_versions_are_kept_for_the_same_wheel(wheel, tmp_path, monkeypatch, capsys):
    wheel()
    arguments = ["plugins", "index", "build", "--from", str(tmp_path), "--output", str(tmp_path / "site")]
    verdict = {"kit": "1", "passed": False, "message": "3 of 4 laws hold", "broken": ["Morse: smooth"]}
    monkeypatch.setattr("equipot_testing._index_command.verdict_of", lambda path, ids: {**verdict, "ids": ids})
    assert main([*arguments, "--check"]) == 1
    assert "equipot-bad 1.0: 2 declarations; 3 of 4 laws hold\n" in capsys.readouterr().out
    monkeypatch.setattr("equipot_testing._index_command.__version__", "9.9")
    assert main(arguments) == 0
    (one,) = json.loads((tmp_path / "site/index.json").read_text())["plugins"]
    assert one["verdicts"].keys() == {__version__}
    shown = (tmp_path / "site/index.html").read_text()
    assert f"<th>equipot {__version__}</th>" in shown
    assert '<span class="broken">3 of 4 laws hold</span><br><small>Morse: smooth</small>' in shown
    wheel(metadata=METADATA + "Keywords: changed\n")
    assert main(arguments) == 0
    (one,) = json.loads((tmp_path / "site/index.json").read_text())["plugins"]
    assert one["verdicts"] == {}


def test_a_damaged_wheel_is_told_and_the_others_are_listed(wheel, tmp_path, capsys):
    wheel()
    (tmp_path / "text.whl").write_text("not a wheel")
    assert main(["plugins", "index", "build", "--from", str(tmp_path), "--output", str(tmp_path / "site")]) == 1
    assert "not listed: text.whl: " in capsys.readouterr().out
    assert len(json.loads((tmp_path / "site/index.json").read_text())["plugins"]) == 1


def test_no_wheel_and_a_foreign_file_are_errors(wheel, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["plugins", "index", "build", "--from", str(tmp_path / "empty")]) == 2
    assert "--from: has no wheel" in capsys.readouterr().err
    (tmp_path / "index.json").write_text("{}")
    assert main(["plugins", "index", "build", "--from", str(wheel()), "--output", str(tmp_path)]) == 2
    assert "is not an index of this format" in capsys.readouterr().err


@pytest.mark.slow
def test_from_scaffold_to_listed(tmp_path):
    """One run: a plugin is written, built, checked in a temporary folder, and on the page with its verdict."""
    made = new_plugin("tiny-pair", "pair-potential", tmp_path, example=True)
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path / "dist", made.folder]
    subprocess.run(build, check=True, capture_output=True)
    arguments = ["--from", str(tmp_path / "dist"), "--check", "--output", str(tmp_path / "site")]
    assert main(["plugins", "index", "build", *arguments]) == 0
    (one,) = json.loads((tmp_path / "site/index.json").read_text())["plugins"]
    assert one["declares"] == [{"kind": "pair_potentials", "name": "TinyPair", "summary": "Pair potential TinyPair"}]
    verdict = one["verdicts"][__version__]
    assert verdict["passed"], verdict
    assert verdict["message"] in (tmp_path / "site/index.html").read_text()
    assert "tiny_pair" not in {name.partition(".")[0] for name in sys.modules}


@pytest.mark.slow
def test_a_plugin_that_cannot_be_checked_says_why(wheel):
    (one,) = index_of([wheel()], {}, check=True)["plugins"]
    assert one["verdicts"][__version__]["message"].startswith("not checked: ")
    assert not one["verdicts"][__version__]["passed"]
