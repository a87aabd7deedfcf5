from typing import Any, Literal, TypedDict

import pytest

from equipot.artifacts import _schema as schema
from equipot.errors import ArtifactError


def laughs():
    value: list[Any] = ["ha"]
    for _ in range(40):
        value = [value] * 10
    return value


def itself():
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        laughs(),
        itself(),
        {1: 2},
        {"a": object()},
        {"a": float("nan")},
        [1e400],
        [2**64],
        ["\ud800"],
        {"\udfff": 1},
        {1},
    ],
)
def test_only_plain_finite_values_pass(value):
    with pytest.raises(ArtifactError, match=r"^a\.zip: (is damaged|must have)"):
        schema.check_plain(value, "a.zip")


def test_plain_values_pass():
    schema.check_plain({"a": [1, 2.5, None, True, ("Å", {})], "b": 2**63}, "a.zip")


class Point(TypedDict):
    x: float
    name: Literal["a", "b"]


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        ({"x": 1, "name": "a"}, Point, None),
        ({"x": True, "name": "a"}, Point, "p.x: must be a number, got True"),
        ({"x": 1.0}, Point, "p.name: is missing"),
        ({"x": 1.0, "name": "a", "y": 1}, Point, "p.y: is an unknown entry"),
        ([], Point, "p: must be a mapping"),
        ([1, 2], list[int], None),
        ([1, "2"], list[int], "p.1: must be an integer, got '2'"),
        ({"a": "b"}, dict[str, str], None),
        ({"a": 1}, dict[str, str], "p.a: must be a string"),
        (["a", 1.0], tuple[str, float], None),
        (["a"], tuple[str, float], "p: must have 2 items"),
        (None, list[int] | None, None),
        (3, list[int] | None, "p: must be a list, got 3"),
        ("c", Literal["a"], r"p: must be one of \['a'\]"),
        (["x" * 1000], list[int], r"p.0: must be an integer, got 'x+\.\.\.x+'"),
    ],
)
def test_values_fit_annotations_or_the_place_is_named(value, annotation, message):
    if message is None:
        schema.check_fits(value, annotation, "p")
        return
    with pytest.raises(ArtifactError, match=f"^{message}") as caught:
        schema.check_fits(value, annotation, "p")
    assert len(str(caught.value)) < 300
