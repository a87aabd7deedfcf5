"""Configs of nequip rewritten as configs of equipot: comments and layout stay."""

from pathlib import Path

import pytest
import yaml

from equipot._cli.main import main
from equipot.config import translate_container
from equipot.errors import ConfigError
from equipot_from_nequip._rewrite import rewrite_text

TUTORIAL = Path(__file__).parent / "configs" / "tutorial.yaml"


def rewritten(text):
    return rewrite_text(text, "old.yaml")[0]


def test_the_tutorial_keeps_its_comments_and_every_line_that_need_not_change():
    old = TUTORIAL.read_text(encoding="utf-8")
    new, changes = rewrite_text(old, "old.yaml")
    assert yaml.safe_load(new) == translate_container(yaml.safe_load(old))[0]
    assert "nequip." not in "".join(line for line in new.splitlines() if not line.lstrip().startswith("#"))
    before, after = old.splitlines(), new.splitlines()
    assert len(before) == len(after)
    differing = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert all("nequip" in pair[1] or "equipot" in pair[1] for pair in differing)
    assert changes == 13
    for comment in ("# values that stand in several places", "batch_size: 5  # frames", "# best.ckpt", "# repulsion"):
        assert comment in new
    assert "    # nequip only: compile_mode: compile" in new
    assert "# nequip only:   allow_tf32: false" in new


def test_the_command_writes_a_config_that_needs_no_plugin_of_nequip(tmp_path, capsys, monkeypatch):
    new = tmp_path / "new.yaml"
    assert main(["import-nequip", "--config", str(TUTORIAL), str(new)]) == 0
    assert f"wrote {new}: 13 names and options changed; try: equipot check {new}" in capsys.readouterr().out
    assert main(["import-nequip", "--config", str(TUTORIAL), str(new)]) == 2
    assert "exists already" in capsys.readouterr().err
    monkeypatch.setattr("equipot.config._check.translate", lambda config: (config, []))
    text = new.read_text(encoding="utf-8").replace("accelerator: gpu", "accelerator: cpu")
    logger = text[text.index("  logger:\n") : text.index("  callbacks:\n")]
    new.write_text(text.replace(logger, "  logger: false\n"), encoding="utf-8")
    assert main(["check", str(new)]) == 0, capsys.readouterr().err


LAYOUTS = {
    "braces": (
        "a: {_target_: nequip.model.NequIPGNNModel, compile_mode: compile, l_max: 1}  # here\n",
        "a: {_target_: equipot.model.NequIPGNNModel, l_max: 1}  # here\n",
    ),
    "quotes": (
        "a:\n  _target_: 'nequip.train.EMALightningModule'\n  x: 1\n",
        "a:\n  _target_: equipot.train.EMALightningModule\n  x: 1\n",
    ),
    "end of file": (
        "a:\n  x: 1 # one\n  _target_: nequip.train.SimpleDDPStrategy",
        "a:\n  x: 1 # one\n  _target_: lightning.pytorch.strategies.DDPStrategy",
    ),
    "added keys": (
        """
m:
    _target_: nequip.model.NequIPGNNEnergyModel # old name
    # of layers
    num_layers: 2
""",
        """
m:
    _target_: equipot.model.NequIPGNNModel # old name
    do_derivatives: false
    # of layers
    num_layers: 2
""",
    ),
    "list of mappings": (
        """
trainer:
  # two of them
  - _target_: nequip.train.callbacks.SoftAdapt
    beta: 1.1  # steep
  - _target_: other.Thing
""",
        """
trainer:
  # two of them
  - _target_: equipot_toolbox.SoftAdapt
    beta: 1.1  # steep
  - _target_: other.Thing
""",
    ),
    "shorter list": (
        """
m:
  _target_: nequip.model.modify
  model: ${x}
  modifiers:
    # fast
    - modifier: enable_OpenEquivariance
    - modifier: f
  y: 1
""",
        """
m:
  _target_: equipot.model.modify
  model: ${x}
  modifiers:
    # fast
    [{modifier: f}]
    # nequip only: - modifier: enable_OpenEquivariance
    # nequip only: - modifier: f
  y: 1
""",
    ),
    "first key goes": (
        """
data:
  - compile_mode: eager
    _target_: nequip.model.NequIPGNNModel
    l_max: 1
""",
        """
data:
  - {_target_: equipot.model.NequIPGNNModel, l_max: 1}
    # nequip only: compile_mode: eager
    # nequip only: _target_: nequip.model.NequIPGNNModel
    # nequip only: l_max: 1
""",
    ),
    "unused variable": (
        """
radius: 5.0  # Å
data:
  _target_: nequip.data.datamodule.ASEDataModule
  transforms:
  - _target_: nequip.data.transforms.NeighborListTransform
    r_max: ${radius}
""",
        """
# nequip only: radius: 5.0  # Å
data:
  _target_: equipot.data.ASEDataModule
  # nequip only: transforms:
  # nequip only: - _target_: nequip.data.transforms.NeighborListTransform
  # nequip only:   r_max: ${radius}
""",
    ),
    "nothing to do": ("run: [train]  # only\ntrainer: {_target_: lightning.Trainer}\n",) * 2,
}


@pytest.mark.parametrize(("old", "new"), LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(old, new):
    assert rewritten(old) == new


def test_an_anchor_used_twice_is_changed_once():
    text = "a: &loss\n  _target_: nequip.train.EnergyForceLoss\n  per_atom_energy: true\nb: *loss\n"
    assert rewritten(text) == text.replace("nequip.", "equipot.")


ANCHORED = """
m:
  _target_: nequip.model.modify
  model: ${x}
  modifiers: &fast
    - modifier: enable_OpenEquivariance
    - modifier: f
data: *fast
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1\n- 2\n", "old.yaml: must be a mapping"),
        ("a: [1\n", "old.yaml: not valid YAML"),
        ("a: {_target_: nequip.data.PartialSampler}\n", "a._target_: has no counterpart, got 'nequip.data.Partial"),
        (ANCHORED, "old.yaml: its layout cannot be kept"),
    ],
)
def test_what_cannot_be_rewritten_is_reported(text, message):
    with pytest.raises(ConfigError) as caught:
        rewritten(text)
    assert message in str(caught.value)


def test_nothing_is_written_after_an_error(tmp_path, capsys):
    old = tmp_path / "old.yaml"
    old.write_text("a: {_target_: nequip.data.PartialSampler}\nb: {_target_: nequip.model.FullNequIPGNNModel}\n")
    assert main(["import-nequip", "--config", str(old), str(tmp_path / "new.yaml")]) == 2
    assert "2 errors" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [old]
    assert main(["import-nequip", "--config", str(old), str(tmp_path / "new.yml")]) == 2
    assert "new.yml: must end in .yaml" in capsys.readouterr().err
    assert main(["import-nequip", "--config", str(tmp_path / "none.yaml"), str(tmp_path / "new.yaml")]) == 2
    assert "No such file or directory" in capsys.readouterr().err
