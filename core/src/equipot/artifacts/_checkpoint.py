"""Models in checkpoints of training: the entry that training writes, and the reader.

``checkpoint["equipot"]`` holds the model's config, modifiers and info. ``state_dict`` holds the weights: those the
optimizer saw under ``model.`` and the averaged ones under ``ema.``, both complete. Everything loads with
``weights_only=True``.
"""

from __future__ import annotations

import collections
import dataclasses
import pickle
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict

import torch

from equipot.artifacts import _archive as archive
from equipot.artifacts._fingerprints import fingerprint, option_digests
from equipot.artifacts._golden import approximations_of
from equipot.artifacts._manifest import Approximations, Manifest, ModelFacts, ModifierRecord, check_format_version
from equipot.artifacts._origins import plugins_if_declared, versions
from equipot.artifacts._schema import Shown, check_fits, check_plain
from equipot.artifacts._stored import StoredModel
from equipot.containers import plain
from equipot.errors import ArtifactError, problem
from equipot.model._graph_model import GraphModel
from equipot.model._modifiers import as_records
from equipot.plugins import plugins

FORMAT_VERSION = 1
"""Version of the entry ``equipot`` and of the names of the weights; raised when readers must handle a change."""

Weights = Literal["ema", "raw"]
KEY = "equipot"
LIBRARIES = ("torch", "lightning", "e3nn", "numpy", "ase")
"""Libraries whose versions are recorded."""

_PREFIX: dict[str, str] = {"ema": "ema.", "raw": "model."}
_MAX_PICKLE = 64 * 1024**2
_MAX_OPERATIONS = 2_000_000
_MAX_MEMBERS = 100_000
_DAMAGED = "the file was edited or damaged"


class _Model(TypedDict):
    config: dict[str, Any]
    modifiers: list[ModifierRecord]
    info: ModelFacts


class _OptionalEntries(TypedDict, total=False):
    hyperparameters: dict[str, str]
    approximations: Approximations
    automatic_modifiers: dict[str, str]


class _Record(_OptionalEntries):
    """The part of the entry ``equipot`` that describes the model."""

    format_version: int
    model: _Model
    weights: Weights
    versions: dict[str, str]
    plugins: dict[str, str]
    data: dict[str, Any]


def checkpoint_record(
    model: GraphModel,
    weights: str,
    training_config: Mapping[str, Any],
    data: Mapping[str, Any],
    earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The entry ``equipot`` of a checkpoint, in plain containers.

    ``weights`` says which ones the results belong to, and ``data`` has hashes and sizes of the data sets. ``earlier``
    is the entry of an earlier checkpoint with the same arguments: only what follows from the weights is computed again.
    """
    if earlier is not None:
        return {**earlier, "approximations": plain(approximations_of(model))}
    modifiers = as_records(model.modifiers)
    installed = {record.distribution: record.version for record in plugins().records if record.state == "ok"}
    record: dict[str, Any] = plain(
        {
            "format_version": FORMAT_VERSION,
            "model": {"config": model.config, "modifiers": modifiers, "info": model.info.to_dict()},
            "hyperparameters": option_digests(model.config, modifiers, model.info.units),
            "weights": weights,
            "approximations": approximations_of(model),
            "training_config": training_config,
            "versions": {**installed, **versions(*LIBRARIES)},
            "plugins": plugins_if_declared(model.config, modifiers),
            "data": data,
        }
    )
    return record


def load_plain(path: str | Path) -> dict[str, Any]:
    """Read tensors and plain containers of a checkpoint, executing nothing; all else raises ArtifactError."""
    path = Path(path)
    stored = _check_zip(path)
    try:
        # mapped, so that weights that are not used take no memory
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split("WeightsUnpickler error:")[-1].strip().splitlines()[0]
        hint = "only tensors and plain containers are loaded"
        raise ArtifactError(problem(str(path), f"is not a plain checkpoint ({reason})", hint=hint)) from None
    except Exception as error:  # noqa: BLE001 - torch raises errors of any type for damaged files
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ArtifactError(_unreadable(path, reason)) from None
    if not isinstance(loaded, dict) or not isinstance(loaded.get("state_dict"), dict):
        raise ArtifactError(problem(str(path), "is not a checkpoint of equipot: it has no state_dict"))
    if _storage_sizes(loaded) != stored:
        raise ArtifactError(_unreadable(path, "its tensors do not have the sizes of its members"))
    return loaded


def _storage_sizes(loaded: object) -> list[int]:
    """Bytes of all storages in a checkpoint: torch maps what the pickle states, even beyond the member."""
    waiting, seen, sizes = [loaded], set(), {}
    while waiting:
        item = waiting.pop()
        if isinstance(item, torch.Tensor):
            if item.layout == torch.strided and item.device.type == "cpu":
                storage = item.untyped_storage()
                sizes[storage.data_ptr()] = storage.nbytes()
        elif isinstance(item, (dict, list, tuple, set)) and id(item) not in seen:
            seen.add(id(item))
            waiting += item.values() if isinstance(item, dict) else item
    return sorted(size for size in sizes.values() if size)


def _check_zip(path: Path) -> list[int]:
    """Require what ``torch.save`` writes, and compare all members with their checksums, which torch does not do.

    Returns the sizes of the members with numbers, in bytes.
    """
    with archive.opened(path, "checkpoint", _MAX_MEMBERS) as file:
        collections.deque(_operations(path, file), maxlen=0)
        try:
            damaged = file.testzip()
        except archive.DAMAGE as error:
            raise ArtifactError(_unreadable(path, error)) from None
    if damaged is not None:
        raise ArtifactError(_unreadable(path, f"the checksum of {damaged} is wrong"))
    numbers = (info.file_size for info in file.infolist() if "/data/" in info.filename)
    return sorted(size for size in numbers if size)


def _operations(path: Path, file: zipfile.ZipFile) -> Iterator[tuple[str, object]]:
    """Name and argument of each operation of the pickle, which holds no numbers of tensors and is therefore small."""
    pickles = [info.filename for info in file.infolist() if info.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        kind = "a package" if "manifest.json" in file.namelist() else "a zip file of another kind"
        hint = "give a .ckpt file of a training run"
        raise ArtifactError(problem(str(path), f"is not a checkpoint but {kind}", hint=hint))
    raw = archive.read_member(path, file, pickles[0], _MAX_PICKLE)
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(raw)):
            if number > _MAX_OPERATIONS:
                raise ArtifactError(_unreadable(path, f"its pickle has more than {_MAX_OPERATIONS} operations"))
            yield opcode.name, argument
    except (ValueError, EOFError, OverflowError) as error:
        raise ArtifactError(_unreadable(path, error)) from None


def pickle_globals(path: Path) -> list[str]:
    """Every ``module name`` that the pickle in a checkpoint refers to, found without unpickling anything."""
    found: dict[str, None] = {}
    with archive.opened(path, "checkpoint", _MAX_MEMBERS) as file:
        for name, argument in _operations(path, file):
            if name in ("GLOBAL", "INST"):
                found[str(argument)] = None
            elif name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
                found[f"(name made at run time) {name}"] = None
    return list(found)


def _unreadable(path: Path, reason: object) -> str:
    return problem(str(path), f"cannot be read as a checkpoint ({reason})", hint=archive.TRUNCATED)


def read_checkpoint(path: str | Path, weights: Weights = "ema") -> StoredModel:
    """Read a checkpoint's model.

    Args:
        path: A ``.ckpt`` file written by equipot.
        weights: ``ema`` for the averaged weights, if the file has them, or ``raw`` for those the optimizer saw.

    Returns:
        The stored model; its ``build()`` makes the model.

    Raises:
        ArtifactError: If the file is damaged, too new, or not a checkpoint of equipot.
    """
    path = Path(path)
    if weights not in _PREFIX:
        raise ArtifactError(problem("weights", "must be 'ema' or 'raw'", got=weights))
    loaded = load_plain(path)
    manifest, record = _manifest(loaded, str(path)), loaded[KEY]
    averaged = record["weights"] == "ema"
    used: Weights = weights if averaged else "raw"
    state = _state(loaded["state_dict"], used, str(path))
    if not averaged and _state(loaded["state_dict"], "ema", str(path)):
        raise ArtifactError(problem(str(path), "has averaged weights that its record does not know", hint=_DAMAGED))
    if not state:
        kind = "averaged weights, although its record says that it has some" if used == "ema" else "weights of a model"
        raise ArtifactError(problem(str(path), f"has no {kind}", hint=_DAMAGED))
    manifest = dataclasses.replace(
        manifest,
        fingerprint=fingerprint(manifest.hyperparameters, state),
        provenance={**manifest.provenance, "weights": used},
    )
    return StoredModel(where=str(path), manifest=manifest, config=record["model"]["config"], state=state)


def _state(tensors: Mapping[Any, Any], weights: Weights, where: str) -> dict[str, torch.Tensor]:
    """The tensors of one of the models in a checkpoint, under the names they have in the model."""
    prefix, state = _PREFIX[weights], {}
    for name, value in tensors.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ArtifactError(problem(f"{where}: state_dict", "must hold tensors by name", got=Shown(name)))
        if name.startswith(prefix):
            _check_tensor(value, f"{where}: {name}")
            state[name.removeprefix(prefix)] = value
    return state


def _check_tensor(value: torch.Tensor, where: str) -> None:
    """Refuse tensors of unusual kinds, and those that are larger than their stored contents."""
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
        raise ArtifactError(problem(where, "must be a dense tensor", got=str(value.layout), hint=_DAMAGED))
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        what = f"has the shape {tuple(value.shape)}, but fewer numbers are stored"
        raise ArtifactError(problem(where, what, hint=_DAMAGED))


def read_manifest(path: str | Path) -> Manifest:
    """What a checkpoint says about its model."""
    return _manifest(load_plain(path), str(path))


def _manifest(loaded: Mapping[str, Any], where: str) -> Manifest:
    """What the entry ``equipot`` says, with everything that is used checked."""
    stored = loaded.get(KEY)
    if not isinstance(stored, dict):
        raise ArtifactError(problem(where, "is not a checkpoint of equipot", hint="it lacks the entry 'equipot'"))
    check_format_version(stored.get("format_version"), where, FORMAT_VERSION)
    known = {key: stored[key] for key in _Record.__annotations__ if key in stored}
    check_plain(known, f"{where}: {KEY}")
    check_fits(known, _Record, f"{where}: {KEY}")
    model = known["model"]
    digests = option_digests(model["config"], model["modifiers"], model["info"]["units"])
    saved = known.get("hyperparameters", digests)
    if differing := sorted(key for key in saved.keys() | digests.keys() if saved.get(key) != digests.get(key)):
        what = f"the checkpoint was written with other values of {differing}"
        raise ArtifactError(problem(f"{where}: {KEY}.model", what, hint=_DAMAGED))
    return Manifest(
        kind="checkpoint",
        model=model["info"],
        modifiers=list(model["modifiers"]),
        plugins=known["plugins"],
        versions=known["versions"],
        hyperparameters=digests,
        provenance={
            "seed": model["config"].get("seed"),
            "epoch": _count(loaded.get("epoch"), f"{where}: epoch"),
            "step": _count(loaded.get("global_step"), f"{where}: global_step"),
        },
        data=known["data"],
        approximations=known.get("approximations", {}),
    )


def _count(value: object, where: str) -> int | None:
    if value is not None and type(value) is not int:
        raise ArtifactError(problem(where, "must be an integer", got=Shown(value), hint=_DAMAGED))
    return value
