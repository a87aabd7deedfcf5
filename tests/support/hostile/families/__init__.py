"""The families of hostile inputs; each module makes its cases from valid files."""

from __future__ import annotations

import dataclasses
import importlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from hostile import seeds as valid
from hostile.case import Case, Content
from hostile.seeds import Seeds

CONFIGS = ("targets", "hydra_section", "options", "folders", "secrets", "yaml")
"""Families of configs."""

FILES = ("packages", "checkpoints", "compiled", "trust")
"""Families of files; those of labelled data are in ``tests/test_hostile_data.py``."""

NAMES = (*CONFIGS, *FILES)


def valid_files() -> Seeds:
    """The valid files, which are kept in ``.cache`` for as long as equipot's sources stay the same."""
    return Seeds(Path(".cache/hostile").absolute() / valid.tree_digest())


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about what hardly anybody stores
        found = [dataclasses.replace(case, family=name) for case in module.cases(seeds)]
    names = [case.name for case in found]
    if doubled := {one for one in names if names.count(one) > 1}:
        raise ValueError(f"{name}: cases of the same name: {sorted(doubled)}")
    return found


def common(seeds: Seeds) -> Mapping[str, Content]:
    """Valid files that all cases have."""
    return {valid.DATA: seeds.bytes(valid.DATA)}
