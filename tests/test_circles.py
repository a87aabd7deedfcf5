"""No module imports another that imports it, in core and in every plugin of this repository.

Imports inside functions count, those for type checkers do not. A package imports what its stub exports.
"""

import ast
import graphlib
import importlib.util
import re
import sys
from pathlib import Path

import pytest

grimp = pytest.importorskip("grimp", reason="comes with import-linter")

ROOT = Path(__file__).resolve().parent.parent
TABLE = re.search(r"root_packages = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.DOTALL)[1]
PACKAGES = re.findall(r'"(\w+)"', TABLE)


def imports(*packages):
    """Module to the modules of the packages that it imports."""
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=True, cache_dir=None)
    found = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    for package in packages:
        folder = Path(importlib.util.find_spec(package).origin).parent
        for stub in folder.rglob("__init__.pyi"):
            owner = ".".join([package, *stub.parent.relative_to(folder).parts])
            for node in ast.walk(ast.parse(stub.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
                    found[owner].add(f"{owner}.{node.module}")
    return found


def circle(graph):
    """One circle of a graph, empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def rooms(graph):
    """The same graph with packages and modules directly below a root package as nodes."""

    def room(module):
        return ".".join(module.split(".")[:2])

    joined = {}
    for module, found in graph.items():
        joined.setdefault(room(module), set()).update(room(one) for one in found if room(one) != room(module))
    return joined


@pytest.fixture(scope="module")
def graph():
    return imports(*PACKAGES)


@pytest.mark.slow
def test_modules_import_each_other_in_no_circle(graph):
    assert circle(graph) == []


def test_packages_import_each_other_in_no_circle(graph):
    """The root package is left out: the host reads its version, and it exports ``hookimpl``."""
    assert circle(rooms({module: found - set(PACKAGES) for module, found in graph.items()})) == []


SOURCES = {
    "inside a function": {"a": "def f():\n    from loop import b\n", "b": "import loop.a\n"},
    "by a stub": {"__init__": "", "__init__.pyi": "from .a import f as f\n", "a": "from loop import f\n"},
    "at the top": {"a": "from loop.b import f\n", "b": "from loop.a import g\n"},
}


@pytest.mark.parametrize("sources", SOURCES.values(), ids=SOURCES)
def test_circles_are_found(sources, tmp_path, monkeypatch):
    assert circle(_written(sources, tmp_path, monkeypatch)) != []


def test_imports_for_type_checkers_do_not_count(tmp_path, monkeypatch):
    checking = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from loop import b\n"
    assert circle(_written({"a": checking, "b": "import loop.a\n"}, tmp_path, monkeypatch)) == []


def _written(sources, folder, monkeypatch):
    package = folder / "loop"
    package.mkdir()
    for name, text in {"__init__": "", **sources}.items():
        (package / (name if "." in name else f"{name}.py")).write_text(text)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "loop", raising=False)
    return imports("loop")
