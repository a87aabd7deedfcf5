"""Models in checkpoints of training: the entry that training writes, and the reader.

``checkpoint["equipot"]`` holds the model's config, modifiers and info. ``state_dict`` holds the weights: those the
optimizer saw under ``model.`` and the averaged ones under ``ema.``, both complete. Everything loads with
``weights_only=True``.
"""

from __future__ import annotations

import dataclasses
import pickle
import pickletools
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from equipot.artifacts._fingerprints import fingerprint, option_digests
from equipot.artifacts._golden import approximations_of
from equipot.artifacts._manifest import Manifest, check_format_version, checked_approximations
from equipot.artifacts._origins import plugins_if_declared, versions
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
_MAX_PICKLE = 256 * 1024**2


def checkpoint_record(
    model: GraphModel, weights: str, training_config: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    """The entry ``equipot`` of a checkpoint, in plain containers.

    ``weights`` says which ones the results belong to, and ``data`` has hashes and sizes of the data sets.
    """
    modifiers = as_records(model.modifiers)
    installed = {record.distribution: record.version for record in plugins().records if record.state == "ok"}
    record: dict[str, Any] = plain(
        {
            "format_version": FORMAT_VERSION,
            "model": {"config": model.config, "modifiers": modifiers, "info": model.info.to_dict()},
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
    if not path.is_file():
        raise ArtifactError(problem(str(path), "there is no such file"))
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    if is_zip:
        _check_zip(path)
    try:
        # mapped, so that weights that are not used take no memory; torch maps files of its zip format only
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        reason = str(error).split("WeightsUnpickler error:")[-1].strip().splitlines()[0]
        hint = "only tensors and plain containers are loaded"
        raise ArtifactError(problem(str(path), f"is not a plain checkpoint ({reason})", hint=hint)) from None
    except (RuntimeError, ValueError, EOFError, KeyError, OSError, AttributeError, IndexError, TypeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ArtifactError(_unreadable(path, reason)) from None
    if not isinstance(loaded, dict) or not isinstance(loaded.get("state_dict"), dict):
        raise ArtifactError(problem(str(path), "is not a checkpoint of equipot: it has no state_dict"))
    return loaded


def _check_zip(path: Path) -> None:
    """Compare all members with their checksums, which torch does not do."""
    try:
        with zipfile.ZipFile(path) as file:
            if not any(name.endswith("/data.pkl") for name in file.namelist()):
                kind = "a package" if "manifest.json" in file.namelist() else "a zip file of another kind"
                hint = "give a .ckpt file of a training run"
                raise ArtifactError(problem(str(path), f"is not a checkpoint but {kind}", hint=hint))
            damaged = file.testzip()
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, zlib.error) as error:
        raise ArtifactError(_unreadable(path, error)) from None
    if damaged is not None:
        raise ArtifactError(_unreadable(path, f"the checksum of {damaged} is wrong"))


def pickle_globals(path: Path) -> list[str]:
    """Every ``module name`` that the pickle in a checkpoint refers to, found without unpickling anything."""
    try:
        with zipfile.ZipFile(path) as file:
            pickles = [info for info in file.infolist() if info.filename.endswith("data.pkl")]
            if len(pickles) != 1 or pickles[0].file_size > _MAX_PICKLE:
                raise ArtifactError(problem(str(path), "is not a checkpoint", hint="it must hold one data.pkl"))
            operations = list(pickletools.genops(file.read(pickles[0])))
    except OSError as error:
        raise ArtifactError(problem(str(path), f"cannot be read: {error.strerror}")) from None
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError) as error:
        raise ArtifactError(_unreadable(path, error)) from None
    found = [str(argument) for opcode, argument, _ in operations if opcode.name in ("GLOBAL", "INST")]
    found += [
        f"(name made at run time) {opcode.name}"
        for opcode, _, _ in operations
        if opcode.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4")
    ]
    return list(dict.fromkeys(found))


def _unreadable(path: Path, reason: object) -> str:
    hint = "the file is truncated, damaged or of another kind"
    return problem(str(path), f"cannot be read as a checkpoint ({reason})", hint=hint)


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
    manifest = _manifest(loaded, str(path))
    tensors = loaded["state_dict"]
    used = weights if any(str(name).startswith(_PREFIX[weights]) for name in tensors) else "raw"
    prefix = _PREFIX[used]
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if not state:
        raise ArtifactError(problem(str(path), "has no weights of a model", hint="the file is damaged"))
    manifest = dataclasses.replace(
        manifest,
        fingerprint=fingerprint(manifest.hyperparameters, state),
        provenance={**manifest.provenance, "weights": used},
    )
    return StoredModel(where=str(path), manifest=manifest, config=loaded[KEY]["model"]["config"], state=state)


def read_manifest(path: str | Path) -> Manifest:
    """What a checkpoint says about its model."""
    return _manifest(load_plain(path), str(path))


def _manifest(loaded: Mapping[str, Any], where: str) -> Manifest:
    """What the entry ``equipot`` says, with the parts that are used checked."""
    stored = loaded.get(KEY)
    if not isinstance(stored, dict):
        raise ArtifactError(problem(where, "is not a checkpoint of equipot", hint="it lacks the entry 'equipot'"))
    check_format_version(stored.get("format_version"), where, FORMAT_VERSION)
    model, data = stored.get("model"), stored.get("data")
    wanted: dict[str, Any] = {"config": dict, "modifiers": (list, tuple), "info": dict}
    if not isinstance(model, dict) or not all(isinstance(model.get(key), kind) for key, kind in wanted.items()):
        hint = "train again or use another checkpoint"
        raise ArtifactError(problem(f"{where}: equipot.model", "is damaged", hint=hint))
    modifiers = [dict(item) for item in model["modifiers"]]
    return Manifest(
        kind="checkpoint",
        model=model["info"],
        modifiers=modifiers,
        plugins=_strings(stored.get("plugins")),
        versions=_strings(stored.get("versions")),
        hyperparameters=option_digests(model["config"], modifiers, str(model["info"].get("units"))),
        provenance={
            "seed": model["config"].get("seed"),
            "epoch": loaded.get("epoch"),
            "step": loaded.get("global_step"),
            "metrics": stored.get("metrics") or {},
        },
        data=data if isinstance(data, dict) else {},
        approximations=checked_approximations(stored.get("approximations"), where),
    )


def _strings(value: object) -> dict[str, str]:
    return {str(key): str(item) for key, item in value.items()} if isinstance(value, dict) else {}
