"""Other commands, called in this process."""

import pytest

from equipot.errors import ConfigError
from equipot_fit._commands import call, say


def test_a_command_runs_as_if_it_were_typed(capsys):
    assert call("describe", "equipot_fit.WarmupDecay") == 0
    assert "warmup_steps" in capsys.readouterr().out


def test_its_errors_are_raised(tmp_path):
    with pytest.raises(ConfigError, match="no such config file"):
        call("train", str(tmp_path / "no.yaml"))


def test_control_characters_of_names_are_shown(capsys):
    say("run\x1b[31m: done")
    assert capsys.readouterr().out == "run\\x1b[31m: done\n"
