"""Recipes that start from a stored model: ``ModelFromPackage`` and ``ModelFromCheckpoint``.

The model they build carries its own builder's config, so what is trained from it does not depend on
the file it came from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from equipot.errors import ArtifactError, ConfigError, problem
from equipot.model._recipe import ModelRecipe
from equipot.options import Options
from equipot.units import Units

if TYPE_CHECKING:
    from equipot.artifacts._manifest import Manifest
    from equipot.model._context import ModelInfo
    from equipot.model._graph_model import GraphModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFromPackage(Options, ModelRecipe):
    """The model of a package, weights included, for fine-tuning."""

    package_path: str
    """A ``.equipot.zip`` file; relative to the working directory."""

    def problems(self) -> Iterable[str]:
        """What keeps the package from being used, found in its manifest."""
        yield from super().problems()
        try:
            self._manifest()
        except ArtifactError as error:
            yield f"package_path: {error}"

    def info(self, units: Units = "metal") -> ModelInfo:
        """Types, cutoffs and units, read from the manifest.

        Raises:
            ConfigError: If the model was trained in other units.
        """
        from equipot.artifacts._stored import info_of

        return _in_units(info_of(self._manifest(), self.package_path), units, "ModelFromPackage.package_path")

    def build(self, units: Units = "metal") -> GraphModel:
        """Make the model with its stored weights."""
        from equipot.artifacts._package import read_package

        self.info(units)
        return read_package(self.package_path).build().train()

    def _manifest(self) -> Manifest:
        from equipot.artifacts._manifest import check_plugins
        from equipot.artifacts._package import read_manifest

        manifest = read_manifest(self.package_path)
        check_plugins(manifest.plugins, self.package_path)
        return manifest


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFromCheckpoint(Options, ModelRecipe):
    """The model of a checkpoint, weights included, for fine-tuning."""

    checkpoint_path: str
    """A ``.ckpt`` file written by equipot; relative to the working directory."""

    weights: Literal["ema", "raw"] = "ema"
    """Averaged weights, where there are any, or those the optimizer saw."""

    def problems(self) -> Iterable[str]:
        """What keeps the checkpoint from being used."""
        yield from super().problems()
        try:
            self._stored_info()
        except ArtifactError as error:
            yield f"checkpoint_path: {error}"

    def info(self, units: Units = "metal") -> ModelInfo:
        """Types, cutoffs and units, as stored.

        Raises:
            ConfigError: If the model was trained in other units.
        """
        return _in_units(self._stored_info(), units, "ModelFromCheckpoint.checkpoint_path")

    def build(self, units: Units = "metal") -> GraphModel:
        """Make the model with its stored weights."""
        from equipot.artifacts._checkpoint import read_checkpoint

        self.info(units)
        return read_checkpoint(self.checkpoint_path, self.weights).build().train()

    def _stored_info(self) -> ModelInfo:
        from equipot.artifacts._checkpoint import read_manifest
        from equipot.artifacts._manifest import check_plugins
        from equipot.artifacts._stored import info_of

        manifest = read_manifest(self.checkpoint_path)
        check_plugins(manifest.plugins, self.checkpoint_path)
        return info_of(manifest, self.checkpoint_path)


def _in_units(info: ModelInfo, units: Units, where: str) -> ModelInfo:
    if info.units != units:
        raise ConfigError(
            problem(
                where,
                f"the model was trained in {info.units!r} units, data.units is {units!r}",
                hint="use data of the same units",
            )
        )
    return info
