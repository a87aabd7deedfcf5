"""The table of presets."""

import importlib

import pytest

from equipot._cli._presets import common_options, preset_costs, preset_table
from equipot._cli.main import main
from equipot.model import presets_of

PRESETS = {"S": {"l_max": 1, "widths": [8, 4]}, "L": {"l_max": 2}}
COSTS = {
    "command": "measure",
    "presets": {"S": {"parameters": [1000, 1100, 1200, 1300], "training_step": 1.0, "energy_and_forces": 1.0}},
}


class Other:
    presets = PRESETS


def test_options_parameters_and_costs():
    assert preset_table(PRESETS, {}) == [("preset", "S", "L"), ("l_max", "1", "2"), ("widths", "8,4", "")]
    assert preset_table(PRESETS, COSTS)[3:] == [
        ("parameters, 1 element", "1 000", ""),
        ("parameters, 4 elements", "1 300", ""),
        ("time of a training step", "1 x", ""),
        ("time of energy, forces", "1 x", ""),
    ]


@pytest.mark.parametrize("name", ["PresetNequIPGNNModel", "PresetAllegroModel"])
def test_the_tables_of_the_builders_fit_on_a_terminal(capsys, name):
    assert main(["describe", name]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("preset  "))
    assert len(lines[first:]) > 10
    assert max(map(len, lines[first + 1 :])) <= 80


def test_options_that_are_the_same_everywhere_need_no_column():
    presets = {"S": {"l_max": 1, "parity": False}, "L": {"l_max": 2, "parity": False}}
    assert common_options(presets) == {"parity": "false"}
    assert preset_table(presets, {}) == [("preset", "S", "L"), ("l_max", "1", "2")]
    assert common_options({"S": {"l_max": 1}}) == {}


def test_a_class_without_measured_costs():
    assert presets_of(Other) == PRESETS
    assert presets_of(int) == {}
    assert preset_costs(Other) == {}


def test_a_class_in_a_plugin_of_one_file(tmp_path, monkeypatch):
    tmp_path.joinpath("one_file_with_presets.py").write_text("class Sized:\n    presets = {'S': {'l_max': 1}}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert preset_costs(importlib.import_module("one_file_with_presets").Sized) == {}
