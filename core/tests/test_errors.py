import pytest

from equipot.errors import (
    ArtifactError,
    ConfigError,
    DataError,
    EquipotError,
    PluginError,
    PluginNotFoundError,
    did_you_mean,
    nearest,
    problem,
)


def test_wording_of_a_problem():
    assert problem("a.b", "is wrong") == "a.b: is wrong"
    assert problem("a.b", "is wrong", got=None) == "a.b: is wrong, got None"
    assert problem("a.b", "is wrong", got="x", hint="use y") == "a.b: is wrong, got 'x'; use y"
    assert problem("a.b", "is wrong", hint="use y") == "a.b: is wrong; use y"


def test_config_error_keeps_its_problems_apart():
    assert ConfigError("one").problems == ["one"]
    error = ConfigError(problem for problem in ("one", "two"))
    assert error.problems == ["one", "two"]
    assert str(error) == "one\ntwo"


@pytest.mark.parametrize("kind", [ArtifactError, ConfigError, DataError, PluginError, PluginNotFoundError])
def test_all_are_errors_for_users(kind):
    assert issubclass(kind, EquipotError)


def test_errors_are_also_what_python_calls_them():
    assert issubclass(ConfigError, ValueError)
    assert issubclass(DataError, ValueError)
    assert issubclass(PluginNotFoundError, (AttributeError, PluginError))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("num_laers", "num_layers"), ("NUM_LAYERS", "num_layers"), ("lmax", "l_max"), ("completely other", None)],
)
def test_nearest_name(name, expected):
    assert nearest(name, ["num_layers", "l_max", "r_max_of_all"]) == expected
    assert did_you_mean(name, ["num_layers", "l_max"]) == (f"did you mean {expected!r}?" if expected else "")


def test_nearest_among_none():
    assert nearest("x", []) is None
