"""What ``equipot plugins check`` finds to run."""

import json
import textwrap

import pytest

from equipot._cli.main import main
from equipot.errors import ConfigError, PluginError
from equipot.plugins import plugins
from equipot_testing._subjects import find_subjects

LOCAL = """
import dataclasses
from typing import Literal

from equipot.model import PairEnergy, PairPotential


class Energy(PairEnergy):
    def forward(self, r, type_i, type_j):
        return {formula}


@dataclasses.dataclass(frozen=True, kw_only=True)
class {name}(PairPotential):
    '''A pair potential.'''

    depth: float
    '''Depth in eV.'''

    form: Literal["soft", "hard"]
    '''Form.'''

    def build_pair_energy(self, context):
        return Energy()
"""


@pytest.fixture
def local(tmp_path, monkeypatch):
    """Write a local file with a pair potential: ``local(name, formula)``."""
    from equipot._host import host

    monkeypatch.setattr(host, "_files", [])
    plugins.cache_clear()

    def write(name, formula):
        path = tmp_path / f"{name.lower()}_file.py"
        path.write_text(textwrap.dedent(LOCAL.format(name=name, formula=formula)), encoding="utf-8")
        return path

    yield write
    plugins.cache_clear()


def rows(found):
    return [(one.kind, one.name, one.kit is not None) for one in found]


def test_id_and_distribution_in_any_spelling():
    expected = [("pair_potentials", "ZBL", True)]
    for subject in ("zbl", "equipot-zbl", "Equipot_ZBL"):
        assert rows(find_subjects(subject)) == expected
    (found,) = find_subjects("zbl")
    assert found.remark == "options chosen by the check: {'units': 'metal'}"
    assert found.kit.options == {"units": "metal"}


def test_kind_and_name_choose():
    names = [one.name for one in find_subjects("core", kind="stats_managers")]
    assert "CommonDataStatisticsManager" in names
    options = {"shifts": 1.0}
    assert rows(find_subjects("core", name="modify_PerTypeScaleShift", options=options)) == [
        ("modifiers", "modify_PerTypeScaleShift", True)
    ]
    (unchecked,) = find_subjects("core", name="DataStatisticsManager")
    assert unchecked.kit is None
    assert unchecked.remark.startswith("needs the options ['metrics']; give --name DataStatisticsManager --option")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("zbll",), PluginError, "plugins check: no such plugin is installed, got 'zbll'; did you mean 'zbl'?"),
        (("zbl", "pairs"), ConfigError, "--kind: unknown kind of declaration, got 'pairs'; kinds: .*pair_potentials"),
        (("zbl", "", "Zbl"), ConfigError, r"zbl: has no such component, got 'Zbl'; \['pair_potentials ZBL'\]"),
    ],
)
def test_messages(arguments, error, words):
    subject, kind, name = (*arguments, "", "")[:3]
    with pytest.raises(error, match=words):
        find_subjects(subject, kind=kind, name=name)


def test_options_are_for_one_component():
    with pytest.raises(ConfigError, match="--option: is for one component only, got {'a': 1}; choose one with --name"):
        find_subjects("core", options={"a": 1})


def test_local_file_gets_values_for_what_it_requires(local):
    (found,) = find_subjects(str(local("Guessed", "1.0 / r")))
    assert found.kit.options == {"depth": 1.0, "form": "soft"}
    assert found.owner.endswith("guessed_file.py local file")


def test_project_folder_runs_its_own_tests(tmp_path):
    (tmp_path / "tests").mkdir()
    with pytest.raises(PluginError, match=r"is not a project: it has no pyproject.toml"):
        find_subjects(str(tmp_path))
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1"\nname = "equipot-zbl"\n', encoding="utf-8")
    (tmp_path / "tests/test_conformance.py").write_text(
        "from equipot_testing.conformance import PairPotentialConformance\n\n\n"
        "class TestMine(PairPotentialConformance):\n    name = 'ZBL'\n    options = {'units': 'real'}\n",
        encoding="utf-8",
    )
    (found,) = find_subjects(str(tmp_path))
    assert (found.name, found.remark, found.kit.options) == (
        "ZBL",
        "as test_conformance.py says",
        {"units": "real"},
    )
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "equipot-missing"\n', encoding="utf-8")
    assert rows(find_subjects(str(tmp_path))) == [("pair_potentials", "ZBL", True)]
    test = tmp_path / "tests/test_conformance.py"
    test.write_text(test.read_text(encoding="utf-8").replace("'ZBL'", "'Missing'"), encoding="utf-8")
    with pytest.raises(PluginError, match="no such plugin is installed.*pip install -e"):
        find_subjects(str(tmp_path))
    test.unlink()
    with pytest.raises(PluginError, match="no such plugin is installed.*pip install -e"):
        find_subjects(str(tmp_path))


def test_classes_that_use_fixtures_are_left_to_pytest(tmp_path):
    path = tmp_path / "test_mine.py"
    path.write_text(
        "import pytest\nfrom equipot_testing.conformance import ModifierConformance\n\n\n"
        "class TestMine(ModifierConformance):\n    name = 'modify_PerTypeScaleShift'\n\n"
        "    @pytest.fixture(autouse=True)\n    def _make(self, tmp_path):\n        self.path = tmp_path\n",
        encoding="utf-8",
    )
    (found,) = find_subjects(str(path))
    assert (found.kit, found.remark) == (None, "TestMine in test_mine.py uses fixtures: run pytest")


def test_modifier_that_cannot_act_on_the_tiny_model_is_not_checked():
    (found,) = find_subjects("core", name="modify_PerTypeScaleShift")
    assert found.kit is None
    expected = "it changes nothing with these options; give --option, or write a test whose model() it acts on"
    assert found.remark == expected


# ------------------------------------------------------------------------- the command


def test_command_on_a_broken_file(local, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("equipot_testing._base._side_effects_of", lambda module: "")  # starts another Python
    path = local("Broken", "r.detach() * (1.0 + type_i)")
    report, badge = tmp_path / "report.json", tmp_path / "badge.json"
    assert main(["plugins", "check", str(path), "--json", str(report), "--badge", str(badge)]) == 1
    text = capsys.readouterr().out
    assert "BROKEN symmetric\n" in text
    assert text.index("BROKEN symmetric") < text.index("BROKEN gradient")
    assert "they are detached" in text
    data = json.loads(report.read_text(encoding="utf-8"))
    assert data["components"][0]["broken"] == ["symmetric", "gradient"]
    assert json.loads(badge.read_text(encoding="utf-8")) == data["badge"]


def test_command_prints_json(capsys):
    assert main(["plugins", "check", "--calculator", "broken_toys.calculators:Pairs", "--json", "-"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["passed"] is True
    assert data["badge"]["color"] == "brightgreen"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "plugins check: needs one thing to check; give a plugin, or --calculator MODULE:FACTORY"),
        (("zbl", "--calculator", "a:b"), "plugins check: needs one thing to check"),
        (("zbl", "--option", "units"), "--option: must be KEY=VALUE, got 'units'"),
        (("--calculator", "nowhere"), "--calculator: must be module:factory, got 'nowhere'"),
        (("--calculator", "nowhere_at_all:f"), "--calculator: cannot be imported: No module named 'nowhere_at_all'"),
        (("--calculator", "math:pi2"), "--calculator: cannot be imported: module 'math' has no attribute 'pi2'"),
        (("--calculator", "a:b", "--elements", "H,Qq"), "--elements: must be chemical symbols, got ['H', 'Qq']"),
        (("--calculator", "a:b", "--python", "no-such-python"), "--python: is not a program, got 'no-such-python'"),
    ],
)
def test_command_messages(arguments, words, capsys):
    assert main(["plugins", "check", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"error: {words}")
