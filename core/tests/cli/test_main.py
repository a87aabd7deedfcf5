"""The command line: help, tables, descriptions, and the installed commands as processes of their own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from equipot import __version__
from equipot._builtin import equipot_commands
from equipot._cli.common import print_error, print_table
from equipot._cli.main import main
from equipot._host.declaration import Declaration
from equipot.declarations import CommandEntry
from equipot.errors import ConfigError
from equipot.plugins import PluginHost

BIN = Path(sys.executable).parent


def process(*arguments, **options):
    return subprocess.run(arguments, capture_output=True, text=True, check=False, **options)


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    own = [entry for entry in equipot_commands() if " " not in entry.name]
    assert all(f"  {entry.name}" in output and entry.summary in output for entry in own)


def test_no_command_shows_the_help(capsys):
    assert main([]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"equipot {__version__}\n"


def test_unknown_command(capsys):
    assert main(["trian"]) == 2
    assert capsys.readouterr().err == "error: equipot: unknown command, got 'trian'; did you mean 'train'?\n"


def test_what_a_stranger_wrote_is_shown_and_not_obeyed(capsys):
    main(["inspect", "\x1b[2J\u202ex.ckpt"])
    print_table([["\x1b]0;title\x07", "½ Å³"]])
    print_error(ConfigError(["y" * 100_000] * 1000))
    captured = capsys.readouterr()
    assert "\\x1b[2J\\u202ex.ckpt: there is no such file" in captured.err
    assert captured.out == "\\x1b]0;title\\x07  ½ Å³\n"
    assert captured.err.endswith("1000 errors\n")
    assert "yy … (100000 characters) … yy" in captured.err
    assert len(captured.err) < 500_000


def test_unknown_option_of_a_command(capsys):
    assert main(["plugins", "--jsn"]) == 2
    assert re.fullmatch(  # newer releases of click quote the names
        "error: equipot plugins: no such option:? '?--jsn'?[.]? Did you mean '?--json'?[?]\n", capsys.readouterr().err
    )


def a_host_with(*commands):
    """A host whose only plugin declares these commands."""
    declared = [Declaration("commands", command, "more", "equipot-more", "1.0") for command in commands]

    class Host(PluginHost):
        def _load_all(self):
            for one in declared:
                self._declared["commands"][one.entry.name] = [one]

    return Host


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("equipot._cli.not_there.command", "cannot import 'equipot._cli.not_there.command' of command 'broken': "),
        (
            "equipot._cli.check.split_arguments",
            "the target of command 'broken', must be a click.Command, got function",
        ),
    ],
)
def test_a_command_that_cannot_be_imported_does_not_stop_the_others(target, message, monkeypatch, capsys):
    host = a_host_with(CommandEntry(name="broken", target=target, summary="Broken"))()
    monkeypatch.setattr("equipot._cli.main.plugins", lambda: host)
    monkeypatch.setattr("equipot._cli.common.show_plugin_warnings", lambda: None)
    assert main(["broken"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert main(["--help"]) == 0
    assert "  broken  Broken\n" in capsys.readouterr().out


def test_a_command_of_a_plugin_runs_and_is_in_the_help(monkeypatch, capsys):
    entry = CommandEntry(name="list-all", target="equipot._cli.plugins.list_command", summary="Everything")
    host = a_host_with(entry)()
    monkeypatch.setattr("equipot._cli.plugins.plugins", lambda: host)
    monkeypatch.setattr("equipot._cli.main.plugins", lambda: host)
    monkeypatch.setattr("equipot._cli.common.show_plugin_warnings", lambda: None)
    assert main(["list-all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main([]) == 0
    assert "  list-all  Everything\n" in capsys.readouterr().out
    assert main(["list-al"]) == 2
    assert "did you mean 'list-all'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["import-nequip", "model.ckpt"],
            "equipot: unknown command, got 'import-nequip'; pip install equipot-from-nequip",
        ),
        (["plugins", "new"], "equipot plugins: unknown command, got 'new'; pip install equipot-testing"),
        (["plugins", "check"], "equipot plugins: unknown command, got 'check'; pip install equipot-testing"),
    ],
)
def test_a_command_of_a_missing_plugin_says_what_to_install(words, message, monkeypatch, capsys):
    host = a_host_with(*(entry for entry in equipot_commands() if entry.name == "plugins"))()
    monkeypatch.setattr("equipot._cli.main.plugins", lambda: host)
    assert main(words) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize("name", ["train", "check", "plugins", "describe", "schema"])
def test_help_of_commands(name, capsys):
    for flag in ("--help", "-h"):
        assert main([name, flag]) == 0
        output = capsys.readouterr().out
        assert output.startswith(f"Usage: equipot {name}")
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


def test_describe_says_what_the_features_of_a_builder_hold(capsys):
    assert main(["describe", "InvariantModel"]) == 0
    assert "\nnode features: squashed sums over neighbours\n" in capsys.readouterr().out


def test_describe_a_field(capsys):
    assert main(["describe", "forces"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("forces  (equipot ")
    for line in ("-dE/d(positions)", "float64 in eV/Å", "irreps              1o", "data.labels: {forces: KEY}"):
        assert line in out


def test_describe_an_engine(capsys):
    assert main(["describe", "ase"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ase  (equipot ")
    assert "use                        equipot compile MODEL OUT.equipot.pt2 --target ase" in lines
    assert "gives the inputs           total_charge, spin_multiplicity" in lines


def test_describe_lists_everything_without_importing_it(capsys):
    assert main(["describe"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["kind", "name", "distribution", "summary"]
    words = [line.split() for line in lines]
    assert ["callback", "equipot_toolbox.SoftAdapt", "equipot-toolbox"] in [line[:3] for line in words]
    assert ["pair", "potential", "equipot.pair_potentials.ZBL"] in [line[:3] for line in words]
    assert ["export", "target", "ase", "equipot"] in [line[:4] for line in words]
    code = "import sys; from equipot._cli.main import main; main(['describe']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_plugins_info_lists_parts_with_their_kinds(capsys):
    assert main(["plugins", "info", "toolbox"]) == 0
    out = capsys.readouterr().out
    assert "\nparts:\n" in out
    assert re.search(r"^  equipot_toolbox\.SoftAdapt: .* \(callback\)$", out, re.MULTILINE)
    assert main(["plugins", "info", "toolbox", "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    part = facts["declares"]["parts"]["equipot_toolbox.ConFIG"]
    assert (part["kind"], part["target"]) == ("gradient_combination", "equipot_toolbox.ConFIG")


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


def test_switches_without_a_command():
    done = process(BIN / "equipot", "--no-plugins")
    assert (done.returncode, done.stderr) == (2, "error: equipot: missing command\n")


def test_a_misspelled_switch_does_not_hide_the_help():
    done = process(BIN / "equipot", "--plugins=zlb", "--help")
    assert done.returncode == 0
    (error,) = done.stderr.splitlines()
    assert error.endswith("unknown plugin, got 'zlb'; did you mean 'zbl'?")
    assert "  train " in done.stdout


def test_switches_that_exclude_each_other():
    done = process(BIN / "equipot", "plugins", "--no-plugins", "--plugins=zbl")
    assert (done.returncode, done.stderr) == (2, "error: equipot: --no-plugins cannot be combined with --plugins\n")


def test_help_takes_less_than_a_second_and_imports_no_command():
    script = (
        "import sys, time; from equipot._cli.main import main\n"
        "code, used = main(['--help']), time.process_time()\n"
        "loaded = {name for name in sys.modules if name.startswith('equipot._cli.')}\n"
        "assert code == 0 and loaded == {'equipot._cli.main', 'equipot._cli.common'}, loaded\n"
        "assert not {'torch', 'numpy', 'hydra', 'rich', 'equipot_testing._scaffold'} & sys.modules.keys()\n"
        "assert used < 1, used"
    )
    done = process(sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr


def test_plugin_switches():
    done = process(BIN / "equipot", "--no-plugins", "plugins", "--json")
    assert {one["id"]: one["state"] for one in json.loads(done.stdout)}["zbl"] == "disabled"
    done = process(BIN / "equipot", "plugins", "--json", "--plugins", "zbl")
    states = {one["id"]: one["state"] for one in json.loads(done.stdout)}
    assert (states["zbl"], states["invariant"], states["core"]) == ("ok", "disabled", "ok")


@pytest.mark.slow
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
