import importlib
import math

import pytest

import equipot
import equipot.nn
from equipot._importing import load_object
from equipot.errors import PluginError
from equipot.plugins import KINDS, NAMESPACES, plugins


def test_objects_are_found_by_their_path():
    assert load_object("math.sqrt") is math.sqrt
    assert load_object("os.path.join").__name__ == "join"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no_such_module.thing", r"cannot import 'no_such_module.thing': ModuleNotFoundError"),
        ("math.cube_root", r"cannot import 'math.cube_root': AttributeError"),
        ("sqrt", r"cannot import 'sqrt': ValueError"),
    ],
)
def test_what_cannot_be_imported_is_named(path, words):
    with pytest.raises(PluginError, match=words):
        load_object(path)


@pytest.mark.parametrize(("package", "name"), [(equipot, "units"), (equipot, "model"), (equipot.nn, "cutoff")])
def test_dir_lists_public_modules_which_are_imported_on_first_use(package, name):
    assert name in dir(package)
    assert getattr(package, name).__name__ == f"{package.__name__}.{name}"
    with pytest.raises(AttributeError, match=f"module {package.__name__!r} has no attribute 'unit'"):
        package.unit  # noqa: B018


@pytest.mark.usefixtures("fresh_plugins")
@pytest.mark.parametrize("kind", KINDS)
def test_dir_of_a_namespace_lists_registered_names(install, monkeypatch, kind):
    extra = ", persistent=True" if kind == "modifiers" else ""
    install(
        "all-kinds",
        "all",
        "from equipot import hookimpl\nfrom equipot.declarations import *\n"
        f"@hookimpl\ndef equipot_{kind}():\n"
        f"    yield {KINDS[kind].__name__}(name='Thing', target='math.sqrt', summary='A test'{extra})\n",
    )
    namespace = importlib.import_module(NAMESPACES[kind])
    assert "Thing" in dir(namespace)
    assert set(getattr(namespace, "__all__", ())) <= set(dir(namespace))
    plugins.cache_clear()
    monkeypatch.setenv("EQUIPOT_PLUGINS", "misspelled")
    assert "Thing" not in dir(namespace)
