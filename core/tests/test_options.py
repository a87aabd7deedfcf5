"""Options as frozen dataclasses, and classes that are made from them."""

import copy
import inspect
import pickle
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
import torch
from pydantic import Field

from equipot.describe import describe_options
from equipot.errors import ConfigError, problem
from equipot.options import Configurable, Options
from equipot.validation import check_options


@dataclass(frozen=True, kw_only=True)
class PartOptions(Options):
    """Options of Part."""

    model: torch.nn.Module = field(kw_only=False)
    """What is trained."""

    width: float = 1.0
    """Width in Å."""

    def problems(self) -> list[str]:
        return [problem("width", "must be greater than 0", got=self.width)] if self.width <= 0 else []


@dataclass(frozen=True, kw_only=True)
class AverageOptions(PartOptions):
    """Options of Average."""

    decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """Decay of the average."""


class Part(Configurable, torch.nn.Module, options=PartOptions):
    options: PartOptions

    def __post_init__(self) -> None:
        super().__post_init__()
        self.model = self.options.model


class Same(Part):
    """Adds no options."""


class Average(Same, options=AverageOptions):
    options: AverageOptions


class Plain(Part):
    """Takes what its own constructor says."""

    def __init__(self, depth: int = 1) -> None:
        super().__init__(torch.nn.Identity(), width=2.0)
        self.depth = depth


def test_fields_are_the_signature_and_the_docs() -> None:
    assert list(inspect.signature(Average).parameters) == ["model", "width", "decay"]
    assert inspect.signature(Same) == inspect.signature(Part)
    assert [(one.name, one.doc) for one in describe_options(Average)][1:] == [
        ("width", "Width in Å."),
        ("decay", "Decay of the average."),
    ]


def test_made_from_options() -> None:
    made = Average(torch.nn.Identity(), width=2)
    assert isinstance(made.options.width, float)
    assert list(dict(made.named_children())) == ["model"]
    assert copy.deepcopy(made).options.width == 2.0
    assert pickle.loads(pickle.dumps(made)).options.decay == 0.9  # noqa: S301 - our own bytes


def test_every_problem_names_the_class() -> None:
    with pytest.raises(ConfigError) as caught:
        Average(model=3, decay=1.0)
    assert caught.value.problems == [
        "Average.model: must be an instance of Module, got 3",
        "Average.decay: must be less than 1, got 1.0",
    ]
    with pytest.raises(ConfigError, match="^Same.width: must be greater than 0, got -1.0$"):
        Same(torch.nn.Identity(), width=-1)


def test_configs_are_checked_against_the_fields() -> None:
    given: dict[str, Any] = {"widthh": 1.0, "decay": "x"}
    assert check_options(Average, given, "part")[1] == [
        "part.widthh: unknown option; did you mean 'width'?",
        "part.model: required option is missing",
        "part.decay: must be a number, got 'x'",
    ]


def test_a_constructor_of_its_own_counts() -> None:
    assert list(inspect.signature(Plain).parameters) == ["depth"]
    assert [one.name for one in describe_options(Plain)] == ["depth"]
    assert check_options(Plain, {"depth": 2, "model": None}, "part")[1] == [
        "part.model: unknown option; options: depth"
    ]
    assert Plain(3).options.width == 2.0
