import json

import pytest

from equipot.config._components import components, find
from equipot.config._schema import config_schema
from equipot.describe import describe_options
from equipot.errors import ConfigError


def test_schema_is_valid_and_describes_every_option():
    import jsonschema

    schema = json.loads(json.dumps(config_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    model = schema["$defs"]["equipot.model.InvariantModel"]
    assert model["required"] == ["_target_", "type_names", "r_max"]
    assert model["properties"]["r_max"]["exclusiveMinimum"] == 0
    assert model["additionalProperties"] is False
    validator = jsonschema.Draft202012Validator(model)
    good = {"_target_": "equipot.model.InvariantModel", "type_names": ["H"], "r_max": 4.0}
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "r_max": -1})
    assert not validator.is_valid({**good, "num_chanels": 3})


def test_training_components_document_every_option():
    missing = [
        f"{one.path}.{option.name}"
        for one in components()
        if one.path.startswith("equipot.train.")
        for option in describe_options(one.target)
        if not option.doc
    ]
    assert missing == []


@pytest.mark.usefixtures("missing_plugin")
def test_find_by_short_name_and_path():
    (short,) = find("ZBL")
    assert find("equipot.pair_potentials.ZBL") == [short]
    assert short.origin.startswith("equipot-zbl ")
    with pytest.raises(ConfigError, match="did you mean 'ZBL'"):
        find("ZBLL")
    (own,) = find("equipot_zbl.zbl_energy")
    assert (own.target.__name__, own.kind, own.origin) == ("zbl_energy", "zbl", short.origin)
    with pytest.raises(ConfigError, match="did you mean 'zbl_energy'"):
        find("equipot_zbl.zbl_energi")
    with pytest.raises(ConfigError, match="pip install equipot-cube"):
        find("CubeModel")
