"""``equipot describe``: everything that configs are made of says type, default, unit and meaning of every option."""

import dataclasses
import inspect
import json
import re
from typing import Annotated

import pytest
from pydantic import Field

from equipot._cli.main import main
from equipot.config._components import components
from equipot.config._schema import component_schema
from equipot.describe import OptionDoc, describe_hook, describe_options
from equipot.model import AnalyticPairPotential, builder
from equipot.plugins import HOOK_NAMES

LATER = {"optimizer": {"params"}, "parameter_groups": {"params"}, "scheduler": {"optimizer"}}
"""What parts of a kind get from the training module, not from a config."""

COMPONENTS = {one.path: one for one in components()}


@pytest.mark.parametrize("path", COMPONENTS)
def test_every_option_is_described(path):
    target = COMPONENTS[path].target
    options = describe_options(target)
    parameters = list(inspect.signature(target).parameters)
    if not inspect.isclass(target):
        assert parameters.pop(0) == "model"  # of a modifier, no option
    assert [one.name for one in options] == parameters
    bare = [one.name for one in options if not one.doc or not one.annotation]
    assert not bare, f"{path}: options without documentation or type: {bare}"
    assert inspect.getdoc(target)


@pytest.mark.slow
@pytest.mark.parametrize("path", COMPONENTS)
def test_schema_and_description_agree(path):
    """Both are read from the code, by different ways."""
    later = LATER.get(COMPONENTS[path].kind, set())
    described = {one.name: one for one in describe_options(COMPONENTS[path].target)}
    schema = component_schema(COMPONENTS[path])
    assert schema["properties"].keys() - {"_target_"} == described.keys() - later
    required = set(schema.get("required", [])) - {"_target_"}
    assert required == {name for name, one in described.items() if not one.default} - later


@pytest.mark.parametrize(
    ("doc", "unit"),
    [
        ("Cutoff radius in Å.", "Å"),
        ("Radius, Å.", "Å"),
        ("Depth of the well in eV, positive.", "eV"),
        ("Largest error in eV/Å (in the model's units).", "eV/Å"),
        ("Pressure in eV/Å³", "eV/Å³"),
        ("Energy of each isolated atom in the data's unit, one or per type.", "as the data"),
        ("Unit system: metal (eV, Å) or real (kcal/mol, Å).", ""),
        ("Number of layers in each part.", ""),
        ("Written in every line.", ""),
    ],
)
def test_units_are_found_in_the_documentation(doc, unit):
    assert OptionDoc("name", "float", "", doc).unit == unit


@dataclasses.dataclass(frozen=True, kw_only=True)
class Described(AnalyticPairPotential):
    """For this test."""

    depth: Annotated[float, Field(gt=0)]
    """Depth of the well
    in eV."""

    names: list[str] = dataclasses.field(default_factory=list)
    """Some names."""

    def pair_energy(self, r, type_i, type_j):
        return self.depth / r


def test_options_of_a_dataclass():
    first, depth, names = describe_options(Described)
    assert (first.name, first.default, first.unit) == ("polynomial_cutoff_p", "6.0", "")
    assert (depth.annotation, depth.default, depth.doc, depth.unit) == ("float", "", "Depth of the well in eV.", "eV")
    assert (names.annotation, names.default) == ("list[str]", "{}")


def test_options_of_a_function_made_a_builder():
    def Made(context, *, width: int = 4):  # noqa: N802 - a class's name
        """A model.

        Args:
            width: Number of features.
        """

    (option,) = [one for one in describe_options(builder(Made)) if one.name == "width"]
    assert (option.annotation, option.default, option.doc) == ("int", "4", "Number of features.")


def test_the_command_prints_units(capsys):
    assert main(["describe", "NequIPGNNModel"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["option", "type", "default", "unit", "meaning"]
    (radius,) = [line for line in lines if line.startswith("r_max")]
    assert " Å " in radius
    assert main(["schema", "NequIPGNNModel"]) == 0
    assert "r_max" in json.loads(capsys.readouterr().out)["properties"]


# ------------------------------------------------------------------------------ for authors of plugins


@pytest.mark.parametrize("hook", HOOK_NAMES)
def test_every_hook_is_described(hook, capsys):
    found = describe_hook(hook)
    compile(found.example, hook, "exec")
    assert found.doc.startswith("Declare ")
    assert [one for one in found.fields if not one.doc] == []
    assert main(["describe", hook]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{hook}  (hook)\nDeclare ")
    assert f"yields {found.entry}:" in out


def test_a_base_class_is_described_with_what_is_to_write(capsys):
    assert main(["describe", "equipot.model.PairPotential"]) == 0
    out = capsys.readouterr().out
    assert "build_pair_energy(context: BuildContext) -> PairEnergy  (to write)" in out
    assert "expected_units() -> Units | None  (may be overridden)" in out
    assert re.search(r"^polynomial_cutoff_p +float +6\.0", out, re.MULTILINE)
    assert main(["describe", "EnergyModule"]) == 0
    assert capsys.readouterr().out.startswith("equipot.model.EnergyModule  (base class)\nThe builder's part of a model")


def test_what_is_nothing_of_these_is_an_error(capsys):
    assert main(["describe", "equipot_modifier"]) == 2
    assert "equipot_modifier: unknown component" in capsys.readouterr().err
