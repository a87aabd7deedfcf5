"""Tests mirror ``src``: each module has a test file of its own name, or one that imports from it.

``core/src/equipot/data/_splits.py`` is tested in ``core/tests/data/test_splits.py``, ``convolution_ops.py`` where
``test_convolution.py`` is. The list is for what only works together with other code; it says where that is tested.
"""

import fnmatch
import importlib.util

import pytest

from equipot_test_support import ROOT

ELSEWHERE = {
    # Declarations: all that are declared are loaded and run.
    "equipot._builtin": "tests/test_declarations.py",
    "*.plugin": "tests/test_declarations.py",
    # Commands: tests call them by name, as users do.
    "equipot._cli.*": "core/tests/cli/test_main.py",
    "equipot_from_nequip._command": "plugins/from_nequip/tests/test_import.py",
    "equipot_testing._*_command": "plugins/testing/tests/test_subjects.py",
    # The host is one object; a test sees it as a whole.
    "equipot._host.*": "core/tests/test_plugins.py",
    # Parts that a test only sees at work: of a stored model, a data module, a loss.
    "equipot.artifacts._stored": "core/tests/artifacts/test_checkpoint.py",
    "equipot.data._*": "core/tests/data/test_module.py",
    "equipot.train._*": "core/tests/train/test_measures.py",
    "equipot.train.options": "core/tests/train/test_parts.py",
    # Names that plugins register, found when they are asked for.
    "equipot.energy_terms": "examples/plugins/d3/tests/test_d3.py",
    # Parts of plugins that configs name, or that their models are made of.
    "equipot_allegro.*": "plugins/allegro_like/tests/test_builder.py",
    "equipot_nequip.*": "plugins/nequip_like/tests/test_builder.py",
    "equipot_force_stress._modifier": "plugins/force_stress/tests/test_force_stress.py",
    "equipot_from_nequip.*": "plugins/from_nequip/tests/test_import.py",
    "equipot_kernels.*": "plugins/kernels/tests/test_modifier.py",
    "equipot_toolbox.*": "plugins/toolbox/tests/test_plugin.py",
    # A check is tested by the toys that it must catch.
    "equipot_testing._*": "plugins/testing/tests/test_catch_matrix.py",
    "equipot_testing.calculators._*": "plugins/testing/tests/test_calculators.py",
}
"""Pattern of modules to the file that tests them."""


def _figures():
    spec = importlib.util.spec_from_file_location("figures", ROOT / "tools" / "figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


figures = _figures()


def sources():
    """Module to its file, for core and plugins."""
    found = {}
    for source in (ROOT / "core/src", *ROOT.glob("plugins/[!_]*/src")):
        for path in source.rglob("*.py"):
            parts = path.relative_to(source).parts
            if "templates" not in parts:
                found[figures.module_name(path, source / parts[0])] = path
    return found


def mirrored(path):
    """Whether a test file is called like a module, or like the beginning of its name."""
    source = next(folder for folder in path.parents if folder.name == "src")
    *folders, name = (part.strip("_") for part in path.relative_to(source).with_suffix("").parts[1:])
    words, tests = name.split("_"), source.parent.joinpath("tests", *folders)
    return any((tests / f"test_{'_'.join(words[:number])}.py").is_file() for number in range(1, len(words) + 1))


def untested():
    """Modules that no test file is called like or imports from."""
    modules = sources()
    patterns = ("core/tests/**/*.py", "plugins/[!_]*/tests/**/*.py", "tests/**/*.py")
    tests = {path for pattern in patterns for path in ROOT.glob(pattern)}
    imported = {name for path in tests for name in figures.imported(path, modules)}
    own = {name: path for name, path in modules.items() if path.name != "__init__.py" and name not in imported}
    return [name for name, path in sorted(own.items()) if not mirrored(path)]


UNTESTED = untested()


def test_modules_without_a_test_are_listed_with_the_place_that_tests_them():
    assert [name for name in UNTESTED if not any(fnmatch.fnmatch(name, pattern) for pattern in ELSEWHERE)] == []


@pytest.mark.parametrize("pattern", ELSEWHERE)
def test_the_list_is_true(pattern):
    assert fnmatch.filter(sources(), pattern), "nothing is called so any more: take it out"
    assert (ROOT / ELSEWHERE[pattern]).is_file()
