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
from equipot.artifacts._golden import GoldenFrame, approximations_of, check_model
from equipot.artifacts._manifest import Kind, Manifest
from equipot.artifacts._rebuild import rebuild_model
from equipot.artifacts._schema import Shown
from equipot.artifacts._size_limit import SizeLimit
from equipot.errors import ArtifactError, ConfigError, PluginError, problem
from equipot.fields import FIELDS
from equipot.graph import EDGE_SET_SEPARATOR, Graph
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

    golden: tuple[GoldenFrame, ...] | None = None
    """Its golden frames, which packages have."""

    def info(self) -> ModelInfo:
        """Types, cutoffs, units, inputs and outputs; an ArtifactError if the manifest does not hold them."""
        return info_of(self.manifest, self.where)

    def build(self) -> GraphModel:
        """Make the model with its weights, on the CPU, in train mode, and replay a golden frame if there are any.

        An ArtifactError says which plugin is missing or older, where weights and architecture do not match, or which
        numbers differ.
        """
        origins.check_plugins(self.manifest.plugins, self.where)
        info, applied = self.info(), self.applied()
        try:
            with SizeLimit(self.state, self.where):
                model = rebuild_model(self.config, applied, info.units)
        except (ArtifactError, PluginError):
            raise
        except Exception as error:  # a builder may raise anything for options that its author did not think of
            text = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
            what = f"its model cannot be built by the installed plugins: {text}"
            raise ArtifactError(problem(self.where, what)) from error
        self._load_state(model)
        self._check_info(model)
        if self.golden is not None:
            check_model(model, self.golden, self.where, self.allowed(model))
        return model

    def allowed(self, model: GraphModel) -> dict[str, float]:
        """How far the golden frames may deviate, by output: where an approximation was left out, by what it costs."""
        left_out = len(model.modifiers) < len(self.applied())
        return dict(self.manifest.approximations.get("deviations", {})) if left_out else {}

    def applied(self) -> tuple[AppliedModifier, ...]:
        """The persistent modifiers, in order."""
        return from_records(self.manifest.modifiers)

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
        parameters = dict(model.named_parameters())
        for name, value in self.state.items():  # a buffer may be infinite, such as a mask
            if bool(value.isnan().any()) or (name in parameters and not bool(value.isfinite().all())):
                raise ArtifactError(problem(f"{self.where}: {name}", "is not finite", hint="its weights are unusable"))

    def _check_info(self, model: GraphModel) -> None:
        stored, found = dataclasses.asdict(self.info()), dataclasses.asdict(model.info)
        if differing := sorted(key for key, value in found.items() if stored[key] != value):
            texts = [f"{key} is {found[key]!r}, stored {stored[key]!r}" for key in differing]
            raise ArtifactError(problem(self.where, f"the model built is not the one described: {'; '.join(texts)}"))


def info_of(manifest: Manifest, where: str) -> ModelInfo:
    """The ModelInfo in a manifest, checked."""
    info, place = ModelInfo.from_dict(manifest.model), f"{where}: manifest.model"
    number = len(info.type_names)
    radii = [info.r_max, *(radius for row in info.cutoffs or () for radius in row), *(r for _, r in info.edge_sets)]
    sizes = [number if info.cutoffs is None else len(info.cutoffs), *map(len, info.cutoffs or ())]
    sizes.append(number if info.chemical_species is None else len(info.chemical_species))
    if set(sizes) != {number} or number == 0 or min(radii) <= 0.0:
        raise ArtifactError(
            problem(place, "must have a species and positive cutoffs for each type", got=Shown(manifest.model))
        )
    if unknown := sorted({key.split(EDGE_SET_SEPARATOR)[0] for key in info.inputs} - FIELDS.keys()):
        raise ArtifactError(problem(f"{place}.inputs", "has unknown fields", got=Shown(unknown)))
    try:
        numbers = info.atomic_numbers
    except KeyError as error:
        raise ArtifactError(problem(f"{place}.chemical_species", f"{error} is not an element")) from None
    if manifest.kind != "checkpoint" and (None if numbers is None else list(numbers)) != manifest.atomic_numbers:
        what = f"must be {numbers}, as of chemical_species"
        raise ArtifactError(problem(f"{where}: manifest.atomic_numbers", what, got=Shown(manifest.atomic_numbers)))
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
