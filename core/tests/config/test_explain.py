"""Where values come from."""

import pytest

from equipot._cli.explain import lines
from equipot.config._explain import explain, positions
from equipot.config._load import composition
from equipot.config._targets import AllowList

CONFIG = """\
base: &base
  lr: 0.1
radius: 4.0
data:
  split_dataset: {file_path: a.xyz}
training_module:
  optimizer:
    <<: *base
  model:
    _target_: equipot.model.InvariantModel
    r_max: ${radius}
"""


@pytest.fixture
def explained(tmp_path):
    (tmp_path / "c.yaml").write_text(CONFIG.replace("base: &base\n  lr: 0.1\n", "").replace("<<: *base", "lr: 0.1"))
    found = composition(tmp_path / "c.yaml", ["trainer.max_epochs=3", "~training_module.lr_scheduler"])
    return {one.path: one for one in explain(found, AllowList())}


def test_every_kind_of_source(explained):
    sources = {path: (one.value, one.source, one.detail) for path, one in explained.items()}
    assert sources["data.split_dataset.file_path"] == ("a.xyz", "file", "c.yaml:3")
    assert sources["training_module.optimizer.lr"] == (0.1, "file", "c.yaml:6")
    assert sources["trainer.max_epochs"] == (3, "command line", "trainer.max_epochs=3")
    assert sources["data.seed"][:2] == (1, "default")
    assert sources["training_module.model.num_channels"][1:] == ("class", "InvariantModel")
    assert not [path for path in sources if path.startswith("training_module.lr_scheduler.")]


def test_what_values_are_computed_from(explained):
    assert explained["training_module.model.r_max"].value == 4.0
    assert explained["training_module.model.r_max"].follows == ["radius (file, c.yaml:1)"]
    assert explained["training_module.model.type_names"].follows == ["the elements of the data"]
    shifts = explained["training_module.model.per_type_energy_shifts"]
    assert shifts.value == "${training_data_stats:per_type_energy_shifts_auto}"
    assert shifts.follows == ["the training data"]


def test_the_screen_has_eighty_columns(explained):
    shown = lines([*explained.values()], 80)
    assert max(map(len, shown)) <= 80
    assert any(line.split() == ["max_epochs:", "3", "command", "line"] for line in shown)
    reasons = shown[shown.index("Why the defaults:") :]
    assert any(line.startswith("data.split_dataset: ") for line in reasons)


def test_lines_of_merged_keys_and_of_groups(tmp_path):
    (tmp_path / "c.yaml").write_text(CONFIG)
    found = positions(tmp_path / "c.yaml", "")
    assert found["training_module.optimizer.lr"] == "c.yaml:2"
    assert positions(tmp_path / "c.yaml", "a.b")["a.b.radius"] == "c.yaml:3"
