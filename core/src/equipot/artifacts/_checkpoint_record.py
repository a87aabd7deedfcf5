"""What a checkpoint holds beside tensors: plain containers that load with ``weights_only=True``."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from equipot._version import __version__
from equipot.artifacts._approximations import approximations_of
from equipot.artifacts._manifest import plugins_if_declared
from equipot.model._modifiers import as_records
from equipot.plugins import plugins

if TYPE_CHECKING:
    from equipot.model._graph_model import GraphModel

FORMAT_VERSION = 1

LIBRARIES = ("torch", "lightning", "e3nn", "numpy", "ase")
"""Libraries whose versions are recorded."""


def checkpoint_record(
    model: GraphModel, weights: str, training_config: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    """The entry ``equipot`` of a checkpoint.

    Args:
        model: The trained model.
        weights: ``ema`` or ``raw``: which tensors hold the model that results are of.
        training_config: The resolved config.
        data: Hashes and counts of the data sets.

    Returns:
        Dicts, lists, strings, numbers and None only.
    """
    return plain(
        {
            "format_version": FORMAT_VERSION,
            "model": {
                "config": model.config,
                "modifiers": as_records(model.modifiers),
                "info": model.info.to_dict(),
            },
            "weights": weights,
            "approximations": approximations_of(model),
            "training_config": training_config,
            "versions": versions(),
            "plugins": plugins_if_declared(model.config, as_records(model.modifiers)),
            "data": data,
        }
    )


def versions() -> dict[str, str]:
    """Versions of equipot, of the installed plugins and of the libraries that matter."""
    found = {"equipot": __version__}
    for record in plugins().records:
        if record.state == "ok":
            found[record.distribution] = record.version
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def plain(value: Any) -> Any:
    """Nested containers with tuples as lists, numpy scalars as numbers and paths as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (bool, int, float, str)):
        for kind in (bool, int, float, str):
            if isinstance(value, kind):
                return kind(value)
    return value.item() if hasattr(value, "item") else str(value)
