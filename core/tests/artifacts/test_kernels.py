from types import SimpleNamespace

import pytest
import torch

from equipot.artifacts import _kernels as kernels
from equipot.declarations import ModifierEntry
from equipot.errors import ArtifactError, PluginError
from equipot.nn.slots import KernelSlot

LOADED = []


def load(specs):
    """What a plugin's declaration names."""
    if any("kind" not in spec for spec in specs):
        raise PluginError("toy: no such kernel")
    LOADED.extend(specs)


class ToySlot(KernelSlot):
    kernel_modifier = "use_Toys"

    def kernel_specs(self, dtype):
        return [{"kind": "toy", "dtype": str(dtype)}]


@pytest.fixture
def toy_plugin(monkeypatch):
    """A plugin whose modifier brings kernels; the function that loads them is the one above."""
    options = {"name": "use_Toys", "target": "toys.use", "summary": "Toys", "persistent": False}
    entry = ModifierEntry(**options, kernel_loader="toys.load")
    declared = SimpleNamespace(entry=entry, distribution="equipot-toys", version="1.2")

    def lookup(kind, name):
        if name != "use_Toys":
            raise PluginError(f"no modifier named {name!r}")
        return declared

    monkeypatch.setattr(kernels, "plugins", lambda: SimpleNamespace(lookup=lookup))
    monkeypatch.setattr(kernels, "load_object", lambda path: load)
    LOADED.clear()
    return declared


def test_listed_once(toy_plugin):
    modules = torch.nn.Sequential(ToySlot(), torch.nn.Identity(), KernelSlot(), ToySlot())
    modules.info = SimpleNamespace(model_dtype="float32")
    specs = [{"kind": "toy", "dtype": "torch.float32"}]
    expected = {"use_Toys": {"distribution": "equipot-toys", "version": "1.2", "specs": specs}}
    assert kernels.kernels_of(modules) == expected
    kernels.load_kernels(expected, "model.pt2")
    assert specs == LOADED


def test_a_model_without_kernels_needs_no_plugin(make_model):
    assert kernels.kernels_of(make_model()) == {}
    kernels.load_kernels({}, "model.pt2")


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([], "model.pt2: manifest.compiled.kernels: must be a JSON dict, got \\[\\]"),
        ({"use_Toys": 1}, "manifest.compiled.kernels.use_Toys: is damaged, got 1"),
        ({"use_Toys": {"specs": []}}, "manifest.compiled.kernels.use_Toys: is damaged"),
        (
            {"use_Toys": {"distribution": "equipot-toys", "version": "1.2", "specs": [{}]}},
            "calls kernels of equipot-toys 1.2: toy: no such kernel; pip install 'equipot-toys>=1.2'",
        ),
        (
            {"use_Others": {"distribution": "equipot-others", "version": "3", "specs": []}},
            "no modifier named 'use_Others'; pip install 'equipot-others>=3'",
        ),
    ],
)
def test_what_cannot_be_loaded(toy_plugin, listed, message):
    with pytest.raises(ArtifactError, match=message):
        kernels.load_kernels(listed, "model.pt2")
    assert not LOADED


def test_modifier_that_brings_no_kernels(toy_plugin, monkeypatch):
    options = {"name": "use_Toys", "target": "toys.use", "summary": "Toys", "persistent": False}
    toy_plugin.entry = ModifierEntry(**options)
    listed = {"use_Toys": {"distribution": "equipot-toys", "version": "1.2", "specs": []}}
    with pytest.raises(ArtifactError, match="modifier use_Toys: declares no kernel_loader"):
        kernels.load_kernels(listed, "model.pt2")


@pytest.mark.parametrize("field", ["kernel_loader", "kernel_code", "native_library"])
def test_functions_must_be_paths(field):
    options = {"name": "use_Toys", "target": "toys.use", "summary": "Toys", "persistent": False}
    with pytest.raises(ValueError, match=f"{field}: not a dotted path"):
        ModifierEntry(**options, **{field: "load"})


LISTED = {"use_Toys": {"distribution": "equipot-toys", "version": "1.2", "specs": [{"kind": "toy"}]}}


@pytest.fixture
def travelling(toy_plugin, monkeypatch):
    """Let the plugin's kernels travel: ``travelling(code)`` sets the function that gives their code."""

    def let(code):
        options = {"name": "use_Toys", "target": "toys.use", "summary": "Toys", "persistent": False}
        toy_plugin.entry = ModifierEntry(**options, kernel_code="toys.code")
        monkeypatch.setattr(kernels, "load_object", lambda path: code)

    return let


def test_code_of_kernels(travelling):
    travelling(
        lambda specs, *, portable: {f"{spec['kind']}.so": b"code" for spec in specs} | {"a-b.txt": b"%d" % portable}
    )
    assert kernels.code_of(LISTED, "m.pt2") == {"use_Toys": {"a-b.txt": b"0", "toy.so": b"code"}}
    assert kernels.code_of(LISTED, "m.pt2", portable=True) == {"use_Toys": {"a-b.txt": b"1", "toy.so": b"code"}}
    assert kernels.code_of({}, "m.pt2") == {}


def test_what_makes_the_code_cannot_change_the_manifest(travelling):
    travelling(lambda specs, **_: specs.clear() or {"a.so": b""})
    kernels.code_of(LISTED, "m.pt2")
    assert LISTED["use_Toys"]["specs"] == [{"kind": "toy"}]


def test_kernels_that_need_python_are_refused_for_engines_without_it(toy_plugin):
    with pytest.raises(ArtifactError, match="m.pt2: the model calls kernels of use_Toys, .*--no-automatic-modifiers"):
        kernels.code_of(LISTED, "m.pt2")


@pytest.mark.parametrize(
    "files", [{}, {"../a.so": b""}, {"a/b": b""}, {".hidden": b""}, {"a.so": "text"}, {"a" * 201: b""}, [], {1: b""}]
)
def test_code_of_kernels_must_be_plain_files(travelling, files):
    travelling(lambda specs, **_: files)
    with pytest.raises(PluginError, match="code of the kernels of use_Toys: must be bytes by name"):
        kernels.code_of(LISTED, "m.pt2")
