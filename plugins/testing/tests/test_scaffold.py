"""``equipot plugins new``: names, files, and what is refused."""

import re
import sys

import pytest
import yaml

from equipot._cli.main import main
from equipot.errors import ConfigError
from equipot_testing._scaffold import KINDS, new_plugin

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="needs tomli on Python 3.10")

FILES = {
    ".gitignore", ".github/workflows/ci.yml", ".github/workflows/publish.yml", "CHANGELOG.md", "LICENSE", "README.md",
    "pyproject.toml", "src/equipot_my_thing/__init__.py", "src/equipot_my_thing/plugin.py",
    "src/equipot_my_thing/py.typed", "tests/test_conformance.py",
}  # fmt: skip


def texts(folder):
    """Path to text of every file below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files}


@pytest.mark.parametrize("example", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_package_is_written(tmp_path, kind, example):
    made = new_plugin("my-thing", kind, tmp_path, example=example)
    assert made.folder == tmp_path / "equipot-my-thing"
    files = texts(made.folder)
    assert files.keys() == {*FILES, made.source}
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert project["name"] == made.distribution == "equipot-my-thing"
    assert project["entry-points"] == {"equipot.plugins.v1": {"my_thing": "equipot_my_thing.plugin"}}
    assert not [line for line in project["dependencies"] if "<" in line or "~=" in line]
    for name in (".github/workflows/ci.yml", ".github/workflows/publish.yml"):
        assert yaml.safe_load(files[name])["jobs"]
    assert "${{ matrix.python }}" in files[".github/workflows/ci.yml"]
    for name, text in files.items():
        assert not re.search(r"\$\{?(?!training_data_stats)[a-z_]+", text), f"{name} has a placeholder left"
        if name.endswith(".py"):
            compile(text, name, "exec")
    written = "target" if kind == "parts" else "name"
    assert f'{written}="{made.component}"' in files["src/equipot_my_thing/plugin.py"]
    assert f'name = "{made.component}"' in files["tests/test_conformance.py"]
    source = files[made.source]
    if example:
        assert made.to_write == ""
        assert "NotImplementedError" not in source
    else:
        assert f'raise NotImplementedError("write {made.to_write} ({made.source})")' in source
        assert source.count("raise NotImplementedError") == 1


def test_names_of_several_words(tmp_path):
    made = new_plugin("equipot-lennard-jones", "pair-potential", tmp_path)
    assert (made.distribution, made.component) == ("equipot-lennard-jones", "LennardJones")
    assert made.to_write == "lennard_jones_energy"
    made = new_plugin("soft_wall2", "modifier", tmp_path)
    assert (made.distribution, made.component) == ("equipot-soft-wall2", "soft_wall2")
    made = new_plugin("count-rings", "command", tmp_path)
    assert (made.component, made.to_write) == ("count-rings", "count_rings_number")
    assert new_plugin("log-cosh", "parts", tmp_path).component == "equipot_log_cosh.loss.LogCosh"


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "Morse",
            "modifier",
            "equipot plugins new: NAME: cannot be the name of a package, got 'Morse'; write small letters",
        ),
        ("2body", "modifier", "NAME: cannot be the name of a package, got '2body'"),
        ("a--b", "modifier", "NAME: cannot be the name of a package, got 'a--b'"),
        ("../evil", "modifier", "NAME: cannot be the name of a package, got '../evil'"),
        ("", "modifier", "NAME: cannot be the name of a package, got ''"),
        ("class", "modifier", "NAME: is taken, got 'class'; choose another"),
        ("core", "modifier", "NAME: is taken, got 'core'; choose another"),
        ("zbl", "modifier", "NAME: the name 'zbl' belongs to equipot-zbl, got 'zbl'; choose another"),
        ("graph-model", "model-builder", "NAME: the name 'GraphModel' belongs to equipot, got 'graph_model'"),
        ("allegro-model", "model-builder", "NAME: the name 'AllegroModel' belongs to equipot-allegro"),
        ("train", "command", "NAME: the name 'train' belongs to equipot, got 'train'; choose another"),
        ("mean", "stats-manager", "NAME: the name 'Mean' belongs to equipot, got 'mean'"),
        ("morse", "potential", "equipot plugins new: --kind: unknown, got 'potential'; one of model-builder, pair-po"),
    ],
)
def test_unusable_names_are_refused(tmp_path, name, kind, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        new_plugin(name, kind, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    folder = tmp_path / "equipot-morse"
    folder.mkdir()
    with pytest.raises(ConfigError, match=re.escape(f"nothing is overwritten, got '{folder}'; remove it")):
        new_plugin("morse", "pair-potential", tmp_path)
    assert list(folder.iterdir()) == []
    with pytest.raises(ConfigError, match="--into: is not a folder"):
        new_plugin("morse", "pair-potential", tmp_path / "not there")


def test_the_command_says_what_comes_next(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["plugins", "new", "morse", "--kind", "pair-potential"]) == 0
    assert capsys.readouterr().out == (
        "wrote equipot-morse: pair-potential Morse\n"
        "next:\n"
        "  cd equipot-morse\n"
        '  pip install -e ".[test]"\n'
        "  src/equipot_morse/potential.py: write morse_energy\n"
        "  pytest\n"
    )
    assert main(["plugins", "new", "morse", "--kind", "pair-potential"]) == 2
    assert capsys.readouterr().err.startswith("error: equipot plugins new: nothing is overwritten, got 'equipot-morse'")
    assert main(["plugins", "new", "morse", "--kind", "modifier", "--example", "--into", str(tmp_path.parent)]) == 0
    assert "modifier.py: change the example to your physics" in capsys.readouterr().out
