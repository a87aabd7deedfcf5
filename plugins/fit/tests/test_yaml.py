"""Configs with comments read back as they were."""

import pytest
import yaml

from equipot_fit._yaml import WIDTH, commented

CONFIG = {
    "run": ["train", "val"],
    "data": {"file": "a: b # c.xyz", "labels": {"total_energy": "E", "stress": {"key": "v", "convention": "virial"}}},
    "trainer": {
        "max_epochs": -1,
        "nothing": None,
        "yes": True,
        "text": "null",
        "number": 1e-05,
        "empty": {},
        "list": [],
    },
    "training_module": {"model": {"scale": "${training_data_stats:forces_rms}", "words": ["x" * 60, "y" * 60]}},
    "Ångström": "quotes \" and ' and \n lines",
}


@pytest.mark.parametrize("compact", [True, False])
def test_reads_back(compact):
    assert yaml.safe_load(commented(CONFIG, {}, compact=compact)) == CONFIG


def test_reads_back_with_reasons_everywhere():
    reasons = {
        "run": "why: not?",
        "data": "# one",
        "data.labels.stress": "two words " * 30,
        "data.labels.stress.key": "x",
    }
    text = commented(CONFIG, reasons, title="first\nsecond")
    assert yaml.safe_load(text) == CONFIG
    lines = text.splitlines()
    assert lines[:4] == ["# first", "# second", "# why: not?", "run: [train, val]"]
    assert "      # x" in lines, "a mapping with a reason inside is not on one line"
    assert max(len(line) for line in lines if line.lstrip().startswith("#")) <= WIDTH


def test_reasons_of_what_is_not_there_are_left_out():
    assert "#" not in commented({"run": ["train"]}, {"data.labels": "why"})


@pytest.mark.parametrize("value", ["yes", "1.0", "~", "- a", "a\tb", "\x1b[31m", "${a}", "{b}"])
def test_strings_stay_strings(value):
    config = {"a": value, "b": [value, {"c": value}]}
    assert yaml.safe_load(commented(config, {"a": value.replace("\t", " ")})) == config


def test_compact_configs_have_reasons_above_braces():
    model = {
        "_target_": "a.Model",
        "r_max": 4.0,
        "deep": {"p": 1, "q": "some words " * 9},
        **dict.fromkeys("abcdefgh", 12345),
    }
    config = {"trainer": {"max_epochs": 3}, "training_module": {"model": model, "loss": {"coeffs": {"x": 1.0}}}}
    reasons = {"training_module.model.r_max": "near", "training_module.model.deep.p": "one"}
    text = commented(config, reasons, compact=True)
    assert yaml.safe_load(text) == config
    lines = text.splitlines()
    assert lines[:5] == [
        "trainer: {max_epochs: 3}",
        "training_module:",
        "  # r_max: near",
        "  # deep.p: one",
        lines[4],
    ]
    assert lines[4].startswith("  model: {_target_: a.Model, r_max: 4.0")
    assert lines[-1] == "  loss: {coeffs: {x: 1.0}}"
    assert len(lines) <= 9
    assert max(map(len, lines)) <= 120


def test_what_takes_many_lines_in_braces_has_a_line_each():
    config = {"data": {"files": {f"name {index}": "x" * 60 for index in range(9)}}}
    text = commented(config, {"data.files.name 3": "why"}, compact=True)
    assert yaml.safe_load(text) == config
    assert "    # why" in text.splitlines()
