"""Models with the labelled frames of their training, or of files that are read in the same way."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipot.config import stored_data
from equipot.errors import ConfigError, DataError, problem

if TYPE_CHECKING:
    from equipot.artifacts import Manifest
    from equipot.data import DataModule, FrameCollection, FrameDataset, LabelContract
    from equipot.data.arguments import GivenReading
    from equipot.model import GraphModel

MODELS = ("model.equipot.zip", "best.ckpt", "last.ckpt")
"""Files with the model of a run; the first that is there counts."""

_COMPARED = ("total_energy", "forces")
"""Labels with which uncertainties are compared."""


def model_file(path: str) -> Path:
    """The file with the model: the argument itself, or one in the folder of a run.

    Raises:
        ConfigError: If there is none, or it is a compiled file.
    """
    given = Path(path)
    if given.is_dir():
        found = [given / name for name in MODELS if (given / name).is_file()]
        if not found:
            raise ConfigError(problem(path, f"has no model: none of {', '.join(MODELS)}"))
        return found[0]
    if given.name.endswith(".pt2"):
        what = "is a compiled file, which does not show its features"
        raise ConfigError(problem(path, what, hint="give the package or checkpoint it was compiled from"))
    return given


def load_stored(path: Path) -> tuple[GraphModel, Manifest]:
    """A model in eval mode, on the CPU, and what its file says of it."""
    from equipot.artifacts import read_checkpoint, read_package

    stored = read_package(path) if path.name.endswith(".zip") else read_checkpoint(path)
    return stored.build().eval(), stored.manifest


def data_of_run(folder: str, model: GraphModel) -> DataModule:
    """The data of a run, split as in its training.

    Raises:
        ConfigError: If its config is missing, or its data are not read from files.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        hint = "give the model's file with --train and --validation"
        raise ConfigError(problem(folder, "is not the folder of a run: it has no config.json", hint=hint))
    from equipot.data import DataModule

    data = stored_data(json.loads(path.read_text(encoding="utf-8")))
    if not isinstance(data, DataModule):
        what = "its data section is not one of equipot, so its frames are not read again"
        raise ConfigError(problem(folder, what))
    data.bind(model.info)
    data.use_labels(["forces"] if model.derivatives is not None else [])
    data.setup()
    return data


def collection_of_files(
    model: GraphModel,
    manifest: Manifest,
    files: Sequence[str],
    *,
    labels: Mapping[str, Any] | None = None,
    reading: GivenReading | None = None,
) -> tuple[FrameCollection, LabelContract]:
    """Frames of files, with the energies and forces that they have, read as in the model's training.

    Args:
        model: Whose units the labels have.
        manifest: Of its file.
        files: Of any format that training reads.
        labels: Labels that are named, instead of those of the training.
        reading: Further options, instead of those of the training.

    Returns:
        The frames, and by what their labels were read.

    Raises:
        DataError: If a file cannot be read.
    """
    from equipot.data.arguments import GivenData, GivenReading

    facts = manifest.data
    known = {label: one for label, one in (facts.get("labels") or {}).items() if label in _COMPARED}
    options = reading or GivenReading(weights=None, unconverged=None, species=None, ase_args=None)
    given = GivenData(
        labels={**known, **(labels or {})},
        units=model.info.units,
        reading=dataclasses.replace(options, species={**facts.get("species", {}), **(options.species or {})} or None),
    )
    contract = given.contract()
    read = given.collect(
        files,
        contract,
        otherwise=facts.get("unconverged") or "error",
        mask_nan=bool(facts.get("mask_nan_labels", False)),
    )
    return read, contract


def frames_of_files(model: GraphModel, manifest: Manifest, files: Sequence[str], **how: Any) -> FrameDataset:
    """The same with the types and cutoffs of the model, as models take them.

    Args:
        model: As above.
        manifest: As above.
        files: As above.
        **how: As above.

    Raises:
        DataError: If a file cannot be read, no frame has an energy or a label that was named, or a label is not finite.
    """
    from equipot.data import FrameDataset
    from equipot.data.transforms import default_transforms

    read, _ = collection_of_files(model, manifest, files, **how)
    _require(read, files, ["total_energy", *(how.get("labels") or {})])
    for place, reports in zip(read.places, read.reports, strict=True):
        for label, report in reports.items():
            if report.non_finite:
                raise DataError(problem(place, f"the label {label} is {report.non_finite}"))
    return FrameDataset(read.frames, read.places, default_transforms(model.info))


def _require(read: FrameCollection, files: Sequence[str], labels: Sequence[str]) -> None:
    """Refuse files in which no frame has one of the labels; the message lists their keys."""
    missing = [label for label in dict.fromkeys(labels) if label not in read.labels]
    if missing:
        found = ", ".join(dict.fromkeys(key for keys in read.keys for key in keys)) or "no keys"
        hint = f"name its key, --labels {missing[0]}=KEY; there are {found}"
        raise DataError(problem(", ".join(files), f"no frame has the label {missing[0]}", hint=hint))
