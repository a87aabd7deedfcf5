"""Resolvers of nequip's configs that read a package, which must be one of equipot here."""

from __future__ import annotations

from equipot.artifacts import read_manifest
from equipot_from_nequip._options import packaged_model


def type_names_from_package(path: str) -> list[str]:
    """Type names of the model in a package: ``${type_names_from_package:model.equipot.zip}``.

    Args:
        path: A ``.equipot.zip`` file.

    Raises:
        ArtifactError: If it is not a package of equipot.
    """
    return [str(name) for name in read_manifest(packaged_model(path)).model["type_names"]]


def cutoff_radius_from_package(path: str, model_key: str | None = None) -> float:
    """Cutoff radius in Å of the model in a package: ``${cutoff_radius_from_package:model.equipot.zip}``.

    Args:
        path: A ``.equipot.zip`` file.
        model_key: Accepted for compatibility; a package of equipot contains one model.

    Raises:
        ArtifactError: If it is not a package of equipot.
    """
    del model_key
    return float(read_manifest(packaged_model(path)).model["r_max"])
