import copy
import dataclasses
from typing import Annotated

import pytest
import torch
from pydantic import Field

from equipot.errors import ConfigError, PluginError
from equipot.model import AnalyticPairPotential, EnergyTerm, ModelBuilder, PairEnergy, PairPotential, builder, modify
from equipot.options import to_config
from equipot.plugins import PluginHost
from equipot_testing.frames import bulk
from equipot_testing.toy import ToyEnergy, ToyFeatures, ToyModel


def recipe(**options):
    return ToyModel(**{"type_names": ["H", "C"], "r_max": 4.0, **options})


def problems_of(**options):
    with pytest.raises(ConfigError) as caught:
        recipe(**options)
    return caught.value.problems


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wall(PairPotential):
    """A pair potential in units of its own."""

    units: str = "metal"
    height: float = 1.0

    def build_pair_energy(self, context):
        return WallEnergy()


class WallEnergy(PairEnergy):
    def forward(self, r, type_i, type_j):
        return 1.0 / r


# ----------------------------------------------------------------------------- checks


def test_all_problems_come_at_once():
    assert problems_of(type_names=["H", "H", "C-1"], per_type_energy_shifts={"H": 1.0, "X": 2.0}) == [
        "ToyModel.type_names: must be unique, got ['H', 'H', 'C-1']",
        "ToyModel.type_names: must be letters and digits only, got 'C-1'",
        "ToyModel.per_type_energy_shifts.X: unknown type name; type names: H, H, C-1",
        (
            "ToyModel.per_type_energy_shifts: no value for the types ['C-1'], got {'H': 1.0, 'X': 2.0}; "
            "give one for each of ['H', 'H', 'C-1']"
        ),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"r_max": 0}, "ToyModel.r_max: must be greater than 0, got 0"),
        ({"r_max": "4"}, "ToyModel.r_max: must be a number, got '4'"),
        ({"type_names": []}, "ToyModel.type_names: "),
        ({"seed": 1.5}, "ToyModel.seed: must be an integer, got 1.5"),
        ({"model_dtype": "float16"}, "ToyModel.model_dtype: must be 'float32' or 'float64', got 'float16'"),
        ({"do_derivatives": "no"}, "ToyModel.do_derivatives: must be true or false, got 'no'"),
        ({"pair_potential": 3}, "ToyModel.pair_potential: "),
        ({"chemical_species": ["C", "H"]}, "ToyModel.chemical_species: type 'H' is an element but its species is 'C'"),
    ],
)
def test_wrong_option(options, message):
    assert problems_of(**options)[0].startswith(message)


def test_recipes_are_immutable_and_hashable_by_value_of_their_config():
    one = recipe()
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.r_max = 5.0
    assert one == recipe()
    assert to_config(one) == to_config(recipe())


def test_a_subclass_cannot_redefine_what_core_owns():
    with pytest.raises(TypeError, match=r"redefines the fields \['r_max', 'seed'\] that ModelBuilder owns"):

        class Greedy(ModelBuilder):
            r_max: float = 3.0
            seed: int = 4


def test_calling_a_recipe_says_what_to_do():
    with pytest.raises(TypeError, match=r"ToyModel is a recipe, not a model; call .build\(\) first"):
        recipe()({})


# ------------------------------------------------------------------------------ build


def test_info_is_known_before_the_model():
    made = recipe(per_edge_type_cutoff={"H": 2.0}, model_dtype="float64")
    info, model = made.info("real"), made.build("real")
    for name in ("type_names", "chemical_species", "r_max", "cutoffs", "model_dtype", "units", "edge_sets"):
        assert getattr(info, name) == getattr(model.info, name)


def test_models_are_in_train_mode_and_follow_from_the_seed():
    first, second, third = recipe().build(), recipe().build(), recipe(seed=2).build()
    assert first.training
    assert torch.equal(first.energy.weights, second.energy.weights)
    assert not torch.equal(first.energy.weights, third.energy.weights)


def test_derivatives_are_recorded_as_the_modifier_that_made_them():
    model = recipe().build()
    (applied,) = model.modifiers
    assert applied.name == "enable_ForceStressOutput"
    assert applied.distribution == "equipot-force-stress"
    assert recipe(do_derivatives=False).build().modifiers == ()


def test_without_a_plugin_for_forces_the_error_says_what_to_install(monkeypatch):
    host = PluginHost("none")
    host.records = [record for record in host.records if record.id == "core"]
    monkeypatch.setattr("equipot.model._modifiers.plugins", lambda: host)
    with pytest.raises(PluginError) as caught:
        recipe().build()
    assert str(caught.value) == (
        "do_derivatives: no installed plugin provides forces and stress; "
        "pip install equipot-force-stress, or set do_derivatives: false"
    )
    assert recipe(do_derivatives=False).build().derivatives is None


def test_units_of_a_potential_must_be_those_of_the_data():
    made = recipe(pair_potential=Wall(), energy_terms={"second": Wall(units="real")})
    assert made.unit_problems("real") == ["pair_potential.units: must equal data.units = 'real', got 'metal'"]
    with pytest.raises(ConfigError, match=r"second.units: must equal data.units = 'metal', got 'real'"):
        made.build("metal")


def test_pair_potential_is_short_for_an_energy_term():
    short = recipe(pair_potential=Wall(), model_dtype="float64").build().eval()
    long = recipe(energy_terms={"pair_potential": Wall()}, model_dtype="float64").build().eval()
    graph = bulk(2).graph(short.info)
    assert torch.equal(short(graph)["total_energy"], long(graph)["total_energy"])
    assert short.state_dict().keys() == long.state_dict().keys()


def test_a_term_whose_radius_is_not_what_it_said_is_refused():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Lying(Wall):
        def own_r_max(self):
            return 6.0

    with pytest.raises(ConfigError, match=r"energy_terms.far: own_r_max\(\) is 6.0 but its module's r_max differs"):
        recipe(energy_terms={"far": Lying()}).build()


def test_terms_are_told_the_features_and_do_not_change_the_weights_of_the_energy():
    told = []

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Greedy(Wall):
        """A potential that draws random numbers."""

        def build_pair_energy(self, context):
            told.append(context.node_features)
            torch.rand(3, generator=context.generator)
            return WallEnergy()

    options = {"type_names": ["H", "C"], "r_max": 4.0}
    bare = ToyFeatures(**options).build()
    drawn = ToyFeatures(**options, pair_potential=Greedy()).build()
    assert torch.equal(drawn.energy.weights, bare.energy.weights)
    recipe(pair_potential=Greedy()).build()
    assert told == ["1x0e+1x1o", None]


def test_config_holds_every_option_in_plain_containers():
    config = recipe(pair_potential=Wall(height=2.0), per_type_energy_shifts={"H": 1, "C": 2}).build().config
    assert config["_target_"] == "equipot_testing.toy.ToyModel"
    assert config["per_type_energy_shifts"] == {"H": 1.0, "C": 2.0}
    assert config["pair_potential"]["height"] == 2.0
    assert set(config) == {"_target_", *(field.name for field in dataclasses.fields(ToyModel))}


# --------------------------------------------------------------- a function as a builder


@builder
def Wide(context, *, width: Annotated[int, Field(ge=1)], names: list[str] = ["a"]):  # noqa: B006, N802 - as users may write
    """A toy model from a function."""
    energy = ToyEnergy(context)
    energy.width = width
    return energy


def test_function_becomes_a_builder_class():
    made = Wide(type_names=["H"], r_max=3.0, width=5)
    assert isinstance(made, ModelBuilder)
    assert (made.width, made.names) == (5, ["a"])
    assert made.build().energy.width == 5
    assert Wide.__doc__ == "A toy model from a function."
    assert Wide(type_names=["H"], r_max=3.0, width=5).names is not made.names


def test_options_of_a_function_are_checked():
    with pytest.raises(ConfigError, match="Wide.width: must be greater than or equal to 1, got 0"):
        Wide(type_names=["H"], r_max=3.0, width=0)


def positional(context, width: int = 1):
    return context, width


def bare(context, *, width=1):
    return context, width


def open_ended(context, **width: int):
    return context, width


@pytest.mark.parametrize("function", [positional, bare, open_ended])
def test_functions_without_clear_options_are_refused(function):
    with pytest.raises(TypeError, match="option 'width' must be keyword-only and annotated"):
        builder(function)


# ------------------------------------------------------------------------------ modify


def test_modify_applies_modifiers_in_order():
    model = modify(
        model=recipe(do_derivatives=False, model_dtype="float64"),
        modifiers=[{"modifier": "enable_ForceStressOutput"}, {"modifier": "modify_PerTypeScaleShift", "shifts": -2.0}],
    ).build()
    assert [applied.name for applied in model.modifiers] == ["enable_ForceStressOutput", "modify_PerTypeScaleShift"]
    assert model.scale_shift.values("shifts") == {"H": -2.0, "C": -2.0}
    assert model.derivatives is not None


def test_modify_knows_the_inner_models_info():
    assert modify(model=recipe(), modifiers=[]).info("real") == recipe().info("real")


def test_modify_reports_all_problems_before_anything_is_built():
    with pytest.raises(ConfigError) as caught:
        modify(
            model=recipe(),
            modifiers=[
                {},
                {"modifier": "sharpen"},
                {"modifier": "modify_PerTypeScaleShift", "scale": 1.0, "shifts": "x"},
            ],
        )
    first, second, third, fourth = caught.value.problems
    assert first == "modify.modifiers.0.modifier: required option is missing; name an installed modifier"
    assert second.startswith("modify.modifiers.1.modifier: no modifier named 'sharpen'; installed: [")
    assert third == "modify.modifiers.2.scale: unknown option; did you mean 'scales'?"
    assert fourth == "modify.modifiers.2.shifts: must be a number or must be a mapping, got 'x'"


def test_terms_are_checked_to_be_terms():
    assert issubclass(Wall, EnergyTerm)
    assert problems_of(energy_terms={"a": 1})[0].startswith("ToyModel.energy_terms.a: ")


def test_a_pair_potential_can_be_just_a_formula():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Inverse(AnalyticPairPotential):
        strength: float = 2.0

        def pair_energy(self, r, type_i, type_j):
            return self.strength / r

    recipe = ToyModel(type_names=["H"], r_max=4.0, do_derivatives=False, pair_potential=Inverse(strength=3.0))
    model = recipe.build()
    r = torch.tensor([0.5, 2.0], dtype=torch.float64)
    types = torch.zeros(2, dtype=torch.int64)
    pair_energy = model.energy_terms["pair_potential"].pair_energy
    assert pair_energy(r, types, types).tolist() == [6.0, 1.5]
    assert copy.deepcopy(model).energy_terms["pair_potential"].pair_energy(r, types, types).tolist() == [6.0, 1.5]
    with pytest.raises(TypeError, match="abstract"):
        AnalyticPairPotential()
