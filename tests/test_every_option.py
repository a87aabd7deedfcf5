"""Every option of every installed component is used in a config that is run, see ``examples/every_option``."""

import dataclasses
import inspect
from pathlib import Path

import pytest
import yaml

from equipot._cli.main import main
from equipot.config._components import components
from equipot.describe import describe_options
from equipot.plugins import plugins
from equipot.validation import options_of

ROOT = Path(__file__).resolve().parent.parent
COMPLETE = sorted((ROOT / "examples" / "every_option").glob("*.yaml"))
RUN = [*COMPLETE, *sorted((ROOT / "examples").glob("*.yaml")), ROOT / "examples/plugins/parts/config.yaml"]
"""Configs that this test, ``tests/test_docs.py`` and the tests of ``examples/plugins/parts`` run."""

GIVEN_LATER = {"optimizer": {"params"}, "scheduler": {"optimizer"}}
"""Options by kind of component that training fills in."""

FILE_NEEDED = {"equipot.model.ModelFromCheckpoint", "equipot.model.ModelFromPackage"}
"""What starts from a stored model; ``core/tests/artifacts/test_from_file.py`` runs it."""


def _set_options(value, found):
    """Collect what a config sets: path of the component to names of options."""
    if isinstance(value, list):
        for item in value:
            _set_options(item, found)
    if not isinstance(value, dict):
        return
    path = str(value["_target_"]) if "_target_" in value else None
    if "modifier" in value:
        path = f"equipot.modifiers.{value['modifier']}"
    if path is not None:
        found.setdefault(path, set()).update(value)
    for item in value.values():
        _set_options(item, found)


def _owner(target, name):
    """The class that defines a field first, so that one that many builders inherit needs to be set once only."""
    target = options_of(target)
    if not dataclasses.is_dataclass(target):
        return target
    return next(base for base in reversed(target.__mro__) if name in vars(base).get("__annotations__", {}))


KNOWN = {one.path: one for one in components()}
SET = {}
for _path in RUN:
    _set_options(yaml.safe_load(_path.read_text(encoding="utf-8")), SET)
COVERED = {
    (_owner(KNOWN[path].target, name), name)
    for path, names in SET.items()
    if path in KNOWN
    for name in names
    if name in inspect.signature(KNOWN[path].target).parameters
}


def _in_configs(component):
    """Whether the configs here name it: not what the tests' own plugins bring, nor hints for compilation.

    The toolbox's parts exclude each other; ``tests/test_toolbox_road.py`` trains with each in turn.
    """
    if component.origin.startswith(("equipot-invariant ", "equipot-toolbox ")) or component.path in FILE_NEEDED:
        return False
    if component.kind != "modifiers":
        return True
    return plugins().lookup("modifiers", component.path.rsplit(".", 1)[1]).entry.persistent


@pytest.mark.parametrize("path", [path for path, one in KNOWN.items() if _in_configs(one)])
def test_every_option_is_in_a_config_that_is_run(path):
    target, given = KNOWN[path].target, GIVEN_LATER.get(KNOWN[path].kind, set())
    names = [one.name for one in describe_options(target) if one.name not in given]
    missing = [name for name in names if (_owner(target, name), name) not in COVERED]
    assert missing == [], f"add these options of {path} to a config in examples/every_option"


@pytest.mark.parametrize("config", COMPLETE, ids=[path.stem for path in COMPLETE])
def test_each_is_valid(config, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["check", str(config)]) == 0, capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("config", COMPLETE, ids=[path.stem for path in COMPLETE])
def test_each_trains_two_steps(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    short = ["trainer.max_epochs=1", "+trainer.limit_train_batches=2", "+trainer.limit_val_batches=1"]
    quiet = ["+trainer.limit_test_batches=1", "+trainer.enable_progress_bar=false", "+trainer.logger=false"]
    code = main(["train", str(config), *short, *quiet, "--output", str(tmp_path)])
    assert code == 0, capsys.readouterr().err
    assert (tmp_path / "last.ckpt").is_file()
