"""No hook and no command without documentation and tests; what the pages for plugin authors show works."""

import re
import sys
from pathlib import Path

import click
import pytest
import yaml

import equipot.nn
from equipot._cli.common import run
from equipot._importing import public_modules
from equipot.plugins import HOOK_NAMES, PluginHost, plugins, use_file
from equipot_test_support.scripts import load_script

hook_pages = load_script("tools/hook_pages.py")

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
TESTS = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in (ROOT / "core" / "tests", ROOT / "tests")
    for path in folder.rglob("test_*.py")
    if path.name != Path(__file__).name
)
CLI_PAGE = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")


def plugins_declared(distribution):
    return [one.entry for one in plugins().available("commands") if one.distribution == distribution]


def blocks(page, language):
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


# ----------------------------------------------------------------------------- hooks


@pytest.mark.parametrize("hook", HOOK_NAMES)
def test_every_hook_has_a_page(hook):
    page = DOCS / "reference" / "hooks" / f"{hook}.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    assert text == hook_pages.text_of(hook, text), "python tools/hook_pages.py"
    assert f"](hooks/{hook}.md)" in (DOCS / "reference" / "plugins.md").read_text(encoding="utf-8")


def test_there_are_no_other_pages_of_hooks():
    assert {path.stem for path in (DOCS / "reference" / "hooks").iterdir()} == set(HOOK_NAMES)


@pytest.mark.parametrize("hook", HOOK_NAMES)
def test_every_hook_is_tested(hook):
    kind = hook.removeprefix("equipot_")
    assert re.search(rf'{hook}\b|"{kind}"', TESTS), f"no test implements or looks up {hook}"


# -------------------------------------------------------------------------- commands


COMMANDS = [entry.name for entry in plugins_declared("equipot") if entry.name != "plugins list"]
ACTIONS = [entry.name for entry in plugins_declared("equipot-testing")]


def with_actions(name, command):
    """A command and those of its own group, by name."""
    found = {name: command}
    if isinstance(command, click.Group):
        for action, below in command.commands.items():
            found |= with_actions(f"{name} {action}", below)
    return found


@pytest.mark.parametrize("name", [*COMMANDS, *ACTIONS])
def test_every_command_is_documented(name):
    assert " " in name or f"\n## {name}\n" in CLI_PAGE
    assert f"```{{equipot-command}} {name}\n" in CLI_PAGE
    assert plugins().load("commands", name).help


@pytest.mark.parametrize("name", [*COMMANDS, *ACTIONS])
def test_every_option_of_a_command_says_what_it_does_in_a_sentence(name):
    texts = {
        f"{title}: {one.opts}": one.help
        for title, command in with_actions(name, plugins().load("commands", name)).items()
        for one in command.params
        if isinstance(one, click.Option)
    }
    assert {title: text for title, text in texts.items() if not re.fullmatch(r"[A-Z].*\.", text or "")} == {}


@pytest.mark.parametrize("name", [name for name in COMMANDS if " " not in name])
def test_every_command_is_tested(name):
    assert re.search(rf'main\(\["{name}"|command="{name}"|"equipot", "{name}"|equipot\("{name}"', TESTS)


# ------------------------------------------------------------------------------ pages


def test_the_local_file_of_the_page_works(tmp_path, monkeypatch):
    (source,) = blocks(DOCS / "how-to" / "local-file.md", "python")
    path = tmp_path / "my_model.py"
    path.write_text(source, encoding="utf-8")
    monkeypatch.setattr("equipot._host.host._files", [])
    try:
        use_file(str(path))
        model = plugins().load("model_builders", "MyModel")(type_names=["H"], r_max=3.0, do_derivatives=False).build()
        assert sum(one.numel() for one in model.parameters()) == 8
    finally:
        sys.modules.pop("my_model", None)
        plugins.cache_clear()


def test_the_labels_of_the_page_work(tmp_path, monkeypatch, capsys):
    """The file declares the labels, and what the page writes in configs can be read, learnt and measured."""
    import numpy as np
    from ase.build import molecule
    from ase.io import write

    from equipot._cli.main import main
    from equipot.data import ASEDataModule, DataStatisticsManager
    from equipot.train import EnergyForceLoss, EnergyForceMetrics

    page = DOCS / "how-to" / "labels-of-your-own.md"
    (source,) = blocks(page, "python")
    (tmp_path / "my_labels.py").write_text(source, encoding="utf-8")
    read, learnt, statistics = (yaml.safe_load(text) for text in blocks(page, "yaml"))
    monkeypatch.setattr("equipot._host.host._files", [])
    try:
        assert main(["describe", "dipole", "--plugin", str(tmp_path / "my_labels.py")]) == 0
        assert "float64 in e Å" in capsys.readouterr().out
        water = molecule("H2O")
        water.info |= {"energy": -1.0, "mu": [0.0, 0.0, 1.85]}
        water.arrays |= {"forces": np.ones((3, 3)), "q": np.array([-0.8, 0.4, 0.4])}
        write(tmp_path / "a.extxyz", [water] * 3)
        data = ASEDataModule(1, train_file_path=str(tmp_path / "a.extxyz"), labels=read["data"]["labels"])
        frame = data.dataset("train").raw(0)
        assert frame["dipole"].tolist() == [[0.0, 0.0, pytest.approx(0.385159, rel=1e-5)]]
        assert frame["charges"].tolist() == [-0.8, 0.4, 0.4]
        options = {name: dict(one) for name, one in learnt["training_module"].items()}
        assert options["loss"].pop("_target_") == "equipot.train.EnergyForceLoss"
        assert EnergyForceLoss(**options["loss"]).names[-2:] == ("dipole_mse", "weighted_sum")
        assert options["val_metrics"].pop("_target_") == "equipot.train.EnergyForceMetrics"
        assert "dipole_mae" in EnergyForceMetrics(**options["val_metrics"]).names
        metrics = statistics["data"]["stats_manager"]["metrics"]
        assert list(DataStatisticsManager(metrics=metrics).names()) == ["dipole_rms", "charges_std"]
    finally:
        sys.modules.pop("my_labels", None)
        plugins.cache_clear()


@pytest.fixture
def charges_file(tmp_path, monkeypatch):
    """The plugin of the page about heads, used as a local file; gives the other blocks of code."""
    source, *others = blocks(DOCS / "how-to" / "heads-of-your-own.md", "python")
    (tmp_path / "charges.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr("equipot._host.host._files", [])
    use_file(str(tmp_path / "charges.py"))
    yield others
    sys.modules.pop("charges", None)
    plugins.cache_clear()


def test_the_head_of_the_page_works(charges_file):
    from ase.build import molecule

    from equipot.ase import EquipotCalculator
    from equipot.model import NequIPGNNModel, modify
    from equipot.train import EnergyForceLoss

    (config,) = (yaml.safe_load(text) for text in blocks(DOCS / "how-to" / "heads-of-your-own.md", "yaml"))
    options = config["training_module"]
    given = options["model"]
    assert (given.pop("_target_"), given["model"].pop("_target_")[-14:]) == ("equipot.model.modify", "NequIPGNNModel")
    model = modify(**{**given, "model": NequIPGNNModel(**given["model"])}).build()
    assert options["loss"].pop("_target_") == "equipot.train.EnergyForceLoss"
    assert "charges" in EnergyForceLoss(**options["loss"]).labels
    atoms = molecule("CH3OH")
    atoms.calc = EquipotCalculator(model)
    exec(charges_file[0], {"atoms": atoms})  # noqa: S102 - our own page
    assert abs(atoms.get_charges().sum()) < 1e-6
    assert atoms.get_charges().std() > 0.0


@pytest.mark.slow
def test_the_head_of_the_page_passes_its_own_tests(charges_file):
    from equipot_testing.run import run_checks

    made = {}
    exec(charges_file[1], made)  # noqa: S102 - our own page
    for kit in (made["TestCharges"], made["TestAddCharges"]):
        slow = {f"test_{check.name}": None for check in kit.checks() if check.slow}
        assert [one for one in run_checks(type(kit.__name__, (kit,), slow)) if one.broken] == []


def test_the_command_of_the_page_works(capsys):
    *_, source = blocks(DOCS / "reference" / "hooks" / "equipot_commands.md", "python")
    made = {}
    exec(source, made)  # noqa: S102 - our own page
    assert run(made["command"], "equipot show", ["Morse", "--elements", "H", "O"]) == 0
    assert run(made["command"], "equipot show", ["Morse"]) == 2
    assert capsys.readouterr() == ("Morse H O\n", "error: --elements: must name at least one element\n")


def test_the_publishing_page_shows_declarations_that_work():
    from equipot.declarations import PairPotentialEntry

    (source,) = blocks(DOCS / "how-to" / "publish-a-plugin.md", "python")
    lines = [line.removeprefix("  ") for line in source.splitlines()]
    made = {"PairPotentialEntry": PairPotentialEntry}
    exec("def hook():\n" + "\n".join(f"    {line}" for line in lines), made)  # noqa: S102 - our own page
    new, old = made["hook"]()
    assert (new.deprecated, old.name) == ("", "LJ")
    assert old.deprecated.startswith("use LennardJones; LJ is removed in ")


def test_the_stability_page_shows_what_is_said():
    """Its table of refusals has the texts that ``tests/test_old_plugins.py`` checks, with the version of the day."""
    from equipot import __version__

    page = (DOCS / "explanation" / "stability.md").read_text(encoding="utf-8")
    for text in (
        f"needs plugin API 2, this is equipot {__version__} with API 1; pip install --upgrade equipot`",
        f"needs plugin API 0, this is equipot {__version__} with API 1; pip install --upgrade equipot-old`",
        f"needs equipot<0.1, this is {__version__}; pip install --upgrade equipot-old, or pip install 'equipot<0.1'`",
        f"needs equipot>=9, this is {__version__}; pip install 'equipot>=9'`",
    ):
        assert text in page


def test_a_host_without_plugins_knows_every_hook():
    assert {f"equipot_{kind}" for kind in PluginHost("none")._declared} == set(HOOK_NAMES)


AUTHORS = ("explanation/slots.md", "reference/building-blocks.md", "how-to/kit-from-python.md", "how-to/e3nn-users.md")


@pytest.mark.slow
@pytest.mark.parametrize("page", AUTHORS)
def test_python_on_the_pages_for_authors_runs(page, capsys):
    names = {"__name__": "page"}
    found = blocks(DOCS / page, "python")
    assert found
    for source in found:
        exec(compile(source, page, "exec"), names)  # noqa: S102 - our own page
    capsys.readouterr()


def test_the_page_of_building_blocks_names_all_of_them():
    text = (DOCS / "reference" / "building-blocks.md").read_text(encoding="utf-8")
    assert [name for name in public_modules(equipot.nn.__path__) if f"| `equipot.nn.{name}` |" not in text] == []
