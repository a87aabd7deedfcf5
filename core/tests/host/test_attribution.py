"""Errors of a plugin's code at run time keep type and traceback, and say whose they are."""

import sys
import traceback

import click
import pytest

from equipot._cli.common import run
from equipot._cli.main import main
from equipot._host.attribution import faults_named, name_plugin
from equipot.artifacts import random_frames
from equipot.compile import compile_model, export_model
from equipot.errors import ArtifactError, ConfigError, PluginError
from equipot.model import apply_modifier
from equipot.plugins import plugins
from equipot_testing.frames import batch_of, standard_structures
from equipot_testing.toy import ToyModel

LOOKING = """
from equipot import hookimpl
from equipot.declarations import FieldEntry, ModifierEntry


@hookimpl
def equipot_fields():
    yield FieldEntry(key="sign", per="atom", shape=("n_atoms",), unit="", irreps="0e", meaning="of the energy")


@hookimpl
def equipot_modifiers():
    yield ModifierEntry(name="look_at_values", target=f"{__name__}.look_at_values", summary="Looks", persistent=True)


def look(values):
    return 1.0 if values.sum().item() > 0 else 2.0


def look_at_values(model, *, part: str):
    import copy

    from equipot.model import OutputHead

    class Head(OutputHead):
        requires, provides = ("atomic_energy",), ("sign",)

        def forward(self, data):
            return {"sign": look(data["atomic_energy"]) * data["atomic_energy"]}

    if part == "outputs":
        return model.replace(outputs={"head": Head()})

    class Energy(type(model.energy)):
        def forward(self, data):
            found = super().forward(data)
            return {"atomic_energy": look(found["atomic_energy"]) * found["atomic_energy"]}

    energy = copy.copy(model.energy)
    energy.__class__ = Energy
    return model.replace(energy=energy)
"""

SOURCE = '''
import dataclasses
import torch
from equipot import hookimpl
from equipot.declarations import *
from equipot.model import Derivatives, EnergyModule, GraphModel, ModelBuilder, PairEnergy, PairPotential


def fail(text):
    raise RuntimeError(text)


class BadEnergy(EnergyModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, data):
        fail("in the energy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BadModel(ModelBuilder):
    """A model that fails."""

    in_build: bool = False
    """Fail earlier."""

    def build_energy(self, context):
        return fail("in the builder") if self.in_build else BadEnergy()


class BadPairEnergy(PairEnergy):
    def forward(self, r, type_i, type_j):
        fail("in the pair potential")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BadPair(PairPotential):
    """A pair potential that fails."""

    def build_pair_energy(self, context):
        return BadPairEnergy()


class BadDerivatives(Derivatives):
    provides = ("forces",)

    def forward(self, data, gradients):
        fail("in the derivatives")


def bad_modifier(model: GraphModel, *, at_once: bool = False) -> GraphModel:
    """Fail, at once or later."""
    return fail("in the modifier") if at_once else model.replace(derivatives=BadDerivatives())


@hookimpl
def equipot_model_builders():
    yield ModelBuilderEntry(name="BadModel", target=f"{__name__}.BadModel", summary="A test")


@hookimpl
def equipot_pair_potentials():
    yield PairPotentialEntry(name="BadPair", target=f"{__name__}.BadPair", summary="A test")


@hookimpl
def equipot_modifiers():
    yield ModifierEntry(name="bad_modifier", target=f"{__name__}.bad_modifier", summary="A test", persistent=True)
'''
TYPES = {"type_names": ["H", "C", "O"], "r_max": 4.0, "do_derivatives": False}


def evaluate(model):
    model(batch_of(standard_structures(3).values(), model.info))


def energy():
    evaluate(plugins().load("model_builders", "BadModel")(**TYPES).build())


def builder():
    plugins().load("model_builders", "BadModel")(**TYPES, in_build=True).build()


def pair_potential():
    evaluate(ToyModel(**TYPES, pair_potential=plugins().load("pair_potentials", "BadPair")()).build())


def derivatives():
    evaluate(apply_modifier(ToyModel(**TYPES).build(), "bad_modifier"))


def modifier():
    apply_modifier(ToyModel(**TYPES).build(), "bad_modifier", {"at_once": True})


def calculator():
    from ase.build import molecule

    from equipot.ase import EquipotCalculator

    calculator = EquipotCalculator(plugins().load("model_builders", "BadModel")(**TYPES).build().eval())
    calculator.get_potential_energy(molecule("H2O"))


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (energy, "in the energy"),
        (builder, "in the builder"),
        (pair_potential, "in the pair potential"),
        (derivatives, "in the derivatives"),
        (modifier, "in the modifier"),
        (calculator, "in the energy"),
    ],
)
@pytest.mark.usefixtures("fresh_plugins")
def test_errors_are_prefixed_with_plugin_and_version(install, action, text):
    module = install("bad-dist", "bad", SOURCE)
    with pytest.raises(RuntimeError) as caught:
        action()
    assert str(caught.value) == f"plugin 'bad' (bad-dist 1.2.3): {text}"
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert frames[-1].name == "fail"
    assert frames[-1].filename.endswith(f"{module}.py")


@pytest.mark.usefixtures("fresh_plugins")
def test_the_command_line_names_the_plugin_too(install):
    install("bad-dist", "bad", SOURCE)

    @click.command
    def command():
        sys.modules[plugins().load("model_builders", "BadModel").__module__].fail("in a command")

    with pytest.raises(RuntimeError, match=r"^plugin 'bad' \(bad-dist 1\.2\.3\): in a command$"):
        run(command, "equipot", [])


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_plugins")
def test_training_shows_whose_fault_it_is(install, folder):
    install("bad-dist", "bad", SOURCE)
    builder = ["training_module.model._target_=equipot.model.BadModel", "~training_module.model.avg_num_neighbors"]
    with pytest.raises(RuntimeError, match=r"^plugin 'bad' \(bad-dist 1\.2\.3\): in the energy$"):
        folder.call(*builder, "--output", "run")


@pytest.mark.usefixtures("fresh_plugins")
def test_compiling_names_plugin_file_and_line_in_one_message(install, tmp_path):
    module = install("bad-dist", "bad", SOURCE)
    model = plugins().load("model_builders", "BadModel")(**TYPES).build()
    with pytest.raises(PluginError) as caught:
        compile_model(model, tmp_path / "a.equipot.pt2")
    line = next(number for number, text in enumerate(SOURCE.splitlines(), 1) if "raise RuntimeError" in text)
    place = f"{tmp_path / module}.py, line {line}, in fail (raise RuntimeError(text))"
    where = f"{tmp_path}/a.equipot.pt2: evaluating the model: plugin 'bad' (bad-dist 1.2.3)"
    assert str(caught.value) == f"{where}: {place}: RuntimeError: in the energy"
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert not any(tmp_path.glob("*.pt2"))


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_plugins")
@pytest.mark.parametrize("part", ["energy", "outputs"])
def test_what_cannot_be_exported_is_named_with_plugin_file_and_line(install, tmp_path, part, make_model):
    """The builder and the head work, but not while they are exported: they look at values."""
    module = install("looking-dist", "looking", LOOKING)
    loaded = plugins().load("modifiers", "look_at_values")
    model = loaded(make_model(), part=part)
    model(next(iter(random_frames(model.info).values())))
    with pytest.raises(ArtifactError) as caught:
        export_model(model)
    line = next(number for number, text in enumerate(LOOKING.splitlines(), 1) if ".item()" in text)
    place = f"{tmp_path / module}.py, line {line}, in look (return 1.0 if values.sum().item() > 0 else 2.0)"
    assert str(caught.value).startswith(f"compile: plugin 'looking' (looking-dist 1.2.3): {place} cannot be exported: ")


@pytest.mark.usefixtures("fresh_plugins")
def test_the_command_compile_shows_one_line(install, tmp_path, capsys, request):
    install("bad-dist", "bad", SOURCE)
    package_file = request.getfixturevalue("package_file")  # made with the plugin there
    command = [
        "compile",
        str(package_file),
        str(tmp_path / "a.equipot.pt2"),
        "--modifiers",
        "bad_modifier:at_once=true",
    ]
    assert main(command) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error: ")]
    assert line.startswith(
        f"error: compiling {package_file}: plugin 'bad' (bad-dist 1.2.3): {tmp_path}/fake_bad_dist_0.py, line "
    )
    assert line.endswith("in fail (raise RuntimeError(text)): RuntimeError: in the modifier")


@pytest.mark.usefixtures("fresh_plugins")
def test_errors_of_nobody_stay_as_they_are(install):
    install("bad-dist", "bad", SOURCE)
    with pytest.raises(ValueError, match="^invalid literal"), faults_named("here"):
        int("x")
    with pytest.raises(ConfigError, match="^worded"), faults_named("here"):
        raise ConfigError("worded")


def raised(function):
    try:
        function()
    except Exception as error:  # noqa: BLE001 - any error
        name_plugin(error)
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.usefixtures("fresh_plugins")
def test_what_is_not_a_plugins_fault_is_left_alone(install):
    install("bad-dist", "bad", SOURCE)
    plugins()
    assert str(raised(lambda: int("x"))) == "invalid literal for int() with base 10: 'x'"

    def worded():
        raise ConfigError("model.r_max: must be positive")

    assert str(raised(worded)) == "model.r_max: must be positive"


@pytest.mark.usefixtures("fresh_plugins")
def test_plugins_that_cannot_load_do_not_hide_the_error(install, monkeypatch):
    install("faulty-dist", "faulty", "raise SystemExit(3)\n")
    monkeypatch.setenv("EQUIPOT_STRICT_PLUGINS", "1")
    assert str(raised(lambda: int("x"))) == "invalid literal for int() with base 10: 'x'"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes came with Python 3.11")
@pytest.mark.usefixtures("fresh_plugins")
def test_an_error_without_a_text_gets_a_note_once(install, tmp_path):
    source = SOURCE.replace("raise RuntimeError(text)", "raise OSError(5, text)")
    install("bad-dist", "bad", source)
    fail = sys.modules[plugins().load("model_builders", "BadModel").__module__].fail
    error = raised(lambda: fail("read"))
    name_plugin(error)
    assert error.args == (5, "read")
    assert error.__notes__ == ["raised in plugin 'bad' (bad-dist 1.2.3)"]
