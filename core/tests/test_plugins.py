"""The plugin host on distributions made on the fly: a .dist-info folder and a module each."""

import json
import sys

import pytest

from equipot import __version__
from equipot._host.declaration import load_target
from equipot.errors import EquipotError, PluginError, PluginNotFoundError
from equipot.plugins import KINDS, NAMESPACES, PluginHost, plugins, public_target
from equipot_test_support.distributions import HEADER, declaring, record_of

PAIR = ("pair_potentials", "PairPotentialEntry")


# ------------------------------------------------------------------------ what works


def test_a_plugin_is_found_declared_and_looked_up(install):
    install("nice-potentials", "nice", declaring(*PAIR, "Nice", "Nicer"))
    host = PluginHost()
    record = record_of(host, "nice")
    assert (record.state, record.error, record.api) == ("ok", None, "1")
    assert record.declares == {"pair_potentials": ["Nice", "Nicer"]}
    declared = host.lookup("pair_potentials", "Nice")
    assert (declared.distribution, declared.version, declared.plugin) == ("nice-potentials", "1.2.3", "nice")
    with pytest.raises(PluginError, match=r"'math.sqrt', the target of pair potential 'Nice', must be a class, got"):
        host.load("pair_potentials", "Nice")
    assert "Nice" in host.names("pair_potentials")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_declared(install, kind):
    install("all-kinds", "all", declaring(kind, KINDS[kind].__name__, "Thing"))
    host = PluginHost()
    assert host.lookup(kind, "Thing").entry.target == "math.sqrt"
    assert kind in NAMESPACES


def test_core_declares_on_the_same_path_and_cannot_be_switched_off():
    host = PluginHost("none")
    assert [record.id for record in host.records if record.state == "ok"] == ["core"]
    assert host.names("modifiers") == ["modify_PerTypeScaleShift"]
    assert host.names("stats_managers") == [
        "CommonDataStatisticsManager", "DataStatisticsManager", "EnergyOnlyDataStatisticsManager",
    ]  # fmt: skip


def test_a_plugin_is_not_imported_before_it_is_used(install):
    module = install("late", "late", declaring(*PAIR, "Late", target="this.module_is.not_there"))
    assert module not in sys.modules
    host = PluginHost()
    assert module in sys.modules
    assert record_of(host, "late").state == "ok"
    with pytest.raises(PluginError, match=r"plugin 'late' \(late 1\.2\.3\): cannot import .*No module named"):
        host.load("pair_potentials", "Late")


# ------------------------------------------------------------------------ broken plugins

BROKEN = {
    "import fails": ("import surely_not_a_module\n", "ModuleNotFoundError: No module named 'surely_not_a_module'"),
    "exits at import": ("raise SystemExit(3)\n", "SystemExit: 3"),
    "syntax": ("def (:\n", "SyntaxError"),
    "mistyped hook": (
        HEADER + "@hookimpl\ndef equipot_pair_potential():\n    return ()\n",
        "equipot_pair_potential: unknown hook",
    ),
    "hook with arguments": (HEADER + "@hookimpl\ndef equipot_modifiers(model):\n    return ()\n", "'model'"),
    "hook fails": (HEADER + "@hookimpl\ndef equipot_modifiers():\n    return 1 / 0\n", "ZeroDivisionError"),
    "other declaration": (
        declaring("modifiers", "PairPotentialEntry", "Wrong"),
        "PluginError: equipot_modifiers must yield ModifierEntry, got PairPotentialEntry",
    ),
    "no identifier": (declaring(*PAIR, "not a name"), "not a Python identifier, got 'not a name'"),
    "no dotted path": (declaring(*PAIR, "Name", target="name"), "not a dotted path, got 'name'"),
    "name of core": (
        declaring("model_builders", "ModelBuilderEntry", "GraphModel"),
        "declares the model builder 'GraphModel', a name of core's; choose another",
    ),
}


@pytest.mark.parametrize(("source", "error"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_recorded_and_stops_no_other(install, source, error):
    install("broken-dist", "broken", source)
    install("sound-dist", "sound", declaring(*PAIR, "Sound"))
    host = PluginHost()
    record = record_of(host, "broken")
    assert record.state == "failed"
    assert error in record.error
    assert record.declares == {}
    assert record_of(host, "sound").state == "ok"
    assert host.lookup("pair_potentials", "Sound")


def test_interrupting_is_not_swallowed(install):
    install("slow-dist", "slow", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        PluginHost()


def test_broken_plugins_are_named_where_something_is_not_found(install):
    install("broken-dist", "broken", "raise SystemExit(3)\n")
    with pytest.raises(PluginNotFoundError, match=r"plugin 'broken' \(broken-dist 1\.2\.3\) failed: SystemExit: 3"):
        PluginHost().lookup("pair_potentials", "Buckingham")


@pytest.mark.parametrize("target", ["equipot.units.NotThere", "os.path.NotThere"])
def test_a_target_that_is_missing_names_its_plugin(install, target):
    install("hollow", "hollow", declaring(*PAIR, "Hollow", target=target))
    declared = PluginHost().lookup("pair_potentials", "Hollow")
    with pytest.raises(PluginError) as caught:
        load_target(declared)
    text = str(caught.value)
    assert text.startswith(f"plugin 'hollow' (hollow 1.2.3): cannot import {target!r} of pair potential 'Hollow': Attr")
    assert "NotThere" in text


# ----------------------------------------------------------------------- versions


def test_a_newer_api_is_refused_without_import(install):
    module = install("from-the-future", "future", "raise SystemExit\n", group="equipot.plugins.v2")
    record = record_of(PluginHost(), "future")
    assert (record.state, record.api) == ("refused", "2")
    assert record.error == (
        f"needs plugin API 2, this is equipot {__version__} with API 1; pip install --upgrade equipot"
    )
    assert module not in sys.modules


def test_an_older_api_is_refused_with_other_advice(install):
    install("from-the-past", "past", "raise SystemExit\n", group="equipot.plugins.v0")
    assert record_of(PluginHost(), "past").error.endswith("with API 1; pip install --upgrade from-the-past")


def test_a_plugin_for_two_apis_is_loaded_for_ours(install):
    install("both", "both", declaring(*PAIR, "Both"))
    install("both", "both", "raise SystemExit\n", group="equipot.plugins.v2")
    record = record_of(PluginHost(), "both")
    assert (record.state, record.api) == ("ok", "1")


def test_a_newer_core_is_asked_for_without_import(install):
    module = install("demanding", "demanding", "raise SystemExit\n", requires=["numpy", "equipot>=9"])
    record = record_of(PluginHost(), "demanding")
    assert record.state == "refused"
    assert record.error == f"needs equipot>=9, this is {__version__}; pip install 'equipot>=9'"
    assert module not in sys.modules


@pytest.mark.parametrize("requires", [["equipot>=0.1"], ["equipot>=9; extra == 'later'"], ["???"], []])
def test_requirements_that_are_met_or_do_not_apply(install, requires):
    install("modest", "modest", declaring(*PAIR, "Modest"), requires=requires)
    assert record_of(PluginHost(), "modest").state == "ok"


# ------------------------------------------------------------------------ conflicts


def test_a_name_declared_twice_is_ambiguous_only_where_it_is_used(install):
    install("first-dist", "first", declaring(*PAIR, "Twice", "Once"))
    install("second-dist", "second", declaring(*PAIR, "Twice", target="math.cos"))
    host = PluginHost()
    assert {record_of(host, name).state for name in ("first", "second")} == {"ok"}
    assert host.lookup("pair_potentials", "Once")
    assert [name for name in host.ambiguous() if name.endswith("Twice")] == ["pair_potentials.Twice"]
    assert "Twice" not in [declared.entry.name for declared in host.available("pair_potentials")]
    with pytest.raises(PluginError) as caught:
        host.load("pair_potentials", "Twice")
    assert str(caught.value) == (
        "pair potential 'Twice' is declared by first-dist 1.2.3 (math.sqrt) and second-dist 1.2.3 (math.cos); "
        "use the full path of one of them"
    )
    assert not isinstance(caught.value, PluginNotFoundError)


def test_the_same_name_for_two_kinds_is_no_conflict(install):
    install("first-dist", "first", declaring(*PAIR, "Shared"))
    install("second-dist", "second", declaring("model_builders", "ModelBuilderEntry", "Shared"))
    assert not [name for name in PluginHost().ambiguous() if name.endswith("Shared")]


def test_equal_ids_load_neither(install):
    modules = [install(f"{which}-dist", "same", declaring(*PAIR, which.title())) for which in ("one", "two")]
    host = PluginHost()
    records = [record for record in host.records if record.id == "same"]
    assert [record.state for record in records] == ["ambiguous"] * 2
    error = "two plugins have the id 'same': one-dist 1.2.3 and two-dist 1.2.3; uninstall one"
    assert [record.error for record in records] == [error] * 2
    assert not set(modules) & set(sys.modules)


# ------------------------------------------------------------------------- not found


@pytest.fixture
def core_alone():
    """A host of an installation that has the core only."""
    host = PluginHost("none")
    host.records = [record for record in host.records if record.id == "core"]
    return host


def test_a_plugin_that_is_switched_off_says_so(install):
    install("equipot-zbl", "ours", declaring(*PAIR, "ZBL"))
    with pytest.raises(PluginNotFoundError, match=r"'ZBL'; installed: \[\]; EQUIPOT_PLUGINS switches off equipot-zbl$"):
        PluginHost("none").lookup("pair_potentials", "ZBL")


def test_a_missing_first_party_plugin_says_what_to_install(core_alone):
    with pytest.raises(PluginNotFoundError) as caught:
        core_alone.lookup("pair_potentials", "ZBL")
    text = "no pair potential named 'ZBL'; installed: []; pip install equipot-zbl"
    assert str(caught.value).splitlines()[0] == text
    assert isinstance(caught.value, AttributeError)
    assert isinstance(caught.value, EquipotError)


def test_a_misspelled_name_gets_the_nearest(install, core_alone):
    install("nice-potentials", "nice", declaring(*PAIR, "Morse"))
    with pytest.raises(PluginNotFoundError, match="Did you mean 'Morse'"):
        PluginHost("nice").lookup("pair_potentials", "Mores")
    with pytest.raises(PluginNotFoundError, match=r"Did you mean 'ZBL'\? \(pip install equipot-zbl\)"):
        core_alone.lookup("pair_potentials", "zbl")


def test_lookup_is_case_sensitive(install):
    install("nice-potentials", "nice", declaring(*PAIR, "Morse"))
    with pytest.raises(PluginNotFoundError, match="Did you mean 'Morse'"):
        PluginHost("nice").lookup("pair_potentials", "morse")


# -------------------------------------------------------------------------- switches


@pytest.mark.parametrize(
    ("switch", "enabled"),
    [("", {"a", "b"}), ("none", set()), ("a", {"a"}), ("a,b", {"a", "b"}), (" a , b ", {"a", "b"}), ("-a", {"b"})],
)
def test_switch_chooses_plugins(install, switch, enabled):
    modules = {name: install(f"dist-{name}", name, declaring(*PAIR, f"Name{name}")) for name in ("a", "b")}
    host = PluginHost(switch)
    assert {name for name in "ab" if record_of(host, name).state == "ok"} == enabled
    assert {name for name in "ab" if record_of(host, name).state == "disabled"} == {"a", "b"} - enabled
    assert {name for name, module in modules.items() if module in sys.modules} == enabled


def test_switch_with_an_id_that_is_not_installed():
    with pytest.raises(PluginError, match=r"EQUIPOT_PLUGINS: unknown plugin, got 'coer'; .*'core'"):
        PluginHost("coer")


def test_strict_raises_at_the_first_failure(install):
    install("broken-dist", "broken", "raise SystemExit(3)\n")
    with pytest.raises(PluginError, match=r"plugin 'broken' \(broken-dist 1\.2\.3\): SystemExit: 3"):
        PluginHost("broken", strict=True)


def test_trace_prints_what_is_declared(install, monkeypatch, capsys):
    install("nice-potentials", "nice", declaring(*PAIR, "Morse"))
    monkeypatch.setenv("EQUIPOT_TRACE_PLUGINS", "1")
    PluginHost("nice")
    line = "equipot plugins: nice: equipot_pair_potentials declares Morse -> math.sqrt"
    assert line in capsys.readouterr().err.splitlines()


@pytest.mark.usefixtures("fresh_plugins")
def test_the_host_of_the_process_reads_the_environment(install, monkeypatch):
    install("broken-dist", "broken", "raise SystemExit(3)\n")
    monkeypatch.setenv("EQUIPOT_PLUGINS", "broken")
    monkeypatch.setenv("EQUIPOT_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match="broken-dist"):
        plugins()
    monkeypatch.setenv("EQUIPOT_STRICT_PLUGINS", "0")
    assert record_of(plugins(), "broken").state == "failed"


# --------------------------------------------------------------------- public names


def test_registered_objects_are_named_by_their_public_path():
    from equipot.modifiers import modify_PerTypeScaleShift

    assert public_target(modify_PerTypeScaleShift) == "equipot.modifiers.modify_PerTypeScaleShift"
    assert public_target(json.JSONDecoder) == "json.JSONDecoder"  # where its package has it


def test_module_attribute_of_a_missing_name_is_both_errors():
    import equipot.model
    import equipot.pair_potentials

    for module, name in ((equipot.model, "Nope"), (equipot.pair_potentials, "Nope")):
        with pytest.raises(AttributeError, match="named 'Nope'"):
            getattr(module, name)
        with pytest.raises(PluginError, match="named 'Nope'"):
            getattr(module, name)
        assert not hasattr(module, name)


def test_dunder_names_load_no_plugins():
    import equipot.model

    with pytest.raises(AttributeError, match="has no attribute '__wrapped__'"):
        _ = equipot.model.__wrapped__


# ------------------------------------------------------------------------ the kit as a distribution


@pytest.mark.parametrize("command", ["plugins new", "plugins check"])
def test_the_host_knows_what_brings_the_commands_for_authors(command):
    host = PluginHost("-testing")
    assert command not in host.names("commands")
    assert host.install_hint("commands", command) == "EQUIPOT_PLUGINS switches off equipot-testing"
    host.records = [record for record in host.records if record.id != "testing"]  # as if it were not installed
    assert host.install_hint("commands", command) == "pip install equipot-testing"
