"""The conformance kit on everything that installed plugins declare, with small options.

Unmarked: each declaration loads and keeps the rules of its kind. Slow: all checks of the kit.
"""

import inspect
import json
from importlib import resources
from typing import ClassVar

import click
import pytest

from equipot.config import resolve_target
from equipot.data import DataStatisticsManager, MeanAbsolute
from equipot.plugins import HOOKS, KINDS, plugins
from equipot_testing import conformance

KITS = {
    "model_builders": conformance.ModelBuilderConformance,
    "pair_potentials": conformance.PairPotentialConformance,
    "energy_terms": conformance.EnergyTermConformance,
    "modifiers": conformance.ModifierConformance,
    "stats_managers": conformance.StatsManagerConformance,
}
SMALL = {"num_features": [4, 2], "type_embed_num_features": 3, "radial_mlp_width": 6, "num_bessels": 4}
SPLINE = resolve_target("equipot_allegro.TwoBodySplineScalarEmbed", "tests")(num_splines=6, spline_span=4)
SMALL_ALLEGRO = {
    "num_scalar_features": 4,
    "num_tensor_features": 2,
    "avg_num_neighbors": {"H": 9.0, "C": 12.0, "O": 15.0},
}

ELSEWHERE = {"test_export": None, "test_trace": None, "test_compile": None}
"""Checks of half a minute that the builders' own conformance tests run."""


def _messages(_self):
    """A model whose radial functions can be splines."""
    options = {**SMALL, "type_names": ["H", "C", "O"], "r_max": 4.0, "l_max": 1, "avg_num_neighbors": 12.0}
    return plugins().load("model_builders", "NequIPGNNModel")(num_layers=1, model_dtype="float64", **options).build()


def _charged(_self):
    """A model with charges."""
    options = {
        "type_names": ["H", "C", "O"],
        "r_max": 4.0,
        "num_layers": 1,
        "num_features": 4,
        "model_dtype": "float64",
    }
    term = plugins().load("energy_terms", "LatentElectrostatics")()
    return plugins().load("model_builders", "PaiNNModel")(energy_terms={"electrostatics": term}, **options).build()


def _spread(_self):
    """A manager that has no statistics unless the user names some."""
    return DataStatisticsManager(metrics=[{"field": "forces", "metric": MeanAbsolute(), "name": "spread"}])


ATTRIBUTES = {
    "InvariantModel": {"options": {"num_channels": 4, "avg_num_neighbors": 20.0}, **ELSEWHERE},
    "NequIPGNNModel": {
        "options": {**SMALL, "num_layers": 2, "avg_num_neighbors": {"H": 9.0, "C": 12.0, "O": 15.0}},
        **ELSEWHERE,
    },
    "PresetNequIPGNNModel": {"options": {**SMALL, "preset": "S", "avg_num_neighbors": 12.0}, **ELSEWHERE},
    # The other embedding than in the plugin's own test; splines keep their weights in float64.
    "AllegroModel": {
        "options": {**SMALL_ALLEGRO, "l_max": 1, "radial_chemical_embed": SPLINE},
        "test_model_dtype": None,
        **ELSEWHERE,
    },
    "PresetAllegroModel": {"options": {**SMALL_ALLEGRO, "preset": "S"}, **ELSEWHERE},
    "BoundPairs": {},
    "ZBL": {"options": {"units": "metal", "chemical_species": ["H", "C", "O"]}},
    "PaiNNModel": {
        "options": {"num_layers": 1, "num_features": 4, "num_bessels": 3, "avg_num_neighbors": 12.0},
        **ELSEWHERE,
    },
    "D3Dispersion": {"options": {"functional": "pbe", "r_max": 5.0}, **ELSEWHERE},
    "LatentElectrostatics": {
        "options": {"num_channels": 2, "constraint": "none", "per_type_charges": False},
        **ELSEWHERE,
    },
    "enable_LatentCharges": {"model": _charged},
    "freeze_Parts": {
        "options": {"parts": ["scale_shift"]},
        "model_options": {"do_derivatives": False, "per_type_energy_shifts_trainable": True},
        "changes": ("scale_shift.",),
    },
    "RobustStatisticsManager": {"reads": ("forces",)},
    "add_Dipoles": {},
    "enable_ForceStressOutput": {},
    "disable_ForceStressOutput": {"model_options": {"do_derivatives": True}},
    # Bit for bit or not, its energies are those of the reference: its own tests say so.
    "enable_FusedKernels": {"model": _messages, "test_energies": None},
    "enable_RadialSplines": {"options": {"tolerance": 0.01}, "model": _messages, "keeps_energies": False},
    "train_with_RadialSplines": {"options": {"num_knots": 33}, "model": _messages, "keeps_energies": False},
    "add_LastLayerUncertainty": {"options": {"force_directions": 2}, "model": _messages},
    "modify_PerTypeScaleShift": {
        "options": {"shifts": {"H": 3.0}, "scales": 2.0},
        "changes": ("scale_shift.",),
        "keeps_energies": False,
    },
    "CommonDataStatisticsManager": {},
    "EnergyOnlyDataStatisticsManager": {"reads": ("total_energy",)},
    "DataStatisticsManager": {"reads": ("forces",), "manager": _spread},
}
"""Options and other class attributes; a declaration that is not here is tested with its defaults."""

STORED = ("ModelFromPackage", "ModelFromCheckpoint")
"""Recipes of core that need a file; their own tests make one."""

DECLARED = [one for kind in KINDS for one in plugins().available(kind) if one.entry.name not in STORED]


def _kit(declared):
    name = declared.entry.name
    base = KITS[declared.kind]
    return type(f"Test_{name}", (base,), {"name": name, **ATTRIBUTES.get(name, {})})


OWN_TESTS = ("equipot-painn", "equipot-d3", "equipot-robust-stats")
"""Example plugins: each runs the whole kit in its own tests."""

for _declared in (one for one in DECLARED if one.distribution not in OWN_TESTS):
    globals()[f"Test_{_declared.entry.name}"] = pytest.mark.slow(_kit(_declared))


@pytest.mark.parametrize("declared", DECLARED, ids=lambda declared: declared.entry.name)
def test_each_declaration_keeps_the_rules_of_its_kind(declared):
    kit = _kit(declared)()
    assert kit.component() is plugins().load(declared.kind, declared.entry.name)
    assert declared.entry.summary
    kit.test_options_documented()
    kit.test_no_open_options()
    if declared.kind == "modifiers":
        kit.test_signature()


def test_every_kind_of_component_has_a_kit():
    """Aliases and commands name what is tested where it is. Parts and engines have kits, used below."""
    assert KITS.keys() == KINDS.keys()
    assert HOOKS.keys() - KINDS.keys() == {"parts", "fields", "export_targets", "target_aliases", "commands"}


@pytest.mark.parametrize("path", plugins().names("parts"))
def test_each_part_keeps_the_rules_of_its_kind(path):
    kit = type("Kit", (conformance.PartConformance,), {"name": path})()
    kit.test_of_its_kind()
    kit.test_path_is_public()
    kit.test_options_documented()
    kit.test_no_open_options()
    if not path.startswith("equipot."):
        kit.test_imports_core_only()
    kit.test_declaration_imports_no_torch()


@pytest.mark.parametrize("name", plugins().names("export_targets"))
def test_each_engine_keeps_the_rules_of_its_kind(name):
    """Its own tests run the rest of the kit, with the engine itself."""
    kit = type("Kit", (conformance.ExportTargetConformance,), {"name": name})()
    for check in ("facts", "localities", "missing_outputs", "inputs", "units_and_species", "metadata"):
        getattr(kit, f"test_{check}")()
    kit.test_options_documented()
    kit.test_no_open_options()
    kit.test_declaration_imports_no_torch()


def test_each_declared_command_is_one_of_click():
    for declared in plugins().available("commands"):
        command = plugins().load("commands", declared.entry.name)
        assert isinstance(command, click.Command)
        assert command.help
        assert declared.entry.summary[0].isupper()


def test_no_declaration_of_ours_is_without_small_options():
    names = {declared.entry.name for declared in DECLARED if declared.distribution.startswith("equipot")}
    assert names == ATTRIBUTES.keys()


OURS = ("equipot-nequip", "equipot-allegro", "equipot-zbl", "equipot-force-stress", "equipot-kernels")


def test_missing_plugins_of_ours_can_be_named():
    """What our plugins declare is known to core without them, for the hint what to install."""
    known = json.loads(resources.files("equipot").joinpath("known_plugins.json").read_text(encoding="utf-8"))
    for declared in DECLARED:
        if declared.distribution in OURS:
            assert known[declared.kind][declared.entry.name] == declared.distribution


class TestPresetSizes:
    """Each preset as users get it, built only: the large ones take seconds to run."""

    expected: ClassVar = {"S": (2, 1), "M": (4, 2), "L": (6, 3), "XL": (6, 4)}

    @pytest.mark.slow
    @pytest.mark.parametrize("preset", expected)
    def test_builds(self, preset):
        builder = plugins().load("model_builders", "PresetNequIPGNNModel")
        recipe = builder(preset=preset, type_names=["H", "O"], r_max=4.0, avg_num_neighbors=10.0)
        assert (recipe.num_layers, recipe.l_max) == self.expected[preset]
        model = recipe.build()
        assert model.info.outputs[:2] == ("atomic_energy", "total_energy")
        assert "forces" in model.info.outputs


def test_hooks_have_examples_that_run():
    """Each hook is documented, its example makes a declaration; the doctests run with the suite."""
    from equipot import hookspecs

    for kind, entry in HOOKS.items():
        hook = getattr(hookspecs, f"equipot_{kind}")
        text = inspect.getdoc(hook)
        assert f">>> entry = {entry.__name__}(" in text
        assert "Since 0." in text
