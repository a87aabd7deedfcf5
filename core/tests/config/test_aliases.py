"""Configs of another program: what a plugin declares is translated before anything is checked."""

import sys
import types

import pytest
from omegaconf import OmegaConf

from equipot._host.declaration import Declaration
from equipot.config import _aliases as aliases
from equipot.config._check import check_config
from equipot.config._load import compose
from equipot.config._resolve import resolve_phase1
from equipot.config._targets import TargetError, resolve_target
from equipot.declarations import TargetAliasEntry
from equipot.errors import ConfigError, problem

EMA = TargetAliasEntry(
    name="other.train.EMA", target="equipot.train.EMALightningModule", summary="Averages", options="other_names.ema"
)
SGD = TargetAliasEntry(name="other.optim.SGD", target="torch.optim.SGD", summary="The same options")
NONE = TargetAliasEntry(name="other.train.Magic", instead="use equipot.train.EnergyForceLoss", summary="Magic")
SETTINGS = TargetAliasEntry(name="settings", form="section", options="other_names.settings", summary="Switches")
RESUME = TargetAliasEntry(name="resume_from", form="section", instead="say --resume", summary="Goes on")
TWICE = TargetAliasEntry(name="twice", form="resolver", target="other_names.twice", summary="Doubles")
GONE = TargetAliasEntry(name="thrice", form="resolver", instead="multiply yourself", summary="Triples")


class Host:
    """A host with one plugin that declares the entries above."""

    def available(self, kind):
        entries = [EMA, SGD, NONE, SETTINGS, RESUME, TWICE, GONE] if kind == "target_aliases" else []
        return [Declaration(kind, entry, "other", "equipot-from-other", "1.0") for entry in entries]

    def ambiguous(self):
        owners = [Declaration("target_aliases", EMA, name, f"equipot-{name}", "1.0") for name in ("a", "b")]
        return {"target_aliases.other.Double": owners}

    def install_hint(self, kind, name):
        return "pip install equipot-from-elsewhere" if (kind, name) == ("target_roots", "elsewhere") else ""


def ema(options):
    assert options["_target_"] == "other.train.EMA"
    if "decay" not in options:
        raise ConfigError([problem("decay", "is missing")])
    if options["decay"] == 0:
        return {"_target_": "other.optim.SGD", "lr": 0.5}
    return {"ema_decay": options["decay"], "optimizer": options["optimizer"]}


def settings(options):
    if options.get("broken"):
        raise IndexError("nothing there")
    if options.get("fast"):
        raise ConfigError(problem("fast", "has no counterpart", got=options["fast"]))
    return options


@pytest.fixture(autouse=True)
def host(monkeypatch):
    module = types.ModuleType("other_names")
    module.ema, module.settings, module.twice = ema, settings, lambda x: 2 * x
    monkeypatch.setitem(sys.modules, "other_names", module)
    monkeypatch.setattr(aliases, "plugins", Host)


def translated(config):
    found, problems = aliases.translate(OmegaConf.create(config))
    return OmegaConf.to_container(found, resolve=False), problems


def test_names_and_options_are_translated_at_every_depth_and_interpolations_are_kept():
    config = {
        "d": 0.9,
        "settings": {"fast": False},
        "module": {
            "_target_": "other.train.EMA",
            "decay": "${d}",
            "optimizer": [{"_target_": "other.optim.SGD", "_partial_": True, "lr": "${training_data_stats:x}"}],
        },
    }
    found, problems = translated(config)
    assert problems == []
    assert found == {
        "d": 0.9,
        "module": {
            "_target_": "equipot.train.EMALightningModule",
            "ema_decay": "${d}",
            "optimizer": [{"_target_": "torch.optim.SGD", "_partial_": True, "lr": "${training_data_stats:x}"}],
        },
    }


def test_a_function_may_choose_another_target_which_is_translated_too():
    assert translated({"a": {"_target_": "other.train.EMA", "decay": 0}}) == (
        {"a": {"_target_": "torch.optim.SGD", "lr": 0.5}},
        [],
    )


def test_variables_that_nothing_uses_go_from_foreign_configs():
    config = {
        "run": ["train"],
        "radius": 5.0,
        "also": "${radius}",
        "rate": 0.1,
        "odd": 1,
        "data": {"_target_": "other.train.EMA", "decay": 0, "x": "${also}"},
        "trainer": {"_target_": "other.optim.SGD", "lr": "${rate}"},
    }
    assert set(translated(config)[0]) == {"run", "rate", "data", "trainer"}
    assert translated({"odd": 1, "data": {"_target_": "torch.optim.SGD"}})[0].keys() == {"odd", "data"}


def test_a_config_without_foreign_names_is_returned_as_it_is():
    config = OmegaConf.create({"a": {"_target_": "torch.optim.SGD", "lr": "???"}})
    assert aliases.translate(config)[0] is config


def test_every_problem_is_reported_with_its_place():
    config = {
        "settings": {"fast": True},
        "resume_from": "last.ckpt",
        "module": {"_target_": "other.train.EMA"},
        "losses": [{"_target_": "other.train.Magic", "x": 1}],
        "both": {"_target_": "other.Double"},
    }
    _, problems = translated(config)
    assert problems == [
        "settings.fast: has no counterpart, got True",
        "resume_from: has no counterpart, got 'last.ckpt'; say --resume",
        "module.decay: is missing",
        "losses.0._target_: has no counterpart, got 'other.train.Magic'; use equipot.train.EnergyForceLoss",
        "both._target_: is translated by equipot-a and equipot-b, got 'other.Double'; keep one",
    ]


def test_a_function_that_fails_is_a_problem_of_the_config():
    _, problems = translated({"settings": {"broken": True}})
    (text,) = problems
    assert text.startswith("settings: cannot be translated (other_names.settings: IndexError: nothing there); ")
    assert text.endswith("write it with names of equipot instead of settings")


def test_problems_of_the_translation_are_reported_alone():
    """What is left of such a config would give more problems, none of them the user's."""
    with pytest.raises(ConfigError) as caught:
        check_config(OmegaConf.create({"data": {"_target_": "other.train.Magic"}, "nonsense": 1}))
    assert caught.value.problems == [
        "data._target_: has no counterpart, got 'other.train.Magic'; use equipot.train.EnergyForceLoss"
    ]


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("other.train.EMAA", "did you mean 'other.train.EMA'?"),
        ("other.train.EMA", "write equipot.train.EMALightningModule"),
        ("other.train.Magic", "use equipot.train.EnergyForceLoss"),
        ("other.something_else_altogether", "no counterpart of this part of other is known"),
        ("elsewhere.Model", "pip install equipot-from-elsewhere"),
    ],
)
def test_a_foreign_target_without_alias_says_what_to_do(path, hint):
    with pytest.raises(TargetError) as caught:
        resolve_target(path, "model")
    assert str(caught.value).endswith(f"got {path!r}; {hint}")


def test_an_alias_gives_no_right(monkeypatch):
    """What an alias stands for is checked like any target."""
    hostile = TargetAliasEntry(name="other.run", target="os.system", summary="Runs")
    monkeypatch.setattr(Host, "available", lambda _, kind: [Declaration(kind, hostile, "other", "x", "1")])
    found, _ = translated({"a": {"_target_": "other.run", "command": "true"}})
    with pytest.raises(TargetError, match="not on the list of allowed targets, got 'os.system'"):
        resolve_target(found["a"]["_target_"], "a")


def test_declared_resolvers_work_and_missing_ones_say_what_to_use(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("a: ${twice:3}\nb: ${thrice:3}\n", encoding="utf-8")
    resolved, problems = resolve_phase1(compose(file)[0])
    assert resolved["a"] == 6
    assert len(problems) == 1
    assert problems[0].startswith("b: ")
    assert "multiply yourself" in problems[0]
