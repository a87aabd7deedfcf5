"""A model as stored in a file: config, modifiers, weights and manifest, not yet built."""

from __future__ import annotations

import dataclasses
import datetime as dt
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from equipot.artifacts import _origins as origins
from equipot.artifacts._fingerprints import fingerprint, option_digests
from equipot.artifacts._golden import approximations_of
from equipot.artifacts._manifest import Kind, Manifest
from equipot.artifacts._rebuild import rebuild_model
from equipot.errors import ArtifactError, ConfigError, problem
from equipot.graph import Graph
from equipot.model._context import ModelInfo
from equipot.model._graph_model import AppliedModifier, GraphModel
from equipot.model._modifiers import as_records, from_records


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """Everything needed to rebuild a model."""

    where: str
    """The file, as named in messages."""

    manifest: Manifest
    """What is known about the model."""

    config: dict[str, Any]
    """The config of its builder, in plain containers."""

    state: dict[str, torch.Tensor]
    """Its weights and buffers, on the CPU."""

    def info(self) -> ModelInfo:
        """Types, cutoffs, units, inputs and outputs; an ArtifactError if the manifest does not hold them."""
        return info_of(self.manifest, self.where)

    def build(self) -> GraphModel:
        """Make the model with its weights, on the CPU, in train mode.

        An ArtifactError says which plugin is missing or older, or where weights and architecture do not match.
        """
        origins.check_plugins(self.manifest.plugins, self.where)
        try:
            model = rebuild_model(self.config, self.applied(), self.info().units)
        except ConfigError as error:
            text = problem(self.where, f"its model cannot be built by the installed plugins: {error}")
            raise ArtifactError(text) from error
        self._load_state(model)
        self._check_info(model)
        return model

    def applied(self) -> tuple[AppliedModifier, ...]:
        """The persistent modifiers, in order; an ArtifactError if their records are damaged."""
        try:
            return from_records(self.manifest.modifiers)
        except TypeError as error:
            raise ArtifactError(problem(f"{self.where}: manifest.modifiers", f"is damaged ({error})")) from None

    def _load_state(self, model: GraphModel) -> None:
        expected = model.state_dict()
        differing = [
            f"{name} {tuple(value.shape)} {value.dtype}"
            for name, value in self.state.items()
            if name in expected and (expected[name].shape, expected[name].dtype) != (value.shape, value.dtype)
        ]
        missing, extra = sorted(expected.keys() - self.state.keys()), sorted(self.state.keys() - expected.keys())
        if missing or extra or differing:
            parts = {"missing": missing, "unknown": extra, "of another shape or type": differing}
            text = "; ".join(f"{what}: {names[:5]}" for what, names in parts.items() if names)
            hint = f"the file was made with {self.manifest.plugins or self.manifest.versions}"
            raise ArtifactError(problem(self.where, f"its weights do not fit its model ({text})", hint=hint))
        model.load_state_dict(self.state, strict=True)

    def _check_info(self, model: GraphModel) -> None:
        stored, found = dataclasses.asdict(self.info()), dataclasses.asdict(model.info)
        if differing := sorted(key for key, value in found.items() if stored[key] != value):
            texts = [f"{key} is {found[key]!r}, stored {stored[key]!r}" for key in differing]
            raise ArtifactError(problem(self.where, f"the model built is not the one described: {'; '.join(texts)}"))


def info_of(manifest: Manifest, where: str) -> ModelInfo:
    """The ModelInfo in a manifest, checked."""
    fields = {item.name for item in dataclasses.fields(ModelInfo)}
    place = f"{where}: manifest.model"
    if unknown := sorted(manifest.model.keys() - fields):
        hint = "pip install --upgrade equipot"
        raise ArtifactError(problem(place, f"has the unknown entries {unknown}", hint=hint))
    try:
        info = ModelInfo.from_dict(manifest.model)
    except TypeError as error:
        raise ArtifactError(problem(place, f"is damaged ({error})")) from None
    if info.units not in ("metal", "real") or not isinstance(info.r_max, (int, float)) or not info.type_names:
        raise ArtifactError(problem(place, "is damaged", got=manifest.model))
    return info


def store(
    model: GraphModel,
    kind: Kind,
    *,
    where: str = "model",
    provenance: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    golden_inputs: Mapping[str, Graph] | None = None,
) -> StoredModel:
    """Take apart an eager model, which is not changed, for a file of a kind; only declared components can be stored.

    The time is added to ``provenance``. Approximations are measured on ``golden_inputs``, by default random frames.
    """
    if not model.config:
        what = "was not made by a model builder, so it cannot be stored"
        raise ArtifactError(problem(where, what, hint="build it with a registered builder"))
    records = as_records(model.modifiers)
    # cloned: safetensors refuses tensors that share memory, as tied weights do
    state = {name: value.detach().cpu().contiguous().clone() for name, value in sorted(model.state_dict().items())}
    numbers = model.info.atomic_numbers
    created = dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")
    digests = option_digests(model.config, records, model.info.units)
    manifest = Manifest(
        kind=kind,
        model=model.info.to_dict(),
        modifiers=records,
        plugins=origins.plugins_used(model.config, records),
        versions={"python": platform.python_version(), **origins.versions("torch", "e3nn")},
        atomic_numbers=None if numbers is None else list(numbers),
        hyperparameters=digests,
        fingerprint=fingerprint(digests, state),
        provenance={"seed": model.config.get("seed"), **(provenance or {}), "created": created},
        data=dict(data or {}),
        approximations=approximations_of(model, golden_inputs),
        citations=origins.citations_of(model.config),
    )
    return StoredModel(where=where, manifest=manifest, config=model.config, state=state)
