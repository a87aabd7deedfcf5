"""The command line: help, tables, descriptions, and the installed commands as processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from equipot import __version__
from equipot._cli.main import COMMANDS, main
from equipot._host.declaration import Declaration
from equipot.declarations import CommandEntry
from equipot.plugins import PluginHost

BIN = Path(sys.executable).parent


def process(*arguments, **options):
    return subprocess.run(arguments, capture_output=True, text=True, check=False, **options)


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    output = capsys.readouterr().out
    assert all(f"  {name}" in output and summary in output for name, (_, summary) in COMMANDS.items())


def test_no_command_shows_the_help(capsys):
    assert main([]) == 0
    assert "commands:" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"equipot {__version__}\n"


def test_unknown_command(capsys):
    assert main(["trian"]) == 2
    assert capsys.readouterr().err == "error: equipot: unknown command, got 'trian'; did you mean 'train'?\n"


def test_unknown_option_of_a_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["plugins", "--jsn"])
    assert stop.value.code == 2
    assert "unrecognized arguments: --jsn" in capsys.readouterr().err


def test_a_command_that_cannot_be_imported_does_not_stop_the_others(monkeypatch, capsys):
    monkeypatch.setitem(COMMANDS, "broken", ("equipot._cli.not_there", "broken"))
    assert main(["broken"]) == 2
    assert capsys.readouterr().err.startswith("error: equipot broken: cannot be loaded: No module named")


def a_host_with(*commands):
    """A host whose only plugin declares these commands."""
    declared = [Declaration("commands", command, "more", "equipot-more", "1.0") for command in commands]

    class Host(PluginHost):
        def _load_all(self):
            for one in declared:
                self._declared["commands"][one.entry.name] = [one]

    return Host


def test_a_command_of_a_plugin_runs_and_is_in_the_help(monkeypatch, capsys):
    entry = CommandEntry(name="list-all", target="equipot._cli.plugins", summary="Everything")
    host = a_host_with(entry)()
    monkeypatch.setattr("equipot.plugins.plugins", lambda: host)
    monkeypatch.setattr("equipot._cli.common.show_plugin_warnings", lambda: None)
    assert main(["list-all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main([]) == 0
    assert "  list-all    Everything\n" in capsys.readouterr().out
    assert main(["list-al"]) == 2
    assert "did you mean 'list-all'?" in capsys.readouterr().err


def test_a_command_of_a_missing_plugin_says_what_to_install(monkeypatch, capsys):
    host = a_host_with()()
    monkeypatch.setattr("equipot.plugins.plugins", lambda: host)
    assert main(["import-nequip", "model.ckpt", "out.equipot.zip"]) == 2
    message = "error: equipot: no command named 'import-nequip'; installed: []; pip install equipot-from-nequip\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("name", ["train", "check", "plugins", "describe", "schema"])
def test_help_of_commands(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    output = capsys.readouterr().out
    assert output.startswith(f"usage: equipot {name}")
    assert "--no-plugins" in output


def test_plugins_as_json(capsys):
    assert main(["plugins", "--json"]) == 0
    listed = {one["id"]: one for one in json.loads(capsys.readouterr().out)}
    assert list(listed["zbl"]) == ["id", "distribution", "version", "api", "declares", "state", "error", "notes"]
    assert listed["zbl"]["declares"] == {"pair_potentials": ["ZBL"]}
    assert listed["core"]["state"] == "ok"


def test_plugins_as_table(capsys):
    assert main(["plugins"]) == 0
    output = capsys.readouterr().out
    assert "equipot-zbl" in output
    assert "pair potentials: ZBL" in output


def test_describe(capsys):
    assert main(["describe", "ZBL"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("equipot.pair_potentials.ZBL  (equipot-zbl ")
    assert "polynomial_cutoff_p" in output
    assert "required" in output
    assert main(["describe", "EMALightningModule"]) == 0
    assert "Largest decay" in capsys.readouterr().out


def test_describe_what_is_not_there(capsys):
    assert main(["describe", "ZBLL"]) == 2
    assert capsys.readouterr().err == "error: ZBLL: unknown component; did you mean 'ZBL'?\n"


def test_schema_of_one_component(capsys):
    assert main(["schema", "ZBL"]) == 0
    assert "units" in json.loads(capsys.readouterr().out)["properties"]


def test_help_and_listing_import_no_torch():
    script = (
        "import sys; from equipot._cli.main import main\n"
        "code = main(['plugins', '--json'])\n"
        "assert code == 0 and not {'torch', 'e3nn', 'lightning', 'hydra'} & sys.modules.keys(), sys.modules.keys()"
    )
    done = process(sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr


def test_plugin_switches():
    done = process(BIN / "equipot", "--no-plugins", "plugins", "--json")
    assert {one["id"]: one["state"] for one in json.loads(done.stdout)}["zbl"] == "disabled"
    done = process(BIN / "equipot", "plugins", "--json", "--plugins", "zbl")
    states = {one["id"]: one["state"] for one in json.loads(done.stdout)}
    assert (states["zbl"], states["invariant"], states["core"]) == ("ok", "disabled", "ok")


def test_installed_train_command_reports_and_exits_with_two(folder):
    done = process(BIN / "equipot-train", "config.yaml", "+data.sed=1", "chemical_symbols=[H,C]")
    assert done.returncode == 2
    assert done.stderr == "error: data.sed: unknown option; did you mean 'seed'?\n"
    assert done.stdout == ""


@pytest.mark.slow
def test_installed_check_command_without_plugins(folder):
    done = process(BIN / "equipot", "check", "config.yaml", "--no-plugins")
    assert done.returncode == 2
    first = done.stderr.splitlines()[0]
    assert first.startswith(
        "error: training_module.model._target_: no model builder named 'InvariantModel'; installed: ["
    )
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------------ completion


def completions(line, tmp_path, program="equipot"):
    """What the shell would be told could come next."""
    answer = tmp_path / "answer"
    settings = {
        "_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": " ",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
    }  # fmt: skip
    done = process(BIN / program, env={**os.environ, **settings})
    assert done.returncode == 0, done.stderr
    return answer.read_text().split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("equipot pl", {"plugins"}),
        ("equipot plugins i", {"info"}),
        ("equipot plugins info z", {"zbl"}),
        ("equipot plugins new a --kind m", {"model-builder", "modifier"}),
        ("equipot describe Z", {"ZBL"}),
        ("equipot train --o", {"--output", "--overwrite"}),
    ],
)
def test_completion(line, expected, tmp_path):
    assert set(completions(line, tmp_path)) == expected


def test_completion_of_the_short_commands(tmp_path):
    line = "equipot-package ver"
    assert completions(line, tmp_path, "equipot-package") == ["verify"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in ("equipot", "equipot-train", "equipot-compile", "equipot-package"))


def test_bash_takes_the_script():
    done = process("bash", "-c", f'eval "$({BIN}/equipot completion bash)" && complete -p equipot-train')
    assert done.returncode == 0, done.stderr
    assert "_python_argcomplete equipot-train" in done.stdout
