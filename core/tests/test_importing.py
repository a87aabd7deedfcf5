import math

import pytest

from equipot._importing import load_object
from equipot.errors import PluginError


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
