"""Automatic modifiers: of a plugin that is made here, in all places that apply them."""

import functools
import json
import logging

import lightning
import pytest
import torch

from equipot._cli.main import main
from equipot.ase import EquipotCalculator
from equipot.declarations import ModifierEntry
from equipot.errors import ConfigError, UnavailableError
from equipot.graph import collate
from equipot.model import AutomaticModifiers, apply_automatic, apply_modifier
from equipot.plugins import PluginHost
from equipot.train import EMALightningModule, EnergyForceLoss
from equipot_testing.frames import batch_of, bulk
from equipot_testing.toy import ToyModel

SOURCE = """
from equipot import hookimpl
from equipot.declarations import ModifierEntry

@hookimpl
def equipot_modifiers():
    yield ModifierEntry(
        name="enable_Haste", target="{module}.enable_Haste", summary="Nothing, but fast", persistent=False,
        automatic=True, devices=("cpu",), compile_modes=("aotinductor",),
    )

def enable_Haste(model):
    from equipot.errors import ConfigError, UnavailableError
    {body}
"""
REPLACE = "return model.replace(derivatives=model.derivatives)"
GIVES_UP = """
    from equipot.model import Evaluator
    class Evaluates(Evaluator):
        def evaluate(self, model, data):
            self.fall_back("no short cut for this model: too long")
    return model.replace(evaluator=Evaluates())
"""
LINE = "automatic modifiers: enable_Haste (quick-models 1.2.3)"


@pytest.fixture
def plugin(install, monkeypatch):
    """A plugin with an automatic modifier that does this."""

    def make(body=REPLACE):
        source = SOURCE.replace("{body}", body)
        install("quick-models", "quick", source.replace("{module}", "fake_quick_models_0"))
        host = PluginHost()
        for module in ("_automatic", "_modifiers"):
            monkeypatch.setattr(f"equipot.model.{module}.plugins", lambda: host)
        monkeypatch.setenv("EQUIPOT_AUTOMATIC_MODIFIERS", "1")

    return make


@pytest.fixture(autouse=True)
def _without_kernels(monkeypatch):
    monkeypatch.setenv("EQUIPOT_PLUGINS", "-kernels")
    monkeypatch.setattr("equipot._host.host.PluginHost.__init__.__defaults__", ("-kernels",))


def toy(**options):
    return ToyModel(**{"type_names": ["H", "C"], "r_max": 4.0, "model_dtype": "float64", **options}).build()


def test_applied_and_named_with_its_version(plugin):
    plugin()
    model = toy()
    result, chosen = apply_automatic(model)
    assert result is not model
    assert result.energy is model.energy
    assert chosen.line == LINE
    assert chosen.to_dict() == {"enable_Haste": "quick-models 1.2.3"}
    assert [hint.name for hint in result.hints] == ["enable_Haste"]
    assert result.modifiers == model.modifiers
    assert result.replace(scale_shift=model.scale_shift).hints == result.hints


def test_a_model_that_has_it_is_left_alone(plugin):
    plugin()
    model = apply_modifier(toy(), "enable_Haste")
    result, chosen = apply_automatic(model)
    assert result is model
    assert chosen.line == LINE


def test_switches(plugin, monkeypatch):
    plugin()
    model = toy()
    assert apply_automatic(model, enabled=False) == (model, AutomaticModifiers())
    assert apply_automatic(model, "meta") == (model, AutomaticModifiers())
    assert apply_automatic(model, compile_mode="other") == (model, AutomaticModifiers())
    assert apply_automatic(model, compile_mode="aotinductor")[0] is not model
    monkeypatch.setenv("EQUIPOT_AUTOMATIC_MODIFIERS", "0")
    assert apply_automatic(model) == (model, AutomaticModifiers())
    monkeypatch.setenv("EQUIPOT_AUTOMATIC_MODIFIERS", "no")
    with pytest.raises(ConfigError, match="EQUIPOT_AUTOMATIC_MODIFIERS: must be 0 or 1, got 'no'"):
        apply_automatic(model)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("raise ConfigError('nothing here')", ""),
        ("return model", ""),
        ("raise UnavailableError('no compiler;\\n install one')", "not enable_Haste: no compiler; install one"),
        ("raise OSError('disk full')", "not enable_Haste: it failed (OSError: disk full)"),
        ("return None", "not enable_Haste: it failed (PluginError: modifier enable_Haste: must return a GraphModel"),
        (
            "import torch; return model.replace(energy_terms={'more': torch.nn.Linear(1, 1)})",
            "not enable_Haste: it failed (",
        ),
    ],
)
def test_whatever_fails_leaves_the_model_as_it_is(plugin, body, line):
    plugin(body)
    model = toy()
    result, chosen = apply_automatic(model)
    assert result is model
    assert chosen.applied == {}
    assert chosen.line.startswith(f"automatic modifiers: {line}" if line else line)
    assert chosen.line or not line


def test_asked_for_it_warns_where_the_machine_lacks_something(plugin):
    plugin("raise UnavailableError('no compiler')")
    model = toy()
    with pytest.warns(RuntimeWarning, match="modifier enable_Haste: the model stays without it: no compiler"):
        assert apply_modifier(model, "enable_Haste") is model


def test_what_changed_since_a_record():
    now = AutomaticModifiers({"enable_Haste": "quick-models 2.0"})
    assert now.change(now.to_dict()) == ""
    text = "automatic modifiers were enable_Haste (quick-models 1.0), now enable_Haste (quick-models 2.0)"
    assert now.change({"enable_Haste": "quick-models 1.0"}).startswith(text)
    assert "were none, now enable_Haste" in now.change({})


def test_a_persistent_modifier_cannot_be_automatic():
    with pytest.raises(ValueError, match=r"ModifierEntry.automatic: a persistent modifier must be asked for"):
        ModifierEntry(name="change", target="a.b", summary="", persistent=True, automatic=True)
    assert issubclass(UnavailableError, Exception)


# ------------------------------------------------------------------------------ training


def module(**options):
    adam = functools.partial(torch.optim.Adam, lr=0.01)
    loss = EnergyForceLoss({"total_energy": 1.0, "forces": 1.0})
    return EMALightningModule(model=toy(), loss=loss, optimizer=adam, **options)


def fitted(trained, **options):
    frame = bulk(2).graph(trained.model.info)
    frame |= {"total_energy": torch.zeros(1, dtype=torch.float64), "forces": torch.ones_like(frame["positions"])}
    loader = torch.utils.data.DataLoader([collate([frame])], batch_size=None)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", enable_checkpointing=False, **quiet)
    trainer.fit(trained, loader, **options)
    return trainer


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_training_python(plugin, capsys):
    plugin()
    trained = module()
    weights = list(trained.model.parameters())
    trainer = fitted(trained)
    assert capsys.readouterr().out.splitlines() == [LINE]
    assert [hint.name for hint in trained.model.hints] == ["enable_Haste"]
    assert [hint.name for hint in trained.ema.hints] == ["enable_Haste"]
    assert all(one is other for one, other in zip(trained.model.parameters(), weights, strict=True))
    checkpoint = {"equipot": {"automatic_modifiers": {}}}
    trained.trainer = trainer
    trainer.state.fn = "fit"
    trained.on_load_checkpoint(checkpoint)
    assert "automatic modifiers were none, now enable_Haste (quick-models 1.2.3)" in capsys.readouterr().out
    fitted(module(automatic_modifiers=False))
    assert capsys.readouterr().out == ""


def test_training_command(plugin, folder):
    plugin()
    code, output, errors = folder.call("--output", "out", "trainer.max_epochs=1")
    assert code == 0, errors
    assert output.count(LINE) == 1
    assert LINE in (folder.path / "out/train.log").read_text()
    results = json.loads((folder.path / "out/results.json").read_text())
    assert results["automatic_modifiers"] == {"enable_Haste": "quick-models 1.2.3"}
    saved = torch.load(folder.path / "out/last.ckpt", weights_only=True)
    assert saved["equipot"]["automatic_modifiers"] == {"enable_Haste": "quick-models 1.2.3"}
    off = "+training_module.automatic_modifiers=false"
    code, output, errors = folder.call("--output", "off", "trainer.max_epochs=1", off)
    assert code == 0, errors
    assert "automatic" not in output
    assert "automatic_modifiers" not in json.loads((folder.path / "off/results.json").read_text())


def test_what_is_left_to_the_model_is_said_once_and_recorded(plugin, folder, package_file, capfd):
    plugin(GIVES_UP)
    text = "no short cut for this model: too long"
    code, output, errors = folder.call("--output", "out", "trainer.max_epochs=2")
    assert code == 0, errors
    assert output.count(text) == 1
    assert (folder.path / "out/train.log").read_text().count(text) == 1
    assert json.loads((folder.path / "out/results.json").read_text())["fallbacks"] == [text]
    assert main(["eval", str(package_file), str(folder.path / "water.extxyz"), "--json"]) == 0
    found = capfd.readouterr()
    assert found.err.count(text) == 1
    assert json.loads(found.out)["fallbacks"] == [text]


# ------------------------------------------------------------------------------ other places


def test_eval(plugin, folder, package_file, capfd):
    plugin()
    data = str(folder.path / "water.extxyz")
    assert main(["eval", str(package_file), data, "--json"]) == 0
    found = capfd.readouterr()
    assert LINE in found.err
    assert json.loads(found.out)["automatic_modifiers"] == {"enable_Haste": "quick-models 1.2.3"}
    assert main(["eval", str(package_file), data, "--json", "--no-automatic-modifiers"]) == 0
    found = capfd.readouterr()
    assert "automatic" not in found.err
    assert json.loads(found.out)["automatic_modifiers"] == {}


def test_calculator(plugin, caplog):
    plugin()
    caplog.set_level(logging.INFO, "equipot.ase")
    made = EquipotCalculator(toy())
    assert made.automatic.line == LINE
    assert LINE in caplog.text
    assert [hint.name for hint in made.model.hints] == ["enable_Haste"]
    assert EquipotCalculator(toy(), automatic_modifiers=False).model.hints == ()


def test_compile(plugin, package_file, tmp_path, monkeypatch, capfd):
    plugin()
    compiled = []

    def compile_model(model, *_, **__):
        compiled.append(model)
        raise ConfigError("enough")

    monkeypatch.setattr("equipot.compile.compile_model", compile_model)
    for more in ([], ["--no-automatic-modifiers"]):
        assert main(["compile", str(package_file), str(tmp_path / "out.equipot.pt2"), *more]) == 2
    assert [len(model.hints) for model in compiled] == [1, 0]
    assert capfd.readouterr().err.count(LINE) == 1


def test_numbers_are_those_of_the_model(plugin):
    plugin()
    model = toy().eval()
    batch = batch_of([bulk(2)], model.info)
    assert torch.equal(apply_automatic(model)[0](batch)["forces"], model(batch)["forces"])
