"""Configs can name what plugins declare, and nothing else of their packages: tried for every name of every module."""

import importlib
import inspect
import pkgutil
import re
import sys

import pytest
import yaml

from equipot._cli.main import main
from equipot.config._targets import FOREIGN, TargetError, find_declared, resolve_target
from equipot.plugins import plugins
from equipot_test_support.audit import started

PACKAGES = sorted({"equipot", *plugins().packages()})


def modules_of(package):
    """Every module of a package that can be imported; main programs would run."""
    root = importlib.import_module(package)
    names = [info.name for info in pkgutil.walk_packages(root.__path__, f"{package}.")]
    return [root, *(importlib.import_module(name) for name in names if not name.endswith("__main__"))]


def names_of(module):
    """Its names, those that it exports lazily included."""
    return sorted({*vars(module), *getattr(module, "__all__", ())})


def resolved(target):
    try:
        return resolve_target(target, "somewhere")
    except TargetError:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_only_declared_classes_of_a_package_resolve(package):
    tried, refused = 0, 0
    for module in modules_of(package):
        for name in names_of(module):
            target = f"{module.__name__}.{name}"
            found = resolved(target)
            tried, refused = tried + 1, refused + (found is None)
            if found is None:
                continue
            declared = find_declared(target)
            assert declared is not None
            if package != "equipot":
                assert target == declared.entry.target
            assert inspect.isclass(found) or declared.kind == "modifiers"
            assert found is plugins().load(declared.kind, declared.entry.name)
    declared = [one for one in plugins().names("parts") if one.startswith(f"{package}.")]
    assert refused >= tried - refused, "most names are no components"
    assert all(resolved(one) is not None for one in declared)


@pytest.mark.parametrize("package", sorted({root for path in FOREIGN.values() for root in [path.split(".")[0]]}))
def test_no_function_of_another_package_resolves(package):
    """At its top and in the modules on the list; a module of torch may have thousands of names."""
    modules = [sys.modules[name] for name in sorted(sys.modules) if name in (package, *FOREIGN.values())]
    modules = [one for one in modules if one.__name__.startswith(package)]
    assert modules
    for module in modules:
        for name in names_of(module):
            found = resolved(f"{module.__name__}.{name}")
            assert found is None or inspect.isclass(found), name


# What ran code on 2026-11-29: functions of plugins' packages, some in ``check`` already, which then said ok.
HOSTILE = """
- trainer: {callbacks: [{_target_: equipot_kernels._build.toolchain._version, command: [sh, -c, touch hacked]}]}
- trainer: {callbacks: [{_target_: equipot_kernels._build.toolchain.version, command: [sh, -c, touch hacked]}]}
- data: {transforms: [{_target_: equipot_kernels._build.cache.load, name: x, source: "int x;"}]}
- trainer: {callbacks: [{_target_: equipot_toolbox.write_lmdb, path: hacked, frames: []}]}
- trainer: {callbacks: [{_target_: equipot_toolbox.convert.main, arguments: [water.extxyz, hacked]}]}
- trainer: {logger: {_target_: equipot_testing.run.run_checks, kit: x}}
- training_module: {loss: {_target_: equipot_from_nequip._rewrite.rewrite, source: config.yaml, output: hacked}}
- training_module: {loss: {_target_: equipot.files.write_json, path: hacked, data: {}}}
- training_module: {optimizer: {_target_: equipot_kernels._prebuild.main}}
- training_module: {optimizer: {param_groups: {_target_: equipot_zbl.zbl_energy}}}
- training_module: {model: {pair_potential: {_target_: equipot_zbl._potential.ZBLPairEnergy}}}
- training_module: {model: {energy_terms: {x: {_target_: equipot_testing.toy.ToyModel}}}}
- data: {stats_manager: {_target_: equipot_testing.conformance.PairPotentialConformance}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check", "train"])
@pytest.mark.parametrize(
    "over", yaml.safe_load(HOSTILE), ids=lambda one: re.findall(r"_target_': '(.*?)'", str(one))[0]
)
def test_functions_of_plugin_packages_are_refused(folder, over, command, capfd):
    (section, options), *_ = over.items()
    config = yaml.safe_load((folder.path / "config.yaml").read_text(encoding="utf-8"))
    merged = merge(config[section], options)
    (folder.path / "hostile.yaml").write_text(yaml.safe_dump({**config, section: merged}), encoding="utf-8")
    before = sorted(path.name for path in folder.path.iterdir())
    with started() as seen:
        assert main([command, "hostile.yaml"]) == 2
    assert seen == []
    assert "is not declared by plugin" in (said := capfd.readouterr().err) or "is not a public name" in said
    assert sorted(path.name for path in folder.path.iterdir()) == before


def merge(old, new):
    if not (isinstance(old, dict) and isinstance(new, dict)) or "_target_" in new:
        return new
    return {**old, **{key: merge(old.get(key), value) for key, value in new.items()}}
