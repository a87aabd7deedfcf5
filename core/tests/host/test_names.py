"""Aliases of other programs' names, and commands, as plugins declare them."""

import re

import pytest

from equipot.declarations import CommandEntry, TargetAliasEntry
from equipot.plugins import HOOKS, KINDS, NAMESPACES, PluginHost
from equipot_test_support.distributions import declaring, record_of

ALIAS = {"name": "other.train.Module", "target": "equipot.train.LightningModule", "summary": "A test"}


def test_aliases_and_commands_can_be_declared(install):
    alias = declaring("target_aliases", "TargetAliasEntry", "other.Thing", target="equipot.train.LightningModule")
    install("from-other", "from_other", alias)
    install("more-commands", "more", declaring("commands", "CommandEntry", "import-other", target="json.tool"))
    host = PluginHost()
    assert host.lookup("target_aliases", "other.Thing").entry.target == "equipot.train.LightningModule"
    assert host.lookup("commands", "import-other").distribution == "more-commands"
    assert HOOKS.keys() - KINDS.keys() == {"parts", "fields", "export_targets", "target_aliases", "commands"}
    assert not HOOKS.keys() - KINDS.keys() & NAMESPACES.keys()


def test_a_command_cannot_replace_one_of_core(install):
    install("grabby", "grabby", declaring("commands", "CommandEntry", "train", target="json.tool"))
    record = record_of(PluginHost(), "grabby")
    assert record.state == "failed"
    assert "declares the command 'train', a name of core's" in record.error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "other"}, "TargetAliasEntry.name: not a dotted path"),
        ({"name": "equipot.train.Module"}, "equipot's own names have no aliases"),
        ({"target": "", "form": "resolver", "name": "other"}, "give either target or instead"),
        ({"instead": "use that"}, "give either target or instead"),
        ({"form": "else"}, "TargetAliasEntry.form: unknown, got 'else'"),
        ({"form": "resolver", "name": "a.b"}, "TargetAliasEntry.name: not a Python identifier"),
        ({"options": "function"}, "TargetAliasEntry.options: not a dotted path"),
    ],
)
def test_malformed_aliases_are_refused(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        TargetAliasEntry(**{**ALIAS, **changes})


@pytest.mark.parametrize("name", ["Import", "import_other", "-x", "a  b", ""])
def test_malformed_command_names_are_refused(name):
    with pytest.raises(ValueError, match="CommandEntry.name: not lower-case words"):
        CommandEntry(name=name, target="a.b", summary="A test")
