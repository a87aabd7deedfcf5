"""The public interface keeps what the last release promised; the record is ``tests/public_api.json``."""

import ast
import copy
import json

import pytest

from equipot import __version__
from equipot_test_support import ROOT
from equipot_test_support.scripts import load_script

UPDATE = "after a deliberate change, or for a release: python tools/public_api.py --update"

tool = load_script("tools/public_api.py")
RECORD = json.loads(tool.RECORD.read_text(encoding="utf-8"))


def test_the_code_keeps_what_is_recorded():
    assert tool.incompatible(RECORD, tool.record()) == [], UPDATE


def test_the_record_is_of_this_version():
    assert RECORD["version"] == __version__, UPDATE


CHANGES = {
    "hook gone": (lambda new: new["hooks"].pop("equipot_modifiers"), "hook equipot_modifiers is gone"),
    "api": (lambda new: new.update(api=2), "the hook API is 2, was 1"),
    "name gone": (
        lambda new: new["modules"]["equipot.model"].pop("PairEnergy"),
        "equipot.model.PairEnergy is gone",
    ),
    "module gone": (lambda new: new["modules"].pop("equipot.nn.cutoff"), "equipot.nn.cutoff.polynomial_cutoff is gone"),
    "field of a declaration gone": (
        lambda new: new["modules"]["equipot.declarations"]["ModifierEntry"]["fields"].remove("provides"),
        "equipot.declarations.ModifierEntry: the field provides is gone",
    ),
    "argument renamed": (
        lambda new: new["modules"]["equipot.errors"]["problem"]["parameters"].pop("hint"),
        "equipot.errors.problem: the argument hint is gone",
    ),
    "argument required": (
        lambda new: new["modules"]["equipot.errors"]["problem"]["parameters"].update(more="required"),
        "equipot.errors.problem: the argument more is required",
    ),
    "default lost": (
        lambda new: new["modules"]["equipot.declarations"]["ModifierEntry"]["parameters"].update(
            provides="required keyword"
        ),
        "equipot.declarations.ModifierEntry: the argument provides is required",
    ),
    "by name only": (
        lambda new: new["modules"]["equipot.errors"]["problem"]["parameters"].update(what="required keyword"),
        "equipot.errors.problem: the argument what must now be given by name",
    ),
    "method gone": (
        lambda new: new["modules"]["equipot.model"]["GraphModel"]["members"].pop("replace"),
        "equipot.model.GraphModel.replace is gone",
    ),
    "method of a base class takes more": (
        lambda new: new["modules"]["equipot.model"]["PairEnergy"]["members"]["forward"].update(cell="required"),
        "equipot.model.PairEnergy.forward: the argument cell is required",
    ),
    "more to write": (
        lambda new: new["modules"]["equipot.model"]["PairPotential"]["abstract"].append("cutoff"),
        "equipot.model.PairPotential: a subclass must now write cutoff",
    ),
}


@pytest.mark.parametrize(("change", "problem"), CHANGES.values(), ids=CHANGES)
def test_an_incompatible_change_is_found(change, problem):
    new = copy.deepcopy(RECORD)
    change(new)
    assert tool.incompatible(RECORD, new) == [problem]


def test_another_order_of_arguments_is_found():
    new = copy.deepcopy(RECORD)
    parameters = new["modules"]["equipot.errors"]["problem"]["parameters"]
    new["modules"]["equipot.errors"]["problem"]["parameters"] = dict(
        sorted(parameters.items(), key=lambda pair: pair[0] != "what")
    )
    assert tool.incompatible(RECORD, new) == ["equipot.errors.problem: the order of arguments changed"]


def test_additions_are_compatible():
    new = copy.deepcopy(RECORD)
    new["hooks"]["equipot_more"] = {}
    new["hooks"]["equipot_modifiers"]["context"] = "required"  # pluggy gives a hook what it asks for
    new["modules"]["equipot.more"] = {"thing": {}}
    new["modules"]["equipot.errors"]["problem"]["parameters"]["more"] = "optional keyword"
    new["modules"]["equipot.declarations"]["Entry"]["fields"].append("more")
    assert tool.incompatible(RECORD, new) == []


STRANGERS = sorted(
    path
    for pattern in ("examples/plugins/*/src/**/*.py", "plugins/_template/*/src/**/*.py", "tests/*_plugin/src/**/*.py")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("path", STRANGERS, ids=[str(path.relative_to(ROOT)) for path in STRANGERS])
def test_plugins_of_strangers_use_public_names_only(path):
    public = tool.public_modules()
    private = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "equipot"
        for alias in node.names
        if alias.name not in public.get(node.module, ()) and f"{node.module}.{alias.name}" not in public
    ]
    assert private == []
