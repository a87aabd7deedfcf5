"""Valid configs with something changed at random: the check ends with a ConfigError or without, and nothing else."""

import copy
import random

import pytest
import yaml
from omegaconf import OmegaConf

from equipot.config._check import check_config
from equipot.config._load import compose
from equipot.containers import nodes
from equipot.errors import ConfigError
from equipot_test_support import ROOT

NESTED: list = [1]
for _ in range(40):
    NESTED = [NESTED]

VALUES = [
    None, True, False, 0, 1, -1, 2**62, 2**63, 10**30,
    -(2**63), 0.5, float("nan"), float("inf"), 1e300, "", "x", "None",
    "../x", "\x00", "\U0001d535" * 50, "1", [], [None], [[]], ["a", 1], {}, {"a": None}, {"_target_": None},
    {"_target_": 3},
    {"_target_": "os.system"}, {"_target_": "equipot.data"}, {"_target_": "equipot.train.EnergyForceLoss"},
    {"_target_": "lightning.pytorch.callbacks.EarlyStopping"}, {"_target_": "torch.optim.Adam"},
    {"_partial_": 1}, NESTED,
    "${nowhere}", "${oc.env:NOT_SET_ANYWHERE}", "${int_div:1,0}", "${training_data_stats:nothing}", "???",
    "${training_data_stats:per_atom_energy_mean}", "${chemical_symbols}", "${data}",
    "${training_module.model}", "${.x}",
    "${oc.decode:'[['}", "${oc.create:'a: ['}", "${concat_lists:1,2}", "${list_to_constant_dict:1}", "${x", "${now:%Y}",
]  # fmt: skip
"""What replaces a value: other types, numbers beyond all bounds, interpolations to nowhere."""

EXAMPLES = ("water", "ethanol_energy_only", "ethanol_allegro")


def mutated(config, rng):
    """A copy with one to three values replaced, removed or added, and what was done."""
    changed, done = copy.deepcopy(config), []
    for _ in range(rng.randint(1, 3)):
        places = [(path, value) for path, value in nodes(changed) if isinstance(value, (dict, list)) and value]
        path, container = rng.choice(places)
        key = rng.choice(list(container) if isinstance(container, dict) else range(len(container)))
        kind = rng.choice(("replace", "replace", "replace", "remove", "add", "wrap"))
        value = copy.deepcopy(rng.choice(VALUES))
        if kind == "remove":
            del container[key]
        elif kind == "add" and isinstance(container, dict):
            container[rng.choice(("x", "_partial_", "_args_", "self", "target", "seed", "model", "", "a.b"))] = value
        else:
            container[key] = [container[key]] if kind == "wrap" else value
        done.append((kind, path, key, value))
    return changed, done


def check(tmp_path, config):
    """Check a config as the command does."""
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    try:
        composed, hydra = compose(tmp_path / "c.yaml")
        check_config(composed, hydra=hydra)
    except ConfigError as error:
        assert 0 < len(str(error)) < 50_000  # noqa: PT017 - the other way out is right too


def run(tmp_path, name, numbers):
    config = yaml.safe_load((ROOT / f"examples/{name}.yaml").read_text(encoding="utf-8"))
    check_config(OmegaConf.create(config))
    for number in numbers:
        changed, done = mutated(config, random.Random(f"{name} {number}"))
        try:
            check(tmp_path, changed)
        except Exception as error:
            raise AssertionError(f"{name} {number}: {done}") from error


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_few_mutations(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    run(tmp_path, name, range(3))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", EXAMPLES)
def test_many_mutations(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    run(tmp_path, name, range(3, 80))
