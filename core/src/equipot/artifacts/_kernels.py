"""Which kernels of plugins a compiled model calls, and how they are found when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from equipot._importing import load_object
from equipot.errors import ArtifactError, EquipotError, PluginError, problem
from equipot.nn.slots import KernelSlot
from equipot.plugins import plugins

if TYPE_CHECKING:
    from equipot.model._graph_model import GraphModel


def kernels_of(model: GraphModel) -> dict[str, Any]:
    """The kernels of a model as its manifest lists them.

    Args:
        model: An eager model.

    Returns:
        For each modifier that put modules on kernels in: its distribution, version and the kernels' specs.
    """
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


def load_kernels(kernels: object, where: str) -> None:
    """Make the kernels of a compiled model known to torch.

    Args:
        kernels: As made by ``kernels_of``, read from a manifest.
        where: File named in errors.

    Raises:
        ArtifactError: If a plugin is missing or does not know a kernel, saying what to install.
    """
    if not isinstance(kernels, Mapping):
        raise ArtifactError(problem(f"{where}: manifest.compiled.kernels", "must be a JSON dict", got=kernels))
    for modifier, entry in kernels.items():
        try:
            origin, specs = f"{entry['distribution']}>={entry['version']}", list(entry["specs"])
        except (TypeError, KeyError):
            place = f"{where}: manifest.compiled.kernels.{modifier}"
            raise ArtifactError(problem(place, "is damaged", got=entry)) from None
        try:
            _loader(str(modifier))(specs)
        except EquipotError as error:
            text = f"{where}: it calls kernels of {entry['distribution']} {entry['version']}: {error}"
            raise ArtifactError(f"{text}; pip install '{origin}'") from None


def _loader(modifier: str) -> Any:
    """The function that its declaration names."""
    entry: Any = plugins().lookup("modifiers", modifier).entry
    if not entry.kernel_loader:
        raise PluginError(problem(f"modifier {modifier}", "declares no kernel_loader"))
    return load_object(entry.kernel_loader)
