"""Checkpoints of training as sources of models, read with ``weights_only=True``.

``checkpoint["equipot"]`` holds the model's config, modifiers and info; ``state_dict`` the weights,
raw ones under ``model.`` and averaged ones under ``ema.``. Both sets are always complete.
"""

from __future__ import annotations

import dataclasses
import pickle
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from equipot.artifacts import _archive as archive
from equipot.artifacts import _manifest as manifests
from equipot.artifacts._approximations import checked_approximations
from equipot.artifacts._manifest import Manifest, check_format_version
from equipot.errors import ArtifactError, problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from equipot.artifacts._stored import StoredModel

Weights = Literal["ema", "raw"]
KEY = "equipot"
SUFFIX = ".ckpt"
_DAMAGED = "the file is truncated, damaged or of another kind"
_PREFIX: dict[str, str] = {"ema": "ema.", "raw": "model."}


def load_plain(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint: tensors and plain containers, nothing executed.

    Args:
        path: A ``.ckpt`` file.

    Raises:
        ArtifactError: If it is missing, truncated, no checkpoint, or holds more than plain data.
    """
    import torch

    path = Path(path)
    if not path.is_file():
        raise ArtifactError(problem(str(path), "there is no such file"))
    if _is_zip(path):
        _check_zip(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except pickle.UnpicklingError as error:
        reason = str(error).split("WeightsUnpickler error:")[-1].strip().splitlines()[0]
        raise ArtifactError(
            problem(
                str(path), f"is no plain checkpoint ({reason})", hint="only tensors and plain containers are loaded"
            )
        ) from None
    except (RuntimeError, ValueError, EOFError, KeyError, OSError, AttributeError, IndexError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArtifactError(problem(str(path), f"cannot be read as a checkpoint ({reason})", hint=_DAMAGED)) from None
    if not isinstance(loaded, dict) or not isinstance(loaded.get("state_dict"), dict):
        raise ArtifactError(problem(str(path), "is no checkpoint of equipot: it has no state_dict"))
    return loaded


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _check_zip(path: Path) -> None:
    """Compare all members with their checksums, which torch does not do.

    Raises:
        ArtifactError: If a byte of the file changed, or torch did not write it.
    """
    try:
        with zipfile.ZipFile(path) as file:
            if not any(name.endswith("/data.pkl") for name in file.namelist()):
                kind = "a package" if "manifest.json" in file.namelist() else "a zip file of another kind"
                hint = "give a .ckpt file of a training run"
                raise ArtifactError(problem(str(path), f"is no checkpoint but {kind}", hint=hint))
            damaged = file.testzip()
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, zlib.error) as error:
        raise ArtifactError(problem(str(path), f"cannot be read as a checkpoint ({error})", hint=_DAMAGED)) from None
    if damaged is not None:
        what = f"cannot be read as a checkpoint (the checksum of {damaged} is wrong)"
        raise ArtifactError(problem(str(path), what, hint=_DAMAGED))


def read_checkpoint(path: str | Path, weights: Weights = "ema") -> StoredModel:
    """Read a checkpoint's model.

    Args:
        path: A ``.ckpt`` file written by equipot.
        weights: ``ema`` for the averaged weights, where there are any; ``raw`` for the others.

    Returns:
        The stored model; ``build()`` makes it.

    Raises:
        ArtifactError: If the file is damaged, too new, or no checkpoint of equipot.
    """
    from equipot.artifacts._stored import StoredModel, fingerprint

    path = Path(path)
    if weights not in _PREFIX:
        raise ArtifactError(problem("weights", "must be 'ema' or 'raw'", got=weights))
    loaded = load_plain(path)
    manifest = _manifest(loaded, str(path))
    tensors = loaded["state_dict"]
    used = weights if any(str(name).startswith(_PREFIX[weights]) for name in tensors) else "raw"
    state = {
        name.removeprefix(_PREFIX[used]): value for name, value in tensors.items() if name.startswith(_PREFIX[used])
    }
    if not state:
        raise ArtifactError(problem(str(path), "has no weights of a model", hint="the file is damaged"))
    manifest = dataclasses.replace(
        manifest,
        fingerprint=fingerprint(manifest.hyperparameters, state),
        provenance={**manifest.provenance, "weights": used},
    )
    return StoredModel(where=str(path), manifest=manifest, config=loaded[KEY]["model"]["config"], state=state)


def read_manifest(path: str | Path) -> Manifest:
    """What a checkpoint says of its model.

    Raises:
        ArtifactError: As for ``read_checkpoint``.
    """
    return _manifest(load_plain(path), str(path))


def _manifest(loaded: Mapping[str, Any], where: str) -> Manifest:
    stored = _record(loaded, where)
    model = stored["model"]
    digests = manifests.option_digests(model["config"], model["modifiers"], str(model["info"].get("units")))
    data = stored.get("data")
    return Manifest(
        kind="checkpoint",
        model=model["info"],
        modifiers=model["modifiers"],
        plugins=_strings(stored.get("plugins")),
        versions=_strings(stored.get("versions")),
        hyperparameters=digests,
        provenance={
            "seed": model["config"].get("seed"),
            "epoch": loaded.get("epoch"),
            "step": loaded.get("global_step"),
            "metrics": stored.get("metrics") or {},
        },
        data=data if isinstance(data, dict) else {},
        approximations=checked_approximations(stored.get("approximations"), where),
    )


def _record(loaded: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The entry ``equipot``, checked as far as it is used."""
    stored = loaded.get(KEY)
    if not isinstance(stored, dict):
        raise ArtifactError(problem(where, "is no checkpoint of equipot", hint="it lacks the entry 'equipot'"))
    check_format_version(stored.get("format_version"), where)
    model = stored.get("model")
    wanted = {"config": dict, "modifiers": (list, tuple), "info": dict}
    if not isinstance(model, dict) or not all(isinstance(model.get(key), kind) for key, kind in wanted.items()):  # type: ignore[arg-type]
        raise ArtifactError(
            problem(f"{where}: equipot.model", "is damaged", hint="train again or use another checkpoint")
        )
    return {**stored, "model": {**model, "modifiers": [dict(item) for item in model["modifiers"]]}}


def _strings(value: object) -> dict[str, str]:
    return {str(key): str(item) for key, item in value.items()} if isinstance(value, dict) else {}


def source_of(path: str | Path) -> dict[str, str]:
    """Name and SHA-256 of a file, for the provenance of what is made from it."""
    path = Path(path)
    return {"source": path.name, "source_sha256": archive.file_digest(path)}
