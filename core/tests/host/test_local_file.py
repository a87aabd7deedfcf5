"""``--plugin FILE.py``: a local file trains and evaluates, is refused for what it cannot do, and is never packaged."""

import re
import sys

import pytest

from equipot._cli.main import main
from equipot._host.local_file import NOTICE
from equipot.config._targets import TargetError, resolve_target
from equipot.errors import PluginError
from equipot.plugins import PluginHost, plugins, use_file

MODEL = '''
import torch
from equipot.model import EnergyModule, builder


class Energy(EnergyModule):
    locality = "strict"

    def __init__(self, context, width):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.ones(width, dtype=context.model_dtype))

    def forward(self, data):
        centre, types = data["edge_index"][0], data["atom_types"]
        edges = torch.exp(-data["edge_lengths"]).to(self.weights.dtype)[:, None] * self.weights
        zeros = torch.zeros(types.shape[0], self.weights.shape[0], dtype=edges.dtype)
        return {"atomic_energy": torch.tanh(zeros.index_add(0, centre, edges)).sum(1)}


@builder
def LocalModel(context, *, width: int = 2):
    """A model of a local file.

    Args:
        width: Number of weights.
    """
    return Energy(context, width)
'''
HOOKS = (
    "from equipot import hookimpl\nfrom equipot.declarations import *\n@hookimpl\ndef equipot_pair_potentials():\n"
    "    yield PairPotentialEntry(name='Local', target=f'{__name__}.thing', summary='A test')\n"
    "from equipot.model import PairPotential\nclass thing(PairPotential):\n    pass\n"
)


@pytest.fixture
def local(tmp_path):
    """Write a file ``local(text)``; its module is forgotten afterwards."""
    made = []

    def write(text, name="my_local_model.py"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        made.append(path)
        return str(path)

    yield write
    for path in made:
        if getattr(sys.modules.get(path.stem), "__file__", None) == str(path):
            del sys.modules[path.stem]


@pytest.fixture(autouse=True)
def _no_files(monkeypatch):
    """No file of a test is a plugin of the next."""
    monkeypatch.setattr("equipot._host.host._files", [])
    plugins.cache_clear()
    yield
    plugins.cache_clear()


def test_classes_of_a_file_are_declared_by_name(local):
    path = local(MODEL)
    use_file(path)
    declared = plugins().lookup("model_builders", "LocalModel")
    assert (declared.distribution, declared.version, declared.plugin) == (path, "local file", "my_local_model")
    assert declared.entry.summary == "A model of a local file."
    from equipot.model import LocalModel

    recipe = LocalModel(type_names=["H"], r_max=3.0, width=3, do_derivatives=False)
    assert recipe.build().config["_target_"] == "equipot.model.LocalModel"


def test_hooks_of_a_file_are_called(local):
    host = PluginHost(files=[local(HOOKS)])
    assert host.load("pair_potentials", "Local").__name__ == "thing"


PARTS = """
import lightning
from equipot.data.transforms import Transform
from equipot.train import Loss


class Quiet(lightning.Callback):
    "Does nothing."


class Ours(Transform):
    "Changes nothing."

    def __call__(self, frame):
        return frame


class Half(Loss):
    "Still abstract."


def helper():
    pass
"""


def test_parts_of_a_file_are_declared_by_their_path(local):
    host = PluginHost(files=[local(PARTS)])
    found = {one.path: one.fine_kind for one in host.available("parts") if one.version == "local file"}
    assert found == {"my_local_model.Quiet": "callback", "my_local_model.Ours": "transform"}
    assert host.load("parts", "my_local_model.Quiet").__name__ == "Quiet"


def test_a_config_names_parts_of_a_file_and_nothing_else_of_it(local):
    use_file(local(PARTS))
    assert resolve_target("my_local_model.Quiet", "trainer.callbacks.0").__name__ == "Quiet"
    for target in ("my_local_model.helper", "my_local_model.Half", "my_local_model.lightning.Trainer"):
        with pytest.raises(TargetError, match="is not declared by plugin 'my_local_model'"):
            resolve_target(target, "trainer.callbacks.0")


def test_a_file_with_hooks_declares_parts_by_them(local):
    hooks = (
        "from equipot import hookimpl\nfrom equipot.declarations import PartEntry\n@hookimpl\ndef equipot_parts():\n"
        "    yield PartEntry(kind='transform', target=f'{__name__}.Ours', summary='A test')\n"
    )
    host = PluginHost(files=[local(hooks + PARTS)])
    assert [one.path for one in host.available("parts") if one.version == "local file"] == ["my_local_model.Ours"]


def test_loaded_again_it_is_the_same_module(local):
    path = local(MODEL)
    first = PluginHost(files=[path]).load("model_builders", "LocalModel")
    assert PluginHost(files=[path]).load("model_builders", "LocalModel") is first


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("x = 1\n", "a_file.py", "plugin 'a_file' ({path} local file): declares nothing; define a subclass of"),
        (
            "from equipot.model import PairPotential\nclass Morse(PairPotential):\n    def energy(self): ...\n",
            "a_file.py",
            "plugin 'a_file' ({path} local file): declares nothing, since Morse lacks build_pair_energy; define a",
        ),
        ("x = 1\nraise ValueError('no')\n", "a_file.py", "--plugin {path}, line 2: ValueError: no"),
        ("x = 1\ndef (:\n", "a_file.py", "--plugin {path}, line 2: SyntaxError: invalid syntax"),
        ("import sys\nsys.exit()\n", "a_file.py", "--plugin {path}, line 2: SystemExit: "),
        ("x = 1\n", "a_file.txt", "--plugin: is not a Python file, got '{path}'; write ./my_model.py"),
        ("x = 1\n", "a-file.py", "--plugin: its name is not a Python identifier, got '{path}'; rename it"),
        ("x = 1\n", "core.py", "--plugin: its name is that of the plugin 'core' (equipot "),
        ("x = 1\n", "json.py", "--plugin: its name hides the module 'json', got '{path}'; rename it"),
        ("x = 1\n", "colorsys.py", "--plugin: its name hides the module 'colorsys', got '{path}'; rename it"),
        (
            HOOKS.replace("equipot_pair_potentials", "equipot_pair_potential"), "a_file.py",
            "plugin 'a_file' ({path} local file): equipot_pair_potential: unknown hook;",
        ),
        (
            HOOKS.replace("yield", "return 1 / 0\n    yield"), "a_file.py",
            "plugin 'a_file' ({path} local file): ZeroDivisionError: division by zero",
        ),
        (
            HOOKS.replace("name='Local'", "name='not a name'"), "a_file.py",
            "plugin 'a_file' ({path} local file): ValueError: PairPotentialEntry.name: not a Python identifier",
        ),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_stops_the_command(local, capsys, text, name, message):
    path = local(text, name)
    assert main(["plugins", "--plugin", path]) == 2
    output = capsys.readouterr()
    assert re.sub(r"^error: ", "", output.err).startswith(message.format(path=path))
    assert output.out == ""
    with pytest.raises(PluginError):
        use_file(path)
    assert plugins().names("pair_potentials")  # and the next command is not hurt by it


def test_reported_at_once_and_listed(local, capsys):
    path = local(MODEL)
    for arguments in (["--plugin", path, "plugins"], ["plugins", "--plugin", path]):
        assert main(arguments) == 0
        output = capsys.readouterr()
        assert f"note: --plugin {path}: {NOTICE}" in output.err.splitlines()
        assert re.search(r"^my_local_model .*local.file.*model builders: LocalModel", output.out, re.MULTILINE)


@pytest.mark.parametrize("key", ["plugin", "plugins"])
def test_a_config_cannot_name_a_file(local, folder, key):
    path = local(MODEL)
    assert any(f"{key}: unknown" in text for text in folder.errors(f"+{key}={path}"))


@pytest.mark.slow
def test_trained_evaluated_and_never_packaged(local, folder, capfd):
    path = local(MODEL)
    from_file = ["training_module.model._target_=equipot.model.LocalModel", "~training_module.model.avg_num_neighbors"]
    short = ["trainer.max_epochs=1", "+trainer.limit_train_batches=2"]
    assert "no model builder named 'LocalModel'" in folder.errors(*from_file)[0]
    code, _, err = folder.call(*from_file, *short, "--plugin", path, "--output", "run")
    assert code == 0, err
    assert NOTICE in err
    assert main(["eval", "run/best.ckpt", "water.extxyz", "--plugin", path]) == 0
    capfd.readouterr()
    assert main(["package", "build", "run/best.ckpt", "model.equipot.zip", "--plugin", path]) == 2
    assert (
        f"error: model: a part of it is defined in the local file {path}, so it cannot be packaged or compiled; "
        "make a plugin of the file (equipot plugins new), install it, and train with it"
    ) in capfd.readouterr().err.splitlines()
    assert not (folder.path / "model.equipot.zip").exists()
    assert main(["inspect", "run/best.ckpt"]) == 0
    assert re.search(r"^plugins +equipot-force-stress 0", capfd.readouterr().out, re.MULTILINE)
