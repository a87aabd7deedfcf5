"""Options of commands that read files without a config, and the words of messages about them."""

import re
from pathlib import Path

import pytest

import equipot.data
from equipot._cli import convert, data
from equipot._cli import eval as evaluation
from equipot.commands import option_names
from equipot.data.arguments import DATA_NAMES, NAMES, data_of
from equipot.data.checks import CHECKS

COMMANDS = {evaluation.command: NAMES, data.check_command: DATA_NAMES, convert.command: DATA_NAMES}

ONLY_CONFIGS = {"mask_nan_labels", "per_type_energy_shifts"}
"""Options that no command has: messages say that they are options of configs."""

OF_CONFIGS = ("energy-offset", "shifts-contradict-isolated-atoms")
"""Checks of what a config gives: they are not made without one."""


def test_messages_name_options_that_their_command_has():
    """Commands have what they say they have, and everything that any message of the data package may name."""
    for one, names in COMMANDS.items():
        options = {name for parameter in one.params for name in parameter.opts}
        assert set(names.values()) <= options, one.name
    sources = Path(equipot.data.__path__[0]).rglob("*.py")
    text = "".join(source.read_text() for source in sources if source.name != "_checks.py")
    named = set(re.findall(r"\b(?:setting|option)\(\"([a-z_.]+)\"", text.replace("'", '"'))) | {"data.unconverged"}
    assert named == {*DATA_NAMES, *ONLY_CONFIGS}, "a new one needs an option of the commands"


@pytest.mark.parametrize("code", CHECKS)
def test_advice_of_checks_is_in_the_words_of_the_command(code):
    """Without a config, nothing that only a config has is named as if it could be given."""
    with option_names(DATA_NAMES):
        advice = CHECKS[code].advice
    only = "|".join(ONLY_CONFIGS)
    assert not re.search(r"\bdata\.\w|\b(labels|units|species): |\b(in|of) labels\b", advice), advice
    assert not re.search(rf"\b({only})\b(?! \(in a config\))", advice) or code in OF_CONFIGS, advice


def test_options_as_a_data_section():
    nothing = {"labels": (), "units": None, "label_weights": (), "unconverged": None, "species": (), "ase_args": ()}
    assert data_of(None, **nothing).data_section() == {}
    given = {
        **nothing,
        "labels": ["total_energy=E", "stress=v:virial"],
        "units": "real",
        "label_weights": ["frame=w"],
        "unconverged": "drop",
        "species": ["D=H"],
        "ase_args": ["index=:5"],
    }
    section = data_of(None, **given).data_section()
    assert section == {
        "labels": {"total_energy": {"key": "E"}, "stress": {"key": "v", "convention": "virial"}},
        "units": "real",
        "weights": {"frame": "w"},
        "unconverged": "drop",
        "species": {"D": "H"},
        "ase_args": {"index": ":5"},
    }
    assert equipot.data.ASEDataModule(1, train_file_path="a.xyz", **section).units == "real", "it has such options"
