import pytest
import torch

from equipot.artifacts._rebuild import options_from_config, rebuild_model
from equipot.errors import ArtifactError, ConfigError, PluginNotFoundError
from equipot.model import AppliedModifier

INVARIANT = "equipot.model.InvariantModel"


def config(**changes):
    base = {"_target_": INVARIANT, "type_names": ["H", "C"], "r_max": 4.0, "num_channels": 3}
    return {**base, **changes}


ZBL = {"_target_": "equipot.pair_potentials.ZBL", "units": "metal"}


def test_nested_components_are_rebuilt():
    recipe = options_from_config(config(pair_potential=ZBL, energy_terms={}))
    assert type(recipe).__name__ == "InvariantModel"
    assert type(recipe.pair_potential).__name__ == "ZBL"
    assert recipe.num_channels == 3


def test_energy_terms_by_name_are_rebuilt():
    assert type(options_from_config(config(energy_terms={"zbl": ZBL})).energy_terms["zbl"]).__name__ == "ZBL"


def test_rebuilt_model_has_the_same_config_and_state():
    model = rebuild_model(config(pair_potential=ZBL), [AppliedModifier("enable_ForceStressOutput", {}, "x", "0")])
    again = rebuild_model(model.config, model.modifiers)
    assert again.config == model.config
    assert again.derivatives is not None
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)


@pytest.mark.parametrize(
    "target", ["os.system", "equipot.model._recipe.ModelBuilder", "equipot.modifiers.modify_PerTypeScaleShift", ""]
)
def test_a_file_can_never_name_code(target):
    with pytest.raises(ArtifactError, match="must name a registered component"):
        options_from_config(config(_target_=target))
    with pytest.raises(ArtifactError, match=r"model.pair_potential: must name a registered component"):
        options_from_config(config(pair_potential={**ZBL, "_target_": target}))


@pytest.mark.usefixtures("missing_plugin")
def test_missing_plugin_says_what_to_install():
    with pytest.raises(PluginNotFoundError, match="pip install equipot-cube"):
        options_from_config(config(_target_="equipot.model.CubeModel"))


def test_a_pair_potential_is_no_model():
    with pytest.raises(ArtifactError, match="model: is not a model builder, got 'ZBL'"):
        rebuild_model(ZBL, [])


def test_options_that_the_installed_version_does_not_have():
    with pytest.raises((ConfigError, TypeError), match="num_chanels"):
        options_from_config(config(num_chanels=2))
