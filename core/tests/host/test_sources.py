"""``equipot plugins`` finds targets of the wrong kind without importing them; what it cannot be sure of passes."""

import json
import sys

import pytest

from equipot._cli.main import main
from equipot._host import sources
from equipot._host.sources import fault_in_source
from equipot.plugins import HOOKS, plugins

IMPORTS = "import torch\nfrom equipot.model import (\n    ModelBuilder,  # a comment\n    EnergyTerm as Term,\n)\n\n"
ENTRIES = {
    "model_builders": "ModelBuilderEntry(name='Bad', target='{}', summary='')",
    "energy_terms": "EnergyTermEntry(name='Bad', target='{}', summary='')",
    "pair_potentials": "PairPotentialEntry(name='Bad', target='{}', summary='')",
    "modifiers": "ModifierEntry(name='bad', target='{}', summary='', persistent=True)",
    "commands": "CommandEntry(name='bad', target='{}', summary='')",
    "parts": "PartEntry(kind='loss', target='{}', summary='')",
}

CERTAIN = {
    "no such name": ("model_builders", "class Other(ModelBuilder):\n    pass\n", "does not exist"),
    "a function for a class": ("model_builders", "def Thing():\n    pass\n", "must be a class, got a function"),
    "a number for a class": ("parts", "Thing = 3\n", "must be a class, got a value"),
    "no base": ("pair_potentials", "class Thing:\n    pass\n", "must be a subclass of equipot.model.PairPotential"),
    "another kind": (
        "pair_potentials",
        "class Thing(Term):\n    pass\n",
        "must be a subclass of equipot.model.PairPotential",
    ),
    "a class for a function": ("modifiers", "class Thing:\n    pass\n", "must be a function, got a class"),
    "a function for a command": (
        "commands",
        "def Thing(x):\n    pass\n",
        "must be a click.Command, got a function",
    ),
    "in another module": ("model_builders", "from .deeper import Thing\n", "must be a class, got a function"),
}

UNCERTAIN = {
    "right": ("energy_terms", "class Thing(Term):\n    pass\n"),
    "a base of its own": (
        "model_builders",
        "class Base(ModelBuilder):\n    pass\n\n\nclass Thing(Base):\n    pass\n",
    ),
    "a base that is called": ("model_builders", "class Thing(make(3)):\n    pass\n"),
    "two bases": ("energy_terms", "class Thing(Mixin, metaclass=Meta):\n    pass\n"),
    "a decorated function": ("model_builders", "@builder\ndef Thing():\n    pass\n"),
    "a decorated command": ("commands", "@click.command(\n    'thing',\n)\ndef Thing():\n    pass\n"),
    "wrapped later": ("commands", "def Thing():\n    pass\n\n\nThing = click.command(Thing)\n"),
    "made by a call": ("model_builders", "Thing = builder(Other)\n"),
    "lazy": ("model_builders", "def __getattr__(name):\n    return 3\n"),
    "from a library": ("model_builders", "from os.path import join as Thing\n"),
    "from everywhere": ("model_builders", "from .deeper import *\n"),
    "defined in a branch": ("model_builders", "if True:\n    class Thing:\n        pass\n"),
}


@pytest.fixture
def declare(install, tmp_path):
    """Declare ``planted.thing.Thing``, whose module has some source, as a component of a kind."""

    def make(kind, source):
        (tmp_path / "planted").mkdir()
        (tmp_path / "planted" / "__init__.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
        (tmp_path / "planted" / "deeper.py").write_text("def Thing():\n    pass\n", encoding="utf-8")
        (tmp_path / "planted" / "thing.py").write_text(IMPORTS + source, encoding="utf-8")
        hook = f"@hookimpl\ndef equipot_{kind}():\n    yield {ENTRIES[kind].format('planted.thing.Thing')}\n"
        header = "from equipot import hookimpl\nfrom equipot.declarations import *\n"
        install("bad-dist", "bad", header + hook)

    caches = (sources._file, sources._source, sources._definitions, sources._imports)
    for cache in caches:
        cache.cache_clear()
    yield make
    for cache in caches:
        cache.cache_clear()
    for name in [name for name in sys.modules if name.startswith("planted")]:
        del sys.modules[name]


@pytest.mark.usefixtures("fresh_plugins")
@pytest.mark.parametrize(("kind", "source", "message"), CERTAIN.values(), ids=CERTAIN)
def test_a_target_of_the_wrong_kind_is_an_error_in_the_list(declare, capsys, monkeypatch, kind, source, message):
    monkeypatch.setattr("equipot._cli.common._shown", set())  # each warning is printed once
    declare(kind, source)
    assert main(["plugins", "--json"]) == 0
    output = capsys.readouterr()
    (record,) = [one for one in json.loads(output.out) if one["id"] == "bad"]
    assert record["state"] == "faulty"
    assert record["error"].startswith("'planted.thing.Thing', the target of ")
    assert record["error"].endswith(f", {message}")
    assert f"warning: plugin 'bad' (bad-dist 1.2.3) is faulty: {record['error']}" in output.err
    assert "planted" not in sys.modules


@pytest.mark.usefixtures("fresh_plugins")
@pytest.mark.parametrize(("kind", "source"), UNCERTAIN.values(), ids=UNCERTAIN)
def test_what_is_not_certain_passes(declare, kind, source):
    declare(kind, source)
    (declared,) = [one for one in plugins().declarations(kind) if one.plugin == "bad"]
    assert fault_in_source(declared) == ""


def test_no_installed_component_is_accused():
    declared = [one for kind in HOOKS for one in plugins().declarations(kind)]
    assert len(declared) > 100
    assert [fault for one in declared if (fault := fault_in_source(one))] == []


@pytest.mark.usefixtures("fresh_plugins")
def test_describe_refuses_what_is_of_the_wrong_kind(declare, capsys, tmp_path):
    declare("pair_potentials", "class Thing(Term):\n    pass\n")
    (tmp_path / "planted" / "__init__.py").write_text("", encoding="utf-8")
    assert main(["describe", "Bad"]) == 2
    assert (
        "'planted.thing.Thing', the target of pair potential 'Bad', does not derive from equipot.model.PairPotential"
        in (capsys.readouterr().err)
    )
