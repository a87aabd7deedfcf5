"""The kernels of plugins that a compiled model calls, and how they are found when it is loaded."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch

from equipot._host.attribution import faults_named
from equipot._importing import load_object
from equipot.artifacts._compiled_file import FILE_NAME
from equipot.errors import ArtifactError, EquipotError, PluginError, problem
from equipot.model._graph_model import GraphModel
from equipot.nn.slots import KernelSlot
from equipot.plugins import plugins


def kernels_of(model: GraphModel) -> dict[str, Any]:
    """Distribution, version and the specs of the kernels, for each modifier that inserted kernels into a model."""
    dtype: torch.dtype = getattr(torch, model.info.model_dtype)
    found: dict[str, Any] = {}
    for module in model.modules():
        specs = module.kernel_specs(dtype) if isinstance(module, KernelSlot) else []
        if not specs or not isinstance(module, KernelSlot):
            continue
        declared = plugins().lookup("modifiers", module.kernel_modifier)
        origin = {"distribution": declared.distribution, "version": declared.version}
        listed = found.setdefault(module.kernel_modifier, {**origin, "specs": []})["specs"]
        listed.extend(spec for spec in specs if spec not in listed)
    return found


def code_of(kernels: Mapping[str, Any], where: str, *, portable: bool = False) -> dict[str, dict[str, bytes]]:
    """The files with the code of a model's kernels, by modifier, for engines without Python.

    Args:
        kernels: As ``kernels_of`` gives them.
        where: What is made, for messages.
        portable: For other machines of this kind too.

    Raises:
        ArtifactError: If the kernels of a modifier cannot be called without Python.
        PluginError: If its plugin is at fault.
    """
    found = {}
    for modifier, entry in kernels.items():
        declared: Any = plugins().lookup("modifiers", modifier).entry
        if not declared.kernel_code:
            what = f"the model calls kernels of {modifier}, which need Python"
            hint = "leave it out: --no-automatic-modifiers, and no such name after --modifiers"
            raise ArtifactError(problem(where, what, hint=hint))
        with faults_named(f"{where}: code of the kernels of {modifier}"):
            files = load_object(declared.kernel_code)(copy.deepcopy(entry["specs"]), portable=portable)
        if not _are_files(files):
            what = "must be bytes by name, with names of letters, digits, '.', '-' and '_'"
            raise PluginError(problem(f"{where}: code of the kernels of {modifier}", what, got=list(files)[:5]))
        found[modifier] = dict(sorted(files.items()))
    return found


def _are_files(files: object) -> bool:
    if not isinstance(files, Mapping) or not files:
        return False
    names = all(isinstance(name, str) and FILE_NAME.fullmatch(name) for name in files)
    return names and all(isinstance(raw, bytes) for raw in files.values())


def load_kernels(kernels: object, where: str) -> None:
    """Make the kernels listed in a manifest known to torch, or raise ArtifactError saying what to install."""
    place = f"{where}: manifest.compiled.kernels"
    if not isinstance(kernels, Mapping):
        raise ArtifactError(problem(place, "must be a JSON dict", got=kernels))
    for modifier, entry in kernels.items():
        if not _is_entry(entry):
            raise ArtifactError(problem(f"{place}.{modifier}", "is damaged", got=entry))
        try:
            _loader(str(modifier))(entry["specs"])
        except EquipotError as error:
            text = f"{where}: it calls kernels of {entry['distribution']} {entry['version']}: {error}"
            raise ArtifactError(f"{text}; pip install '{entry['distribution']}>={entry['version']}'") from None


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, Mapping):
        return False
    specs, texts = entry.get("specs"), [entry.get(key) for key in ("distribution", "version")]
    if not isinstance(specs, list) or not all(isinstance(text, str) for text in texts):
        return False
    return all(isinstance(spec, Mapping) for spec in specs)


def _loader(modifier: str) -> Any:
    """The function that the modifier's declaration names."""
    entry: Any = plugins().lookup("modifiers", modifier).entry
    if not entry.kernel_loader:
        raise PluginError(problem(f"modifier {modifier}", "declares no kernel_loader"))
    return load_object(entry.kernel_loader)
