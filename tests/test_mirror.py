"""Tests mirror ``src``: each module has a test file of the same name, or one that imports from it.

``core/src/equipot/data/_splits.py`` is tested in ``core/tests/data/test_splits.py``. A test may also be named after the
beginning of a module's name, or after its folder: ``_spline/ops.py`` is tested in ``test_spline.py``. The list below
names the modules that only work together with other code, and says where they are tested.
"""

import fnmatch

import pytest

from equipot_test_support import ROOT
from equipot_test_support.scripts import load_script

ELSEWHERE = {
    # Declarations: every declared component is loaded and run.
    "*.plugin": "tests/test_declarations.py",
    # Commands: the tests run them by name, as users do.
    "equipot._cli.*": "core/tests/cli/test_main.py",
    "equipot_from_nequip._command": "plugins/from_nequip/tests/test_import.py",
    "equipot_fit._report._report_command": "plugins/fit/tests/report/test_write.py",
    "equipot_uncertainty._data": "plugins/uncertainty/tests/test_commands.py",
    "equipot_lammps._command": "plugins/lammps/tests/test_check.py",
    "equipot_testing._*_command": "plugins/testing/tests/test_subjects.py",
    # The host is one object; a test sees it as a whole.
    "equipot._host.*": "core/tests/test_plugins.py",
    # Parts of a stored model, a data module or a loss, which tests only see at work.
    "equipot.config._cross_checks": "core/tests/config/test_check.py",
    "equipot.data._*": "core/tests/data/test_module.py",
    # Parts of a run, which tests see as a whole.
    "equipot.train._data": "core/tests/train/test_run.py",
    "equipot.train._environment": "core/tests/config/test_resolve.py",
    "equipot.train._quiet": "core/tests/train/test_run.py",
    # The counters of Lightning's loops: a resumed run shows whether they are right.
    "equipot.train._position": "core/tests/train/test_resume.py",
    # Parts of models and config translations, tested through the whole.
    "equipot_allegro._energy": "plugins/allegro_like/tests/test_builder.py",
    "equipot_allegro._two_body": "plugins/allegro_like/tests/test_builder.py",
    "equipot_nequip._energy": "plugins/nequip_like/tests/test_builder.py",
    "equipot_nequip._interaction": "plugins/nequip_like/tests/test_builder.py",
    "equipot_*._presets": "plugins/allegro_like/tests/test_builder.py",
    "equipot_force_stress._modifier": "plugins/force_stress/tests/test_force_stress.py",
    "equipot_engines._batches": "plugins/engines/tests/test_torch_sim.py",
    "equipot_engines._calculators": "plugins/engines/tests/test_torch_sim.py",
    "equipot_from_nequip._facts": "plugins/from_nequip/tests/test_import.py",
    "equipot_from_nequip._options": "plugins/from_nequip/tests/test_configs.py",
    "equipot_from_nequip._resolvers": "plugins/from_nequip/tests/test_configs.py",
    "equipot_kernels._prebuild": "plugins/kernels/tests/test_modifier.py",
    "equipot_kernels._program.*": "plugins/kernels/tests/program/test_evaluator.py",
    "equipot_toolbox.*": "plugins/toolbox/tests/test_plugin.py",
    # Folders, signals, progress and state of simulations, which tests see at work.
    "equipot_simulate._*": "plugins/simulate/tests/test_md.py",
    # Every check of the kit is tested by the broken toys that it must catch.
    "equipot_testing._*": "plugins/testing/tests/test_catch_matrix.py",
}
"""Which file tests the modules that match a pattern."""


figures = load_script("tools/figures.py")


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
    """Whether a test file is named after a module, the beginning of its name, or its folder."""
    source = next(folder for folder in path.parents if folder.name == "src")
    *folders, name = (part.strip("_") for part in path.relative_to(source).with_suffix("").parts[1:])
    words, tests = name.split("_"), source.parent / "tests"
    names = [[*folders, f"test_{'_'.join(words[:number])}.py"] for number in range(1, len(words) + 1)]
    if folders:
        names.append([*folders[:-1], f"test_{folders[-1]}.py"])
    return any(tests.joinpath(*parts).is_file() for parts in names)


def untested():
    """Modules without a test file of their name that no test file imports from."""
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
    assert fnmatch.filter(UNTESTED, pattern), "no module needs this entry any more: remove it"
    assert (ROOT / ELSEWHERE[pattern]).is_file()
