"""What reaches a command: Hydra's arguments as they were typed, and options with several values."""

import os

import click
import pytest

from equipot._cli.common import run
from equipot._cli.config_arguments import PASS_UNKNOWN, config_arguments, split_arguments
from equipot.commands import Command, SeveralValues


@pytest.fixture
def split():
    """What a command with a config gets of a line."""
    got = []

    @click.command(context_settings=PASS_UNKNOWN)
    @config_arguments
    @click.option("--output")
    @click.pass_context
    def command(context, *, arguments, allow_target, output):
        got.append((*split_arguments(context, arguments), output, allow_target))

    def call(*words):
        return got.pop() if run(command, "equipot train", words) == 0 else None

    return call


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["c.yaml", "a=1", "+b.c=2", "~d", "++e={f: 1}"], ("c.yaml", ["a=1", "+b.c=2", "~d", "++e={f: 1}"], [])),
        (["-m", "c.yaml", "a=1,2"], ("c.yaml", ["a=1,2"], ["-m"])),
        (["c.yaml", "a=1", "--multirun", "b=-1"], ("c.yaml", ["a=1", "b=-1"], ["--multirun"])),
        (["--cfg=job", "c.yaml", "-cd=/home", "--resolve"], ("c.yaml", [], ["--cfg=job", "-cd=/home", "--resolve"])),
        (["c.yaml", 'hydra.run.dir="a b"', "", "x='y z'"], ("c.yaml", ['hydra.run.dir="a b"', "x='y z'"], [])),
    ],
)
def test_arguments_of_hydra_arrive_unchanged_and_in_order(split, words, expected):
    assert split(*words) == (*expected, None, ())


def test_options_of_the_command_are_taken_anywhere(split, monkeypatch):
    monkeypatch.setenv("EQUIPOT_STRICT_PLUGINS", "")  # which is put back at the end
    words = ["--output", "o", "-m", "c.yaml", "--allow-target=x", "a=1", "--allow-target", "y", "--strict-plugins"]
    assert split(*words) == ("c.yaml", ["a=1"], ["-m"], "o", ("x", "y"))
    assert os.environ["EQUIPOT_STRICT_PLUGINS"] == "1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "error: equipot train: missing argument 'CONFIG.yaml [KEY=VALUE]...'\n"),
        (["-m"], "error: equipot train: missing argument 'CONFIG.yaml'\n"),
        (["c.yaml", "--outptu=x"], "error: --outptu=x: unknown option; did you mean '--output'?\n"),
    ],
)
def test_wrong_arguments(split, capsys, words, message):
    assert split(*words) is None
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a", "--names", "x", "y", "--flag"], ("x", "y")),
        (["--names", "x", "y=-1", "--", "a"], ("x", "y=-1")),
        (["--names=x", "a"], ("x",)),
        (["--names", "x", "--flag", "a", "--names", "y", "z"], ("x", "y", "z")),
        (["a"], ()),
    ],
)
def test_an_option_takes_all_values_up_to_the_next_option(words, expected):
    got = []

    @click.command(cls=Command)
    @click.argument("first")
    @click.option("--names", cls=SeveralValues)
    @click.option("--flag", is_flag=True)
    def command(*, first, names, flag):
        got.append((first, names))

    assert run(command, "equipot", words) == 0
    assert got == [("a", expected)]


def test_an_option_of_several_values_wants_one(capsys):
    command = Command("show", params=[SeveralValues(["--names"])])
    assert run(command, "equipot show", ["--names"]) == 2
    assert capsys.readouterr().err == "error: equipot show: option '--names' requires an argument\n"


def test_an_interrupt(capsys):
    def stop():
        raise KeyboardInterrupt

    assert run(click.Command("stop", callback=stop), "equipot stop", []) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"


def test_the_exit_code_of_a_command():
    assert run(click.Command("one", callback=lambda: 1), "equipot one", []) == 1


def test_a_group_of_a_plugin_without_a_command_shows_its_help(capsys):
    assert run(click.Group("tools"), "equipot tools", []) == 2
    assert capsys.readouterr().err.startswith("Usage: equipot tools")
