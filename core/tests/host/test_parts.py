"""Parts that plugins declare by the path of their class."""

import re

import pytest

from equipot.errors import PluginError
from equipot.plugins import PluginHost, public_target
from equipot_test_support.distributions import HEADER, record_of


def parts(*declared):
    """Source of a plugin module that declares parts, as pairs of kind and target."""
    lines = [f"    yield PartEntry(kind={kind!r}, target={target!r}, summary='A test')" for kind, target in declared]
    return HEADER + "@hookimpl\ndef equipot_parts():\n" + "\n".join(lines) + "\n"


def test_a_part_is_known_by_the_path_of_its_target(install):
    install("nice-parts", "nice", parts(("callback", "lightning.pytorch.callbacks.Timer"), ("field", "enum.Enum")))
    host = PluginHost()
    assert record_of(host, "nice").declares == {"parts": ["lightning.pytorch.callbacks.Timer", "enum.Enum"]}
    declared = host.lookup("parts", "lightning.pytorch.callbacks.Timer")
    assert host.find_target("lightning.pytorch.callbacks.Timer") is declared
    assert (declared.path, declared.fine_kind) == ("lightning.pytorch.callbacks.Timer", "callback")
    assert declared.role == "callback 'lightning.pytorch.callbacks.Timer'"
    assert host.load("parts", declared.path).__name__ == "Timer"
    assert host.load("parts", "enum.Enum").__name__ == "Enum"  # fields have no class in common


@pytest.mark.parametrize(
    ("kind", "target", "message"),
    [
        ("loss", "lightning.pytorch.callbacks.Timer", "does not derive from equipot.train.Loss"),
        ("transform", "enum.Enum", "does not derive from equipot.data.transforms.Transform"),
        ("metrics", "torchmetrics.R2Score", "does not derive from equipot.train.Measure"),
        ("field", "os.system", "the target of field 'os.system', must be a class, got"),
        ("callback", "os.nothing", "cannot import 'os.nothing' of callback 'os.nothing'"),
    ],
)
def test_a_part_must_be_a_class_of_its_kind(install, kind, target, message):
    install("wrong-parts", "wrong", parts((kind, target)))
    host = PluginHost()
    assert record_of(host, "wrong").state == "ok"  # nothing is imported before it is used
    with pytest.raises(PluginError, match=rf"plugin 'wrong' \(wrong-parts 1\.2\.3\): .*{re.escape(message)}"):
        host.load("parts", target)


@pytest.mark.parametrize(
    ("kind", "target", "message"),
    [
        ("looss", "a.B", "PartEntry.kind: unknown, got 'looss'; one of data_module, "),
        ("loss", "B", "PartEntry.target: not a dotted path, got 'B'"),
        (
            "loss",
            "equipot.train.EnergyForceLoss",
            "declares the part 'equipot.train.EnergyForceLoss', a name of core's",
        ),
    ],
)
def test_malformed_parts_are_refused(install, kind, target, message):
    install("wrong-parts", "wrong", parts((kind, target)))
    record = record_of(PluginHost(), "wrong")
    assert record.state == "failed"
    assert message in record.error


def test_a_part_that_two_plugins_declare_is_the_same(install):
    install("first-dist", "first", parts(("field", "enum.Enum")))
    install("second-dist", "second", parts(("field", "enum.Enum")))
    host = PluginHost()
    assert host.lookup("parts", "enum.Enum").plugin == "first"
    assert not any(name.startswith("parts.") for name in host.ambiguous())


def test_parts_are_named_by_their_declared_path():
    from equipot.train import EnergyForceLoss

    assert public_target(EnergyForceLoss) == "equipot.train.EnergyForceLoss"
