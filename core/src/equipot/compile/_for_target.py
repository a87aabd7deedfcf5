"""A model as an engine needs it: refusals, further inputs and outputs, and the file's own metadata."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from equipot._host.attribution import faults_named
from equipot.compile._target import ExportTarget
from equipot.errors import ConfigError, PluginError, problem
from equipot.fields import FIELDS, OPTIONAL_INPUTS
from equipot.graph import edge_set_key
from equipot.model._context import ModelInfo
from equipot.model._edge_forces import edge_force_refusals, with_edge_forces
from equipot.model._graph_model import GraphModel
from equipot.model._locality import hops_of, joint_locality, reads_energies, reads_of, sees_neighbours
from equipot.plugins import plugins

FURTHER_INPUTS = ("owned",)
"""What a model reads in addition to its own inputs if it is there."""

METADATA_FORMAT = "1"
"""Value of ``equipot_format``; raised when engines must handle a change."""

_ENERGIES = ("atomic_energy", "total_energy")
_TAKEN = ("equipot_", "AOTI_")
_FORCES = ("forces", "virial", "stress")


@dataclass(frozen=True)
class ForTarget:
    """A model made ready for an engine."""

    name: str
    target: ExportTarget
    model: GraphModel
    """With edge forces, if they are among the outputs, and without the heads that the engine does not read."""
    adapted: GraphModel
    """The same in the form that the engine runs."""
    info: ModelInfo
    """As in the file: with the further inputs, and only the outputs that it gives."""
    outputs: tuple[str, ...]
    """Names of the results, in order."""


def find_target(name: str) -> ExportTarget:
    """The engine that is declared under a name.

    Raises:
        PluginNotFoundError: If none is, listing those that are installed.
        PluginError: If it cannot be made, or is of another class.
    """
    made: type[ExportTarget] = plugins().load("export_targets", name)
    with faults_named(f"compile.target {name}"):
        return made()


def for_target(model: GraphModel, name: str, target: ExportTarget) -> ForTarget:
    """Make a model ready for an engine.

    Args:
        model: An eager model; it is not changed.
        name: Of the engine.
        target: The engine.

    Raises:
        ConfigError: If the engine cannot serve it, with all reasons.
        PluginError: If the engine's class is at fault.
    """
    _check_target(name, target)
    where = f"compile.target {name}"
    model = _with_heads_for(model, target)
    with faults_named(where):
        problems = [*_refusals(where, model, target), *target.refusals(model.info)]
    if problems:
        raise ConfigError(problems)
    edges = "edge_forces" in target.outputs or (not target.outputs and not edge_force_refusals(model))
    ready = with_edge_forces(model) if edges else model
    with faults_named(where):
        adapted = target.adapted(ready)
    if not isinstance(adapted, GraphModel) or adapted.info != ready.info:
        raise PluginError(problem(where, "its method adapted must return a GraphModel with the same info"))
    outputs = _outputs(target, ready)
    named = tuple(key for key in outputs if key != "stress_mask")
    info = dataclasses.replace(ready.info, inputs=(*ready.info.inputs, *target.inputs), outputs=named)
    return ForTarget(name, target, ready, adapted, info, outputs)


def metadata_of(
    ready: ForTarget, golden_digest: str, kernels: Mapping[str, Any], exchanges: Sequence[int] = ()
) -> dict[str, str]:
    """What an engine without Python must know, in plain words: the metadata that AOTInductor stores in the file.

    ``equipot_format`` is the version of this list, ``equipot_target`` the name of the engine. ``equipot_type_names``,
    ``equipot_atomic_numbers`` (0 where unknown), ``equipot_inputs``, ``equipot_outputs`` and ``equipot_kernels`` (the
    modifiers whose kernels it calls) are words separated by spaces, in order. ``equipot_r_max`` is in Å, as is
    ``equipot_cutoffs``: a matrix row by row with the centre's type as row, or empty if all are r_max.
    ``equipot_edge_sets`` has name and radius of each further edge set in turn. ``equipot_units`` is that of the
    energies (lengths are always in Å), ``equipot_locality`` ``strict``, ``hops(k)`` or ``global``, ``equipot_dtype``
    that of the features (inputs and outputs are float64), ``equipot_golden`` the SHA-256 of the golden frames' tensors.

    ``equipot_hops`` says which edges a process with ghost atoms needs: in ``K:SET:SET`` the sets of edges that the same
    components read, by number, the model's own being 0, and K, the hops along them that matter. It needs edges of atoms
    less than K hops from its own. ``equipot_exchanges`` are the widths of the features in the file's calls of the op
    ``equipot::exchange``, in order. If there are any, an engine that fills the features of ghosts from their owners
    needs edges of its own atoms only.

    Args:
        ready: The model and its engine.
        golden_digest: SHA-256 of the golden frames.
        kernels: As in the manifest.
        exchanges: Of the exported model.

    Raises:
        PluginError: If the engine's own metadata are not texts by name, or a name is taken.
    """
    info = ready.info
    numbers = info.atomic_numbers or (0,) * len(info.type_names)
    facts = {
        "format": METADATA_FORMAT,
        "target": ready.name,
        "type_names": " ".join(info.type_names),
        "atomic_numbers": " ".join(map(str, numbers)),
        "r_max": repr(float(info.r_max)),
        "cutoffs": " ".join(repr(float(radius)) for row in info.cutoffs or () for radius in row),
        "edge_sets": " ".join(f"{name} {float(radius)!r}" for name, radius in info.edge_sets),
        "units": info.units,
        "locality": _locality(ready),
        "hops": " ".join(_hops(ready.model)),
        "exchanges": " ".join(map(str, exchanges)),
        "dtype": info.model_dtype,
        "inputs": " ".join(info.inputs),
        "outputs": " ".join(ready.outputs),
        "golden": golden_digest,
        "kernels": " ".join(kernels),
    }
    where = f"compile.target {ready.name}"
    with faults_named(where):
        own = ready.target.metadata(info)
    if not isinstance(own, dict) or not all(isinstance(text, str) for pair in own.items() for text in pair):
        raise PluginError(problem(where, "its metadata must be texts by name", got=own))
    if taken := [key for key in own if key.startswith(_TAKEN)]:
        raise PluginError(problem(where, f"its metadata must not begin with {_TAKEN}", got=taken))
    return {**{f"equipot_{key}": value for key, value in facts.items()}, **own}


def _check_target(name: str, target: ExportTarget) -> None:
    where = f"compile.target {name}"
    if unknown := [key for key in target.inputs if key not in FURTHER_INPUTS]:
        raise PluginError(problem(f"{where}.inputs", f"must be of {list(FURTHER_INPUTS)}", got=unknown))
    if target.outputs and not set(_ENERGIES) <= set(target.outputs):
        raise PluginError(problem(f"{where}.outputs", f"must name {list(_ENERGIES)}", got=list(target.outputs)))


def _with_heads_for(model: GraphModel, target: ExportTarget) -> GraphModel:
    """The model without heads that predict nothing that the engine reads."""
    read = {name: head for name, head in model.heads() if not target.outputs or {*head.provides} & {*target.outputs}}
    return model if len(read) == len(model.heads()) else model.replace(outputs=read)


def _refusals(where: str, model: GraphModel, target: ExportTarget) -> Iterator[str]:
    """What does not follow from ``info`` alone: components that are not local enough, outputs that are missing."""
    parts = [*zip(model.components(), model.localities(), strict=True)]
    parts += [*zip(model.heads(), model.head_localities(), strict=True)]
    for (name, part), locality in parts:
        if locality.partition("(")[0] not in target.localities:
            what = f"cannot serve the component {name!r} ({type(part).__name__}), whose locality is {locality!r}"
            yield problem(where, what, hint=f"it serves models of locality {' or '.join(target.localities)}")
    for key in model.info.inputs:
        if key in OPTIONAL_INPUTS and key not in target.optional_inputs:
            by = ", ".join(repr(name) for (name, part), _ in parts if key in part.requires)
            yield problem(where, f"cannot give the input {key!r}, which the component {by} needs")
    if model.info.units not in target.units:
        hint = f"it serves models in {' or '.join(target.units)} units"
        yield problem(where, "cannot serve the model's unit system", got=model.info.units, hint=hint)
    yield from _refused_parts(where, model, target)
    missing = [key for key in target.outputs if key not in (*model.info.outputs, "stress_mask", "edge_forces")]
    if missing:
        hint = "apply the modifier enable_ForceStressOutput (--modifiers enable_ForceStressOutput)"
        what = f"needs the outputs {missing}, which the model does not have"
        yield problem(where, what, got=list(model.info.outputs), hint=hint if set(missing) & set(_FORCES) else "")
    if "edge_forces" in target.outputs and "forces" not in missing:
        yield from (f"{where}: {text}" for text in edge_force_refusals(model))


def _hops(model: GraphModel) -> Iterator[str]:
    """Sets of edges that are read together, with the hops along them that matter; nothing for a global model."""
    if model.info.locality == "global":
        return
    groups: list[tuple[set[int], int]] = []
    for sets, hops in _reads(model):
        joined = [group for group in groups if group[0] & sets]
        groups = [group for group in groups if not group[0] & sets]
        groups.append((sets.union(*(one for one, _ in joined)), max([hops, *(one for _, one in joined)])))
    for sets, hops in sorted(groups, key=lambda group: min(group[0])):
        yield ":".join(map(str, [hops, *sorted(sets)]))


def _reads(model: GraphModel) -> Iterator[tuple[set[int], int]]:
    """For each part the sets of edges that it depends on, and the hops along them."""
    names = model.info.edge_set_names
    for (name, part), locality in zip(model.components(), model.localities(), strict=True):
        own = name != "energy" and part.r_max is not None
        sets = {names.index(name) if own else 0}
        if name != "energy" and reads_of(part, model.energy):
            sets.add(0)  # what it reads of the energy module depends on the model's own edges
        yield sets, hops_of(locality)
    for (_, head), locality in zip(model.heads(), model.head_localities(), strict=True):
        if locality != "global" and sees_neighbours(head):
            yield set(range(len(names))) if reads_energies(head) else {0}, hops_of(locality)


def _locality(ready: ForTarget) -> str:
    """The locality of all that an engine with ghost atoms reads; energies alone count where frames are whole."""
    of_heads = ready.model.head_localities() if "owned" in ready.target.inputs else []
    return joint_locality([ready.info.locality, *of_heads])


def _refused_parts(where: str, model: GraphModel, target: ExportTarget) -> Iterator[str]:
    """Heads of whole frames where frames come in parts, and components for certain boundary conditions only."""
    for name, head in model.heads() if "owned" in target.inputs else ():
        if whole := [key for key in head.provides if FIELDS[key].per == "frame" and key not in head.sums]:
            what = f"cannot serve the head {name!r} ({type(head).__name__}), which predicts {whole} of whole frames"
            yield problem(where, what, hint="it has frames in parts, with ghost atoms")
    for name, served in () if target.checks_boundary else model.info.boundary:
        what = f"cannot serve the component {name!r}, which is for {' or '.join(served)} only"
        yield problem(where, what, hint="it does not check the boundary conditions of its frames")


def _outputs(target: ExportTarget, model: GraphModel) -> tuple[str, ...]:
    found: list[str] = []
    for key in target.outputs or model.info.outputs:
        if key == "edge_forces":
            found += [edge_set_key(key, name) for name in model.info.edge_set_names]
        else:
            found += ["stress", "stress_mask"] if key == "stress" else [key]
    return tuple(dict.fromkeys(found))
