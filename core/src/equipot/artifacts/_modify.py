"""Make packages from checkpoints, and from other packages by applying modifiers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from equipot.artifacts import _package as package
from equipot.artifacts._checkpoint import Weights, read_checkpoint
from equipot.artifacts._manifest import Manifest
from equipot.artifacts._origins import source_of
from equipot.data._frames import LabelSource, frame_from_atoms
from equipot.data._readers import read_atoms
from equipot.data.transforms import default_transforms
from equipot.errors import ArtifactError, ConfigError, problem
from equipot.fields import OPTIONAL_INPUTS
from equipot.graph import Graph
from equipot.model._context import ModelInfo
from equipot.model._modifiers import apply_modifiers
from equipot.plugins import plugins

GOLDEN_FROM_DATA = 5
"""Number of frames of a data set that become golden frames."""


def package_checkpoint(
    checkpoint_path: str | Path, path: str | Path, *, weights: Weights = "ema", golden_data: str | Path | None = None
) -> Manifest:
    """Make a package of a checkpoint's model.

    The golden frames are random ones, or the first frames of the file ``golden_data``, which need no labels and become
    part of the package.
    """
    package.checked_path(path)
    stored = read_checkpoint(checkpoint_path, weights)
    model = stored.build()
    provenance = {**stored.manifest.provenance, **source_of(checkpoint_path)}
    frames = None if golden_data is None else _frames_from_file(golden_data, model.info)
    return package.write_package(model, path, golden_inputs=frames, provenance=provenance, data=stored.manifest.data)


def modify_package(
    source: str | Path, path: str | Path, modifiers: Iterable[tuple[str, Mapping[str, Any]]]
) -> Manifest:
    """Write a package with persistent modifiers, pairs of name and options, applied to the model of another package.

    The source stays as it is.
    """
    source, path = Path(source), package.checked_path(path)
    if path.exists() and source.exists() and path.samefile(source):
        what = "would overwrite the package to modify"
        raise ArtifactError(problem(str(path), what, hint="choose another name for the output"))
    steps = list(modifiers)
    hints = [name for name, _ in steps if not getattr(plugins().lookup("modifiers", name).entry, "persistent", False)]
    if hints:
        what = f"{hints} are not persistent, so they are not stored in a package"
        hint = "give them to equipot compile, or to the calculator's model"
        raise ConfigError(problem("--modifiers", what, hint=hint))
    stored = package.read_package(source)
    model = apply_modifiers(stored.build(), steps)
    provenance = {**stored.manifest.provenance, **source_of(source), "source_fingerprint": stored.manifest.fingerprint}
    return package.write_package(model, path, provenance=provenance, data=stored.manifest.data)


def _frames_from_file(path: str | Path, info: ModelInfo) -> dict[str, Graph]:
    """The first frames of a data file, with all inputs of a model."""
    contract = {key: LabelSource(key) for key in OPTIONAL_INPUTS if key in info.inputs}
    frames = {}
    for number, atoms in enumerate(read_atoms(path)[:GOLDEN_FROM_DATA]):
        frame, _ = frame_from_atoms(atoms, contract, f"{path}, frame {number}")
        for transform in default_transforms(info):
            frame = transform(frame)
        frames[f"data{number}"] = frame
    return frames
