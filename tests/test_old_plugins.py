"""Plugins of other times: the wheels of ``tests/old_plugins`` load, or are refused unimported with the right words."""

import sys
import zipfile
from pathlib import Path

import pytest
import torch

from equipot import __version__
from equipot.plugins import PluginHost
from equipot_test_support.scripts import load_script
from equipot_testing.conformance import PairPotentialConformance
from equipot_testing.run import run_checks

FOLDER = Path(__file__).parent / "old_plugins"
WHEELS = {path.name.split("-")[0].removeprefix("equipot_fixture_"): path for path in FOLDER.glob("*.whl")}

REFUSED = {
    "before": (
        f"needs plugin API 0, this is equipot {__version__} with API 1; pip install --upgrade equipot-fixture-before"
    ),
    "after": f"needs plugin API 2, this is equipot {__version__} with API 1; pip install --upgrade equipot",
    "capped": (
        f"needs equipot<0.1,>=0.0.1, this is {__version__}; "
        "pip install --upgrade equipot-fixture-capped, or pip install 'equipot<0.1,>=0.0.1'"
    ),
    "eager": f"needs equipot>=900, this is {__version__}; pip install 'equipot>=900'",
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """All wheels unpacked on the path, which is all that installing a pure wheel is."""
    for path in WHEELS.values():
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("equipot_fixture_")]:
        del sys.modules[name]


def test_the_wheels_are_what_the_script_makes(tmp_path):
    make = load_script("tests/old_plugins/make.py")
    made = {path.name: path.read_bytes() for path in make.write(tmp_path)}
    assert made == {path.name: path.read_bytes() for path in WHEELS.values()}
    assert max(map(len, made.values())) < 5000


def test_each_loads_or_is_refused_unimported(installed):
    host = PluginHost()
    records = {one.id.removeprefix("fixture_"): one for one in host.records if one.id.startswith("fixture_")}
    assert records.keys() == WHEELS.keys()
    for name, error in REFUSED.items():
        assert (records[name].state, records[name].error) == ("refused", error)
        assert f"equipot_fixture_{name}" not in sys.modules
    for name in WHEELS.keys() - REFUSED.keys():
        assert (records[name].state, records[name].error, records[name].api) == ("ok", None, "1")
        assert records[name].notes == []
    assert "equipot_fixture_both.plugin_v2" not in sys.modules
    assert {"MorseAt", "MorseBoth"} <= set(host.names("pair_potentials"))


def test_a_plugin_of_the_first_version_gives_the_same_numbers(installed):
    potential = PluginHost().load("pair_potentials", "MorseAt")(depth=0.7)
    kit = type("Kit", (PairPotentialConformance,), {"target": type(potential)})
    energy = potential.build_pair_energy(kit().context())
    r = torch.tensor([1.0, 1.6, 3.0], dtype=torch.float64)
    types = torch.zeros(3, dtype=torch.int64)
    expected = [-0.22688447463112912, -0.7, -0.30266870568059645]  # 0.7 ((1 - exp(1.6 - r))^2 - 1)
    assert energy(r, types, types).tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
def test_a_plugin_of_the_first_version_keeps_todays_laws(installed):
    potential = PluginHost().load("pair_potentials", "MorseAt")
    outcomes = run_checks(type("Kit", (PairPotentialConformance,), {"target": potential}))
    assert sum(one.state == "passed" for one in outcomes) > 10
    assert [(one.check.name, one.message) for one in outcomes if one.broken] == []
