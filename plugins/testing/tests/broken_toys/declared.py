"""Healthy models in broken modules."""

import dataclasses
import importlib
import random
import sys
from pathlib import Path

import torch

from broken_toys.toy import Toy
from equipot_testing.conformance import ModelBuilderConformance
from equipot_testing.toy import ToyModel

MODULES = str(Path(__file__).parent.parent / "broken_modules")
if MODULES not in sys.path:
    sys.path.append(MODULES)


def imported(module):
    """The module, imported without harm to this process."""
    dtype, state = torch.get_default_dtype(), random.getstate()
    try:
        return importlib.import_module(module)
    finally:
        torch.set_default_dtype(dtype)
        random.setstate(state)


class SetsDtypeKit(ModelBuilderConformance):
    def component(self):
        return imported("toy_sets_dtype").SetsDtype

    target = ToyModel


class PrintsKit(SetsDtypeKit):
    def component(self):
        return imported("toy_prints").Prints


class PrivateKit(SetsDtypeKit):
    def component(self):
        return imported("toy_private").Private


class HeavyKit(ModelBuilderConformance):
    target = ToyModel
    test_package = test_compile = None  # it is not installed

    def declaring_module(self):
        return "toy_heavy_plugin"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unchecked(ToyModel):
    """Does not check its options."""

    def __post_init__(self):
        pass


class UncheckedKit(ModelBuilderConformance):
    target = Unchecked


@dataclasses.dataclass(frozen=True, kw_only=True)
class Silent(ToyModel):
    """Has an option without a word."""

    power: float = 2.0


class SilentKit(ModelBuilderConformance):
    target = Silent


ROWS = [
    ("SetsDtype", "Sets the default dtype at import", SetsDtypeKit, "import_has_no_side_effects", "the default dtype"),
    ("Prints", "Prints and seeds at import", PrintsKit, "import_has_no_side_effects",
     "Python's random generator; the output: it prints 'Thank you"),
    ("Private", "Imports a private module of core", PrivateKit, "imports_core_only", r"equipot\._version"),
    ("Heavy", "Imports torch to declare", HeavyKit, "declaration_imports_no_torch", "it imports .*torch"),
    ("Unchecked", "Does not check its options", UncheckedKit, "wrong_type", "r_max='four' must be refused"),
    ("Silent", "Has an option without a word", SilentKit, "options_documented", r"these are not: \['power'\]"),
]  # fmt: skip

TOYS = [Toy(f"declaration: {name}", fault, kit, check, words) for name, fault, kit, check, words in ROWS]
