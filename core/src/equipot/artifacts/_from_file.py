"""Recipes that start from a stored model: ``ModelFromPackage`` and ``ModelFromCheckpoint``.

The model that they build keeps the config of its original builder, so that what is trained from it does not need the
file it came from.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Literal

from equipot.artifacts import _checkpoint as checkpoint
from equipot.artifacts import _package as package
from equipot.artifacts._manifest import Manifest
from equipot.artifacts._origins import check_plugins
from equipot.artifacts._stored import StoredModel, info_of
from equipot.errors import ArtifactError, ConfigError, problem
from equipot.model._context import ModelInfo
from equipot.model._graph_model import GraphModel
from equipot.model._recipe import ModelRecipe
from equipot.options import Options
from equipot.units import Units


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ModelFromFile(Options, ModelRecipe):
    """The model in a file, with its weights."""

    _path_option: ClassVar[str]
    """Name of the option that holds the path."""

    @abstractmethod
    def _manifest(self) -> Manifest:
        """The manifest, read without the weights where possible."""

    @abstractmethod
    def _stored(self) -> StoredModel:
        """The stored model with its weights."""

    def problems(self) -> Iterable[str]:
        """Reasons why the file cannot be used."""
        yield from super().problems()
        try:
            self._stored_info()
        except ArtifactError as error:
            yield f"{self._path_option}: {error}"

    def info(self, units: Units = "metal") -> ModelInfo:
        """Types, cutoffs and units, as stored.

        Raises:
            ConfigError: If the model was trained in other units.
        """
        info = self._stored_info()
        if info.units != units:
            what = f"the model was trained in {info.units!r} units, but data.units is {units!r}"
            where = f"{type(self).__name__}.{self._path_option}"
            raise ConfigError(problem(where, what, hint="use data of the same units"))
        return info

    def build(self, units: Units = "metal") -> GraphModel:
        """Make the model with its stored weights."""
        self.info(units)
        return self._stored().build().train()

    def _stored_info(self) -> ModelInfo:
        path: str = getattr(self, self._path_option)
        manifest = self._manifest()
        check_plugins(manifest.plugins, path)
        return info_of(manifest, path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFromPackage(_ModelFromFile):
    """The model in a package, with its weights, for fine-tuning."""

    _path_option = "package_path"

    package_path: str
    """Path of a ``.equipot.zip`` file, relative to the working directory."""

    def _manifest(self) -> Manifest:
        return package.read_manifest(self.package_path)

    def _stored(self) -> StoredModel:
        return package.read_package(self.package_path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFromCheckpoint(_ModelFromFile):
    """The model in a checkpoint, with its weights, for fine-tuning."""

    _path_option = "checkpoint_path"

    checkpoint_path: str
    """Path of a ``.ckpt`` file written by equipot, relative to the working directory."""

    weights: Literal["ema", "raw"] = "ema"
    """``ema`` for the averaged weights, if the file has them, or ``raw`` for those the optimizer saw."""

    def _manifest(self) -> Manifest:
        return checkpoint.read_manifest(self.checkpoint_path)

    def _stored(self) -> StoredModel:
        return checkpoint.read_checkpoint(self.checkpoint_path, self.weights)
