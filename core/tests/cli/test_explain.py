"""``equipot explain``."""

import json


def test_json_has_every_value_with_its_source(folder):
    code, output, _ = folder.call("--json", "trainer.max_epochs=3", command="explain")
    assert code == 0
    values = {one["path"]: one for one in json.loads(output)["values"]}
    assert values["trainer.max_epochs"] == {
        "path": "trainer.max_epochs",
        "value": 3,
        "source": "command line",
        "detail": "trainer.max_epochs=3",
        "follows": [],
    }
    assert values["training_module.model.r_max"]["source"] == "file"
    assert {one["source"] for one in values.values()} == {"file", "command line", "class"}
