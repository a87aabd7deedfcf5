"""Reading what ``_peer_export.py`` wrote: a model of nequip as plain data, without any pickle."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from equipot.artifacts import read_tensors
from equipot.errors import ArtifactError, problem

FORMAT = 1
"""Version of the file format."""

FACTS, WEIGHTS, FRAMES = "export.json", "weights.safetensors", "frames.safetensors"

SUFFIXES = (".ckpt", ".nequip.zip")

SCRIPT = Path(__file__).with_name("_peer_export.py")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PeerFrame:
    """A frame and the results of nequip's model for it."""

    positions: torch.Tensor
    """Å, shape [n_atoms, 3]."""

    cell: torch.Tensor
    """Cell vectors as rows, Å, shape [3, 3]; zeros without a cell."""

    pbc: torch.Tensor
    """Periodic directions, shape [3]."""

    atom_types: torch.Tensor
    """Atom types, shape [n_atoms]."""

    outputs: Mapping[str, dict[str, torch.Tensor]]
    """For each data type of the model: ``atomic_energy``, ``total_energy``, ``forces`` and ``stress``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PeerModel:
    """A model of nequip as plain data."""

    source: str
    """Name of the file that it was read from."""

    weights_kind: str
    """``ema``, ``raw`` or ``as packaged``."""

    versions: dict[str, str]
    builder: dict[str, Any]
    """``_target_`` and hyperparameters."""

    modifiers: list[dict[str, Any]]
    type_names: list[str]
    chemical_species: list[str] | None
    model_dtype: str
    allow_tf32: bool
    do_derivatives: bool
    modules: dict[str, str]
    """Name to class of every module, except those of torch and e3nn."""

    notes: list[str]
    state: dict[str, torch.Tensor]
    """Weights and buffers under nequip's names."""

    frames: dict[str, PeerFrame]


_MADE = ("weights_kind", "state", "frames")
"""Fields that the file of facts does not contain under their own name."""


def export(
    python: str,
    model: str | Path,
    *,
    model_key: str = "sole_model",
    frames: str | Path | None = None,
    num_frames: int = 4,
) -> PeerModel:
    """Export a model in the Python interpreter of nequip, where the code in the file runs, and read the result.

    Args:
        python: A Python interpreter with nequip installed.
        model: A ``.ckpt`` or ``.nequip.zip`` file of nequip from a trusted source.
        model_key: Which model to take if the file has several.
        frames: File with further frames to compare on, in any format that ASE reads.
        num_frames: How many of these frames to use.

    Raises:
        ArtifactError: If the interpreter, nequip or the file cannot be used.
    """
    if not Path(model).is_file():
        raise ArtifactError(problem(str(model), "no such file"))
    if not Path(model).name.endswith(SUFFIXES):
        hint = f"use a file that ends in {' or '.join(SUFFIXES)}; compiled models cannot be converted"
        raise ArtifactError(problem(str(model), "is not a checkpoint or package of nequip", hint=hint))
    with tempfile.TemporaryDirectory(prefix="equipot-import-") as folder:
        script = shutil.copy(SCRIPT, folder)  # alone in a folder, since a script's folder is on its import path
        output = Path(folder, "export")
        output.mkdir()
        options = ["--model-key", model_key, "--num-frames", str(num_frames)]
        options += [] if frames is None else ["--frames", str(frames)]
        _run([python, script, str(model), str(output), *options], python)
        return read_export(output)


def _run(command: Sequence[str], python: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the interpreter the user names
    except OSError as error:
        hint = "give the path of a Python interpreter"
        raise ArtifactError(problem("--python", f"cannot be run: {error.strerror}", got=python, hint=hint)) from None
    if done.returncode == 0:
        return
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
    if "No module named 'nequip'" in lines[-1]:
        hint = "give --python PATH of an interpreter where nequip is installed"
        raise ArtifactError(problem("--python", "this interpreter has no nequip", got=python, hint=hint))
    raise ArtifactError(problem(command[2], f"nequip cannot export it: {lines[-1]}"))


def read_export(folder: str | Path) -> PeerModel:
    """Read a folder that ``_peer_export.py`` wrote.

    Raises:
        ArtifactError: If a file is missing, damaged or of another version.
    """
    folder = Path(folder)
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        raw = {name: (folder / name).read_bytes() for name in (WEIGHTS, FRAMES)}
    except (OSError, ValueError) as error:
        raise ArtifactError(problem(str(folder), f"is not an export of a nequip model ({error})")) from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ArtifactError(problem(str(folder / FACTS), f"must have the format {FORMAT}"))
    tensors = read_tensors(raw[FRAMES], str(folder / FRAMES))[0]
    state = read_tensors(raw[WEIGHTS], str(folder / WEIGHTS))[0]
    try:
        frames = {name: _frame(name, tensors, facts["dtypes"]) for name in facts["frames"]}
        plain = {field.name: facts[field.name] for field in dataclasses.fields(PeerModel) if field.name not in _MADE}
        return PeerModel(weights_kind=facts["weights"], state=state, frames=frames, **plain)
    except KeyError as error:
        raise ArtifactError(problem(str(folder), f"is incomplete: {error} is missing")) from None


def _frame(name: str, tensors: Mapping[str, torch.Tensor], dtypes: Sequence[str]) -> PeerFrame:
    return PeerFrame(
        positions=tensors[f"{name}/pos"],
        cell=tensors.get(f"{name}/cell", torch.zeros(3, 3, dtype=torch.float64)),
        pbc=tensors[f"{name}/pbc"],
        atom_types=tensors[f"{name}/atom_types"],
        outputs={
            dtype: {
                key.rsplit("/", 1)[1]: value for key, value in tensors.items() if key.startswith(f"{dtype}/{name}/")
            }
            for dtype in dtypes
        },
    )
