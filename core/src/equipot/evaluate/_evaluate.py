"""Compare a model with labelled frames."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from equipot.artifacts._compiled_model import CompiledModel
from equipot.data._collection import FrameCollection, Unconverged
from equipot.data._dataset import FrameDataset
from equipot.data._frames import DEFAULT_LABELS, LabelContract, label_contract, suggest_keys
from equipot.data._readers import check_file
from equipot.data._regular import collect_files
from equipot.data.checks import judge
from equipot.data.transforms import default_transforms
from equipot.errors import DataError, problem
from equipot.evaluate._evaluation import Compared, EvaluatedFrame, Evaluation
from equipot.evaluate._uncertainties import standard_deviations
from equipot.fields import LABELS
from equipot.graph import Graph, collate, non_finite, split
from equipot.model._graph_model import GraphModel
from equipot.quantities import COMPARED, FORCES, REPORTED, Reported, compare
from equipot.units import Units

_KEPT = ("total_energy", "forces", "stress", "stress_mask")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How files are read for an evaluation, besides the labels."""

    weights: Mapping[str, str] | None = None
    """Keys of weights of labels and of whole frames, as ``data.weights`` of a config. Where they differ, there are
    weighted errors too; values of weight 0 are left out of all errors."""

    unconverged: Unconverged = "error"
    """What is done with frames whose self-consistent cycle did not converge, as ``data.unconverged``."""

    species: Mapping[Any, str] | None = None
    """Element of each name of atoms that is not a symbol, as ``data.species``."""

    ase_args: Mapping[str, Any] | None = None
    """Format, selection of frames and further arguments of the reader, as ``data.ase_args``."""


class _Read(NamedTuple):
    """The frames of all files."""

    collection: FrameCollection
    files: list[str]
    """File of each frame."""
    indices: list[int]
    """Index of each frame in its file."""


def evaluate(
    model: GraphModel | CompiledModel,
    path: str | Path | Sequence[str | Path],
    *,
    labels: Mapping[str, str | Mapping[str, str]] | None = None,
    mask_nan: bool = False,
    reading: Reading | None = None,
    batch_size: int = 10,
    device: str | torch.device = "cpu",
    progress: Callable[[list[int]], Iterable[int]] = iter,
) -> Evaluation:
    """Compare a model with labelled frames.

    Args:
        model: A model returned by ``equipot.artifacts.load``, or an object with ``info`` that is called like one.
        path: File that is read as in training, with labels in the units of the model's training data; or several.
        labels: Names of the labels in the file, as in ``data.labels``; default: ASE's names.
        mask_nan: Treat NaN in a label as missing, as ``data.mask_nan_labels``.
        reading: Weights, and how files are read; default: no weights, and frames that did not converge are refused.
        batch_size: Number of frames evaluated at once.
        device: Device of the model.
        progress: Wraps the list of batch starts, to show a progress bar.

    Raises:
        DataError: If a file is given twice, cannot be read or has no usable label, or a prediction is not finite.
    """
    paths = [str(one) for one in ([path] if isinstance(path, (str, Path)) else path)]
    how = reading or Reading()
    contract = label_contract(
        labels, "--labels", units=model.info.units, weights=how.weights, weights_at="--label-weights"
    )
    collection = collect_files(
        _distinct(paths),
        contract,
        ase_args=how.ase_args,
        species=how.species,
        mask_nan=mask_nan,
        unconverged=how.unconverged,
    )
    found = evaluate_frames(
        model, collection, contract, files=paths, batch_size=batch_size, device=device, progress=progress
    )
    return dataclasses.replace(found, warnings=(*found.warnings, *_judged(contract, collection, model.info.units)))


def evaluate_frames(
    model: GraphModel | CompiledModel,
    collection: FrameCollection,
    contract: LabelContract,
    *,
    files: Sequence[str] = (),
    batch_size: int = 10,
    device: str | torch.device = "cpu",
    progress: Callable[[list[int]], Iterable[int]] = iter,
) -> Evaluation:
    """Compare a model with frames that are read already, e.g. a set of a data module; they are not judged.

    Args:
        model: A model returned by ``equipot.artifacts.load``, or an object with ``info`` that is called like one.
        collection: Labelled frames, in the units of the model.
        contract: By which their labels were read.
        files: Their files, for messages.
        batch_size: Number of frames evaluated at once.
        device: Device of the model.
        progress: As for ``evaluate``.

    Raises:
        DataError: If no frame has a usable label, or a label or prediction is not finite.
    """
    read = _read(collection)
    frames = FrameDataset(read.collection.frames, read.collection.places, default_transforms(model.info), cache_bytes=0)
    predictions: list[Graph] = []
    pairs: dict[Reported, list[Compared]] = {one: [] for one in REPORTED}
    for start in progress(list(range(0, len(frames), batch_size))):
        given = [frames[index] for index in range(start, min(start + batch_size, len(frames)))]
        batch = {key: value.to(device) for key, value in collate(given).items()}
        outputs = model(batch)
        if non_finite(outputs):
            raise DataError(_not_finite(outputs, batch, frames.places[start:]))
        for one, kept in pairs.items():
            kept.extend(_compared(one, outputs, batch, start, one.factor(model.info.units)))
        predictions += _by_frame(outputs, batch, contract)
    compared = [_joined(kept) for kept in pairs.values() if kept]
    if not compared:
        raise DataError(_no_labels(model, files or sorted(set(read.files)), read.collection))
    return Evaluation(
        n_frames=len(frames),
        compared=tuple(_without_equal_weights(_without_isolated(one, read.collection.isolated)) for one in compared),
        frames=tuple(_evaluated(read, predictions)),
        contract=contract,
        outputs=tuple(model.info.outputs),
        units=model.info.units,
        warnings=tuple(_warnings(contract, read.collection)),
    )


# ------------------------------------------------------------------------------ reading


def _distinct(paths: Sequence[str]) -> Sequence[str]:
    """The paths themselves; one that is given twice or is no file is a DataError."""
    seen: dict[Path, str] = {}
    for path in paths:
        check_file(path)
        if (other := seen.setdefault(Path(path).resolve(), path)) is not path:
            raise DataError(problem(path, f"is given twice (as {other})"))
    return paths


def _read(collection: FrameCollection) -> _Read:
    """The labelled frames with their files; a label that is not finite is a DataError."""
    for place, reports in zip(collection.places, collection.reports, strict=True):
        for label, report in reports.items():
            if report.non_finite:
                raise DataError(problem(place, f"the label {label} is {report.non_finite}"))
    places = [place.rpartition(", frame ") for place in collection.places]
    return _Read(collection, [file for file, _, _ in places], [int(index) for _, _, index in places])


def _evaluated(read: _Read, predictions: Sequence[Graph]) -> Iterator[EvaluatedFrame]:
    collection = read.collection
    groups = collection.groups or [""] * len(read.files)
    for place, file, index, group, isolated, frame, predicted, reports in zip(
        collection.places,
        read.files,
        read.indices,
        groups,
        collection.isolated,
        collection.frames,
        predictions,
        collection.reports,
        strict=True,
    ):
        yield EvaluatedFrame(place, file, index, group, isolated, frame, predicted, reports)


# ---------------------------------------------------------------------------- comparing


def _compared(one: Reported, outputs: Graph, batch: Graph, start: int, factor: float) -> list[Compared]:
    """The values of a quantity in a batch that have a label and a prediction, if any."""
    found = compare(COMPARED[one.name], COMPARED[one.name], outputs, batch)
    if found is None or not bool(found.present.any()):
        return []
    rows = found.present.nonzero()[:, 0].cpu()
    labels, predictions = (part[found.present].cpu() * factor for part in (found.labels, found.predictions))
    each = labels.numel() // len(rows)
    per_atom = COMPARED[one.name].per == "atom"
    places = {"frames": rows + start}
    if per_atom:
        frame_of, num_atoms = batch["batch"].cpu(), batch["num_atoms"].cpu()
        first = num_atoms.cumsum(0) - num_atoms
        places = {
            "frames": frame_of[rows] + start,
            "atoms": rows - first[frame_of[rows]],
            "elements": batch["atomic_numbers"].cpu()[rows],
        }
    if found.weights is not None:
        places["weights"] = found.weights[found.present].cpu()
    spread = {name: value.repeat_interleave(each) for name, value in places.items()}
    return [Compared(one, labels.reshape(-1), predictions.reshape(-1), **spread)]


def _joined(parts: Sequence[Compared]) -> Compared:
    """The values of all batches."""
    tensors = {
        one.name: torch.cat([getattr(part, one.name) for part in parts])
        for one in dataclasses.fields(Compared)
        if isinstance(getattr(parts[0], one.name), torch.Tensor)
    }
    return Compared(parts[0].quantity, **tensors)


def _without_equal_weights(one: Compared) -> Compared:
    """The values without weights if these are all equal, as only their ratios matter."""
    alike = one.weights is not None and bool((one.weights == one.weights[0]).all())
    return dataclasses.replace(one, weights=None) if alike else one


def _without_isolated(one: Compared, isolated: Sequence[bool]) -> Compared:
    """The values of other frames than isolated atoms, if there are any."""
    return one.select(~torch.tensor(isolated)[one.frames]) or one


def _by_frame(outputs: Graph, batch: Graph, labels: Iterable[str]) -> list[Graph]:
    """What is kept of the predictions, by frame, on the CPU: the usual ones, those with labels, their deviations."""
    wanted = dict.fromkeys((*_KEPT, *labels, *standard_deviations()))
    kept = {key: outputs[key].detach().cpu() for key in wanted if key in outputs}
    sizes = {key: batch[key].cpu() for key in ("batch", "num_atoms")}
    return [{key: frame[key] for key in kept} for frame in split({**sizes, **kept})]


# ----------------------------------------------------------------------------- messages


def _not_finite(outputs: Graph, batch: Graph, places: Sequence[str]) -> str:
    """The message about the first frame whose prediction is not finite."""
    for place, predicted in zip(places, _by_frame(outputs, batch, LABELS), strict=False):
        if bad := non_finite(predicted):
            return problem(place, f"the model gives non-finite {bad}")
    return problem(
        places[0], f"the model gives non-finite {non_finite(outputs)} in this frame or those evaluated with it"
    )


def _no_labels(model: GraphModel | CompiledModel, paths: Sequence[str], read: FrameCollection) -> str:
    """The message for files without usable labels; it suggests keys of the files that look like labels."""
    found = dict.fromkeys(key for keys in read.keys for key in keys)
    wanted = dict.fromkeys((*DEFAULT_LABELS, *(label for label in LABELS if label in model.info.outputs)))
    named = [f"{label}={keys[0]}" for label in wanted if (keys := suggest_keys(label, found))]
    hint = f"name the keys: --labels {' '.join(named) or 'total_energy=KEY forces=KEY'}"
    what = f"has no label that the model predicts ({', '.join(model.info.outputs)})"
    return problem(", ".join(paths), what, hint=hint)


def _warnings(contract: LabelContract, read: FrameCollection) -> Iterator[str]:
    """Keys that look like a label and are not used: of forces always, of other labels only where none was found."""
    counts: dict[str, int] = {}
    for key in itertools.chain.from_iterable(read.keys):
        counts[key] = counts.get(key, 0) + 1
    yield from _missing_weights(contract, read)
    used = {source.key.rpartition(":")[2] for source in contract.values()}
    present = read.labels
    for label in (one.label for one in REPORTED):
        per_atom = [key for key in counts if label != FORCES or not key.startswith("info:")]
        unused = [name for name in suggest_keys(label, per_atom) if name not in used]
        if unused and (label == FORCES or (label in contract and label not in present)):
            frames = {name: sum(count for key, count in counts.items() if key.endswith(f":{name}")) for name in unused}
            shown = ", ".join(f"{name} ({count} of {len(read.places)} frames)" for name, count in frames.items())
            word = "forces" if label == FORCES else label.replace("_", " ")
            yield f"keys that look like {word} are not used: {shown}; to use one: --labels {label}={unused[0]}"


def _missing_weights(contract: LabelContract, read: FrameCollection) -> Iterator[str]:
    """Keys of weights that no frame has."""
    named = dict.fromkeys(key for source in contract.values() for key in source.weights)
    found = {key for reports in read.reports for one in reports.values() for key in one.weight_keys}
    if missing := [key for key in named if key not in found]:
        yield f"no frame has the weights {', '.join(missing)}: where they are missing, they are 1"


def _judged(contract: LabelContract, read: FrameCollection, units: Units) -> list[str]:
    """What the checks of data warn of: errors against wrong labels say nothing about the model."""
    found = {label: source for label, source in contract.items() if label in read.labels}
    verdict = judge({"data": read}, found, units=units)
    return [f"{one.code}: {one.message} ({one.example})" for one in verdict.of("error", "warning")]
