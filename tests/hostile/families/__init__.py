"""The families of hostile inputs; each module makes its cases from valid files."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence

from hostile import seeds as valid
from hostile.case import Case, Content
from hostile.seeds import Seeds

CONFIGS = ("targets", "hydra_section", "options", "folders", "secrets", "yaml")
"""Families of configs."""

FILES = ("data", "arrays", "packages", "checkpoints")
"""Families of files."""

WITH_MODEL = ("data", "arrays")
"""Families whose cases have a valid package."""

NAMES = (*CONFIGS, *FILES)


def named(beginnings: Sequence[str] | None) -> list[str]:
    """Families of these names, or whose names begin so; all by default."""
    exact = [name for name in NAMES if name in (beginnings or ())]
    found = exact or [name for name in NAMES if not beginnings or name.startswith(tuple(beginnings))]
    if not found:
        raise SystemExit(f"no such family; there are {', '.join(NAMES)}")
    return found


def cases(name: str, seeds: Seeds) -> list[Case]:
    """The cases of a family."""
    module = importlib.import_module(f"hostile.families.{name}")
    found = [dataclasses.replace(case, family=name) for case in module.cases(seeds)]
    names = [case.name for case in found]
    if doubled := {one for one in names if names.count(one) > 1}:
        raise ValueError(f"{name}: cases of the same name: {sorted(doubled)}")
    return found


def common(name: str, seeds: Seeds) -> Mapping[str, Content]:
    """Valid files that all cases of a family have."""
    data: dict[str, Content] = {valid.DATA: seeds.bytes(valid.DATA)}
    if name in WITH_MODEL:
        data[valid.PACKAGE] = seeds.bytes(valid.PACKAGE)
    return data
