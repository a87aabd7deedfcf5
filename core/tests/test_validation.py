import dataclasses
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import pytest
from pydantic import Field

from equipot.validation import check_options


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    count: Annotated[int, Field(ge=1)]
    radius: Annotated[float, Field(gt=0)] = 4.0
    name: str = "x"
    flag: bool = False
    mode: Literal["fast", "slow"] = "fast"
    widths: int | list[int] = 8
    scales: float | dict[str, float] | None = None
    pair: tuple[int, int] = (1, 2)


def found(**values):
    return check_options(Example, values, "model")


def test_good_values_come_back_in_the_annotated_types():
    values, problems = found(count=3, radius=5, widths=(1, 2), scales={"C": 1}, pair=[3, 4])
    assert problems == []
    assert values == {"count": 3, "radius": 5.0, "widths": [1, 2], "scales": {"C": 1.0}, "pair": (3, 4)}
    assert type(values["radius"]) is float


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("count", "3", "must be an integer, got '3'"),
        ("count", 3.0, "must be an integer, got 3.0"),
        ("count", True, "must be an integer, got True"),
        ("count", None, "must be an integer, got None"),
        ("count", 0, "must be greater than or equal to 1, got 0"),
        ("radius", -1.0, "must be greater than 0, got -1.0"),
        ("radius", "4", "must be a number, got '4'"),
        ("radius", True, "must be a number, got True"),
        ("name", 3, "must be a string, got 3"),
        ("flag", 1, "must be true or false, got 1"),
        ("flag", "yes", "must be true or false, got 'yes'"),
        ("mode", "slw", "must be 'fast' or 'slow', got 'slw'"),
        ("widths", "8", "must be an integer or must be a list, got '8'"),
        ("scales", "big", "must be a number or must be a mapping, got 'big'"),
    ],
)
def test_wrong_values(option, value, message):
    _, problems = found(**{"count": 1, option: value})
    assert problems == [f"model.{option}: {message}"]


def test_wrong_item_is_named_by_its_place():
    _, problems = found(count=1, widths=[8, "x"])
    assert "model.widths.1: must be an integer, got 'x'" in problems
    _, problems = found(count=1, scales={"C": "x"})
    assert "model.scales.C: must be a number, got 'x'" in problems


def test_all_problems_come_at_once():
    _, problems = found(cuont=1, radius=-2.0, unheard_of=1)
    assert problems == [
        "model.cuont: unknown option; did you mean 'count'?",
        "model.unheard_of: unknown option; options: count, radius, name, flag, mode, widths, scales, pair",
        "model.radius: must be greater than 0, got -2.0",
    ]


def test_one_typo_is_one_problem():
    assert found(cuont=3)[1] == ["model.cuont: unknown option; did you mean 'count'?"]
    assert found(kind=3)[1][1:] == ["model.count: required option is missing"], "another name explains nothing"


def test_not_a_number_is_refused_where_a_range_is_given():
    assert found(count=1, radius=float("nan"))[1] != []


def test_values_that_come_later_are_checked_by_name_only():
    assert check_options(Example, {"count": "?"}, "m", unchecked=["count"])[1] == []
    assert check_options(Example, {}, "m", may_be_missing=["count"])[1] == []
    assert check_options(Example, {"counts": 1}, "m", unchecked=["counts"], may_be_missing=None)[1] == [
        "m.counts: unknown option; did you mean 'count'?"
    ]


def test_functions_are_checked_like_classes():
    def function(model, *, tolerance: float = 1e-6, names: Sequence[str] = ()):
        return model, tolerance, names

    assert check_options(function, {"model": object(), "tolerance": 1}, "f")[1] == []
    assert check_options(function, {"model": 1, "tolerance": "x"}, "f")[1] == ["f.tolerance: must be a number, got 'x'"]
    assert check_options(function, {}, "f")[1] == ["f.model: required option is missing"]


def test_open_ended_foreign_classes_take_any_key():
    def optimizer(params, lr: float = 0.1, **defaults):
        return params, lr, defaults

    assert check_options(optimizer, {"params": [], "weight": 1}, "o")[1] == []
    assert check_options(optimizer, {"params": [], "lr": "x"}, "o")[1] == ["o.lr: must be a number, got 'x'"]


def test_annotations_that_cannot_be_read_accept_anything():
    def function(thing: "NotImportable", count: int = 1):  # noqa: F821 - on purpose
        return thing, count

    assert check_options(function, {"thing": 1, "count": 2}, "f")[1] == []
    assert check_options(function, {"thing": 1, "count": "2"}, "f")[1] == ["f.count: must be an integer, got '2'"]


def test_a_text_is_no_iterable_of_something_else():
    def function(loggers: Iterable[int] | bool):
        pass

    assert check_options(function, {"loggers": (1, 2)}, "x") == ({"loggers": [1, 2]}, [])
    for wrong in ("ab", ["a"], 5):
        assert check_options(function, {"loggers": wrong}, "x")[1]
