"""Plugins as a user meets them: installed distributions, the command line, fresh processes."""

import json
import os
import subprocess
import sys

import pytest

from equipot_test_support.distributions import write_distribution

BROKEN = "raise SystemExit(3)\n"
CLASHING = """
from equipot import hookimpl
from equipot.declarations import PairPotentialEntry

@hookimpl
def equipot_pair_potentials():
    yield PairPotentialEntry(name="ZBL", target="math.sqrt", summary="Another ZBL")
"""
HEAVY = ("torch", "e3nn", "lightning", "hydra", "numpy", "ase", "pydantic")


@pytest.fixture
def fake(tmp_path):
    """Put a distribution with one plugin on the path of new processes: ``fake(dist, id, source)``."""

    def make(distribution, plugin_id, source, requires="equipot"):
        module = f"fake_{plugin_id}"
        write_distribution(tmp_path, distribution, plugin_id, source, module, version="2.0", requires=[requires])

    return make


@pytest.fixture
def run(tmp_path):
    """Run Python in a new process: ``run("-m", "equipot", ...)``; returns exit code, stdout, stderr."""

    def start(*arguments, **environment):
        paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
        settings = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path), **environment}
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, env=settings, cwd=tmp_path, check=False
        )
        return done.returncode, done.stdout, done.stderr

    return start


@pytest.fixture
def equipot(run):
    """Run the installed command ``equipot``."""
    code = "import sys; from equipot._cli.main import main; sys.exit(main())"
    return lambda *arguments, **environment: run("-c", code, *arguments, **environment)


def listed(output):
    return {record["id"]: record for record in json.loads(output)}


# ------------------------------------------------------------------------ installed ones


def test_first_party_plugins_are_listed(equipot):
    code, out, _ = equipot("plugins", "--json")
    assert code == 0
    records = listed(out)
    assert set(records["core"]) == {"id", "distribution", "version", "api", "declares", "state", "error", "notes"}
    for plugin_id, distribution, kind, name in (
        ("zbl", "equipot-zbl", "pair_potentials", "ZBL"),
        ("force_stress", "equipot-force-stress", "modifiers", "enable_ForceStressOutput"),
        ("nequip", "equipot-nequip", "model_builders", "NequIPGNNModel"),
        ("invariant", "equipot-invariant", "model_builders", "InvariantModel"),
        ("core", "equipot", "stats_managers", "CommonDataStatisticsManager"),
    ):
        record = records[plugin_id]
        assert (record["distribution"], record["state"], record["error"]) == (distribution, "ok", None)
        assert name in record["declares"][kind]


def test_table_names_plugins_and_what_they_declare(equipot):
    code, out, err = equipot("plugins")
    assert (code, err) == (0, "")
    (line,) = [line for line in out.splitlines() if line.startswith("zbl")]
    assert line.split() == ["zbl", "equipot-zbl", "0.1.0", "1", "pair", "potentials:", "ZBL", "ok"]


def test_importing_equipot_imports_neither_torch_nor_plugins(run):
    code = (
        "import sys, equipot, equipot.model, equipot.pair_potentials\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))\n"
        "print(sorted(name for name in sys.modules if name.startswith('equipot_')))"
    )
    assert run("-c", code) == (0, "[]\n[]\n", "")


def test_listing_plugins_imports_nothing_heavy(run):
    code = (
        "import sys, contextlib, io\n"
        "from equipot._cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    main(['plugins'])\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))"
    )
    assert run("-c", code) == (0, "[]\n", "")


# ---------------------------------------------------------------------- broken and clashing


def test_a_broken_plugin_is_shown_and_stops_nothing(fake, equipot):
    fake("broken-dist", "broken", BROKEN)
    code, out, _ = equipot("plugins", "--json")
    records = listed(out)
    assert code == 0
    assert records["zbl"]["state"] == "ok"
    assert (records["broken"]["state"], records["broken"]["error"]) == ("failed", "SystemExit: 3")
    _, _, err = equipot("plugins")
    assert "warning: plugin 'broken' (broken-dist 2.0) is failed: SystemExit: 3" in err.splitlines()


@pytest.mark.slow
def test_a_plugin_that_imports_torch_to_declare_is_reported_and_changes_nothing(fake, run):
    fake("heavy-dist", "heavy", "import torch\ntorch.set_default_dtype(torch.float64)\n")
    code = (
        "from equipot.plugins import plugins\n"
        "(record,) = [one for one in plugins().records if one.id == 'heavy']\n"
        "import torch\n"
        "print(record.state, record.notes, torch.get_default_dtype())"
    )
    assert run("-c", code, EQUIPOT_PLUGINS="heavy")[1] == (
        "ok ['importing it imported torch, numpy; declarations must stay light', "
        '"importing it changed torch\'s default dtype; undone"] torch.float32\n'
    )


def test_strict_stops_at_a_broken_plugin(fake, equipot):
    fake("broken-dist", "broken", BROKEN)
    message = "error: plugin 'broken' (broken-dist 2.0): SystemExit: 3\n"
    assert equipot("plugins", "--strict-plugins") == (2, "", message)
    assert equipot("plugins", EQUIPOT_STRICT_PLUGINS="1") == (2, "", message)


def test_a_plugin_for_a_newer_core_is_refused(fake, equipot):
    fake("eager-dist", "eager", BROKEN, requires="equipot>=9")
    record = listed(equipot("plugins", "--json")[1])["eager"]
    assert record["state"] == "refused"
    assert record["error"].startswith("needs equipot>=9, this is ")


@pytest.mark.slow
def test_a_clash_is_listed_and_full_paths_keep_working(fake, run, equipot):
    fake("other-zbl", "other", CLASHING)
    code, out, _ = equipot("plugins")
    assert code == 0
    line = "ambiguous: pair_potentials.ZBL is declared by equipot-zbl 0.1.0 and other-zbl 2.0; use the full path"
    assert line in " ".join(out.split())
    source = (
        "from equipot_zbl import ZBL\n"
        "ZBL(units='metal')\n"
        "import equipot.pair_potentials\n"
        "try:\n"
        "    equipot.pair_potentials.ZBL\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)"
    )
    assert run("-c", source)[1] == (
        "PluginError pair potential 'ZBL' is declared by equipot-zbl 0.1.0 (equipot_zbl.ZBL) and "
        "other-zbl 2.0 (math.sqrt); use the full path of one of them\n"
    )


# ---------------------------------------------------------------------------- switches


@pytest.mark.slow
def test_switches_of_the_command_line_and_the_environment(equipot):
    for arguments, environment, states in (
        ([], {"EQUIPOT_PLUGINS": "none"}, {"zbl": "disabled", "force_stress": "disabled"}),
        (["--no-plugins"], {}, {"zbl": "disabled", "force_stress": "disabled"}),
        ([], {"EQUIPOT_PLUGINS": "zbl"}, {"zbl": "ok", "force_stress": "disabled"}),
        (["--plugins=-zbl"], {}, {"zbl": "disabled", "force_stress": "ok"}),
    ):
        records = listed(equipot("plugins", "--json", *arguments, **environment)[1])
        assert records["core"]["state"] == "ok"
        assert {name: records[name]["state"] for name in states} == states


def test_trace_prints_declarations(equipot):
    _, _, err = equipot("plugins", "--json", EQUIPOT_TRACE_PLUGINS="1", EQUIPOT_PLUGINS="zbl")
    line = "equipot plugins: zbl: equipot_pair_potentials declares ZBL -> equipot_zbl.ZBL"
    assert line in err.splitlines()


def test_a_switched_off_plugin_is_missing_with_a_hint(run):
    source = "import equipot.pair_potentials\nequipot.pair_potentials.ZBL"
    code, _, err = run("-c", source, EQUIPOT_PLUGINS="none")
    assert code == 1
    assert "no pair potential named 'ZBL'; installed: []; EQUIPOT_PLUGINS switches off equipot-zbl" in err
