"""``equipot describe`` and ``equipot schema``: what the installed components accept."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import click

from equipot._cli.common import print_table
from equipot._host.declaration import singular
from equipot.commands import complete_names
from equipot.errors import EquipotError
from equipot.plugins import HOOK_NAMES, plugins

_TARGETS = "export_targets"
_FIELDS = "fields"


def _complete_describable(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [
        *(name for name in HOOK_NAMES if name.startswith(incomplete)),
        *complete_names()(context, parameter, incomplete),
        *complete_names(_TARGETS, _FIELDS)(context, parameter, incomplete),
    ]


@click.command
@click.argument("name", required=False, shell_complete=_complete_describable)
def describe(name: str | None) -> None:
    """Show the options of an installed component with type, default, unit and meaning.

    NAME is a short name (ZBL) or a path (equipot.pair_potentials.ZBL), a target of 'equipot compile' (ase), or a data
    field (forces). For authors of plugins, it may also be a hook (equipot_modifiers) or a base class (EnergyTerm).
    Without it: a table of everything that configs may name, of the targets, and of the fields.
    """
    import inspect

    from equipot._cli._describe_authors import show
    from equipot.config._components import find
    from equipot.config._targets import declarations
    from equipot.describe import describe_options

    if name is None:
        found = sorted(declarations(), key=lambda one: (one.fine_kind, one.path))
        named = [(one, one.path) for one in found]
        named += [(one, one.entry.name) for kind in (_TARGETS, _FIELDS) for one in plugins().available(kind)]
        rows = [(singular(one.fine_kind), path, one.distribution, one.entry.summary) for one, path in named]
        print_table(rows, header=("kind", "name", "distribution", "summary"))
        return
    if name in plugins().names(_TARGETS):
        _describe_target(name)
        return
    if name in plugins().names(_FIELDS):
        _describe_field(name)
        return
    try:
        components = find(name)
    except EquipotError:
        if show(name):
            return
        raise
    for component in components:
        print(f"{component.path}  ({component.origin})")
        summary = (inspect.getdoc(component.target) or "").split("\n\n")[0]
        print(" ".join(summary.split()))
        print_table(
            [
                (option.name, option.annotation, option.default or "required", option.unit, option.doc)
                for option in describe_options(component.target)
            ],
            header=("option", "type", "default", "unit", "meaning"),
        )
        _print_features(component.target)
        _print_presets(component.target)


def _describe_target(name: str) -> None:
    """What an engine needs of models."""
    from equipot.compile._for_target import find_target

    target, declared = find_target(name), plugins().lookup(_TARGETS, name)
    print(f"{name}  ({declared.distribution} {declared.version})")
    print(declared.entry.summary)
    rows = (
        ("use", f"equipot compile MODEL OUT.equipot.pt2 --target {name}"),
        ("serves models of locality", ", ".join(target.localities)),
        ("in units", ", ".join(target.units)),
        ("needs the outputs", ", ".join(target.outputs) or "none: takes all that the model has"),
        ("gives the inputs", ", ".join((*target.inputs, *target.optional_inputs)) or "those of every model"),
        ("runs without Python", "yes" if target.native else "no"),
    )
    print_table(rows)


def _describe_field(name: str) -> None:
    """What a data field is, and whether data may have it as a label."""
    entry, declared = plugins().fields[name], plugins().lookup(_FIELDS, name)
    print(f"{name}  ({declared.distribution} {declared.version})")
    print(entry.meaning)
    rows = (
        ("a row per", entry.per),
        ("shape", f"[{', '.join(map(str, entry.shape))}]"),
        ("numbers", f"{entry.dtype}{f' in {entry.unit}' if entry.unit else ''}"),
        ("irreps", entry.irreps or "none"),
        ("adds up over parts", "yes" if entry.extensive else "no"),
        ("may be a label", f"yes: data.labels: {{{name}: KEY}}" if entry.label else "no"),
        ("property of ASE", entry.ase_property or "none"),
        *([("standard deviation of", entry.std_of)] if entry.std_of else []),
    )
    print_table(rows)


def _print_features(target: Any) -> None:
    """What the node features of a builder hold, which heads and terms may require."""
    import inspect

    from equipot.model import ModelBuilder

    if inspect.isclass(target) and issubclass(target, ModelBuilder):
        held = target.node_features or "none, so heads that require them cannot be added"
        print(textwrap.fill(f"node features: {held}", 80, subsequent_indent="  "))


def _print_presets(target: Any) -> None:
    """The presets of a builder that has some."""
    import inspect

    from equipot._cli._presets import common_options, preset_costs, preset_table
    from equipot.model import presets_of

    presets = presets_of(target) if inspect.isclass(target) else {}
    if not presets:
        return
    costs = preset_costs(target)
    header, *rows = preset_table(presets, costs)
    print()
    print_table(rows, header=header, numbers=header[1:])
    if same := [f"{option} {text}" for option, text in common_options(presets).items()]:
        print(textwrap.fill(f"in all of them: {', '.join(same)}", 80, subsequent_indent="  "))
    if costs:
        print(f"CPU times relative to {header[1]}, one thread, without kernels, measured by")
        lines = textwrap.wrap(costs["command"], 74, break_long_words=False, break_on_hyphens=False)
        print("  " + " \\\n    ".join(lines))


@click.command
@click.argument("name", required=False, shell_complete=complete_names())
def schema(name: str | None) -> None:
    """Print a JSON Schema of configs for editors and other tools.

    It covers all installed components, or with NAME (e.g. ZBL) only this one.
    """
    from equipot.config._components import find
    from equipot.config._schema import component_schema, config_schema

    if name is None:
        shown = config_schema()
    else:
        found = find(name)
        shown = component_schema(found[0]) if len(found) == 1 else {one.path: component_schema(one) for one in found}
    print(json.dumps(shown, indent=2, ensure_ascii=False))
