import pytest
from click.testing import CliRunner
from equipot.plugins import plugins
from equipot_template.command import template_number

name = "template"


def test_the_command_has_a_help_text():
    shown = CliRunner().invoke(plugins().load("commands", name), ["--help"])
    assert shown.exit_code == 0
    assert "MODEL" in shown.output


def test_the_number_grows_with_the_density():
    assert template_number(3.0, 0.2) == pytest.approx(2 * template_number(3.0, 0.1))
