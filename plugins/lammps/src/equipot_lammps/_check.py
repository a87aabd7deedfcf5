"""Replay the golden frames of a compiled file inside LAMMPS."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from equipot.artifacts import TOLERANCE, GoldenFrame, golden_frames, load_compiled, replay
from equipot.errors import problem
from equipot.graph import Graph
from equipot.model import ModelInfo, atomic_virials
from equipot_lammps._build import is_complete
from equipot_lammps._errors import LammpsError
from equipot_lammps._static import Result, Structure, evaluate
from equipot_lammps._wheels import build_folder

_COMPARED = ("total_energy", "atomic_energy", "forces", "virial")
_SHOWN = {
    "total_energy": "energy",
    "atomic_energy": "energies of atoms",
    "forces": "forces",
    "virial": "virial",
    "atomic_virials": "virials of atoms",
}


def check(path: Path, *, ranks: int = 1, allow_native: bool = False) -> list[str]:
    """Compare what LAMMPS gives for golden frames with what the model gave before it was compiled.

    Args:
        path: A file compiled for LAMMPS.
        ranks: Number of MPI processes.
        allow_native: Also run a file that was not built here.

    Returns:
        A line about the frames, and one for each quantity with its largest relative deviation.

    Raises:
        LammpsError: If the pair style is not built, LAMMPS stops, or a number differs by more than rounding.
        ArtifactError: If the file cannot be used.
    """
    built_pair_style()
    model = load_compiled(path, allow_native=allow_native)
    target = model.manifest.compiled.get("target")
    if target != "lammps":
        hint = "compile it with: equipot compile MODEL OUT.equipot.pt2 --target lammps"
        raise LammpsError(problem(str(path), "was compiled for another engine", got=target, hint=hint))
    frames = [_expected(frame) for frame in golden_frames(path) if bool(frame.inputs["owned"].all())]
    ways = _ways(model.manifest.compiled["metadata"], ranks)
    trusted = "allow_native yes" if allow_native else ""
    replayed = [_replayed(path.resolve(), frames, model.info, ranks, f"ghosts {way} {trusted}") for way in ways]
    worst = {key: max(one[key] for one in replayed) for key in replayed[0]}
    allowed = TOLERANCE[model.info.model_dtype]
    if bad := {_SHOWN[key]: f"{value:.2g}" for key, value in worst.items() if not value <= allowed}:
        what = f"LAMMPS gives other numbers than the model (relative deviations {bad}, allowed {allowed:g})"
        raise LammpsError(problem(str(path), what, hint="do not use it: build the pair style and the file again"))
    names = ", ".join(frame.name for frame in frames)
    head = f"{path}: LAMMPS on {ranks} MPI process{'es' if ranks > 1 else ''} reproduces the golden frames ({names})"
    if len(ways) > 1:
        head += f" with ghosts {' and '.join(ways)}"
    return [head, *(f"  {_SHOWN[key]}: largest relative deviation {value:.1e}" for key, value in worst.items())]


def built_pair_style() -> Path:
    """The folder of the pair style.

    Raises:
        LammpsError: If it has not been built for the installed wheels.
    """
    folder = build_folder()
    if not is_complete(folder):
        raise LammpsError(problem("pair_style equipot", "has not been built", hint="run: equipot lammps build"))
    return folder


def _expected(frame: GoldenFrame) -> GoldenFrame:
    """A frame with the quantities that LAMMPS gives, virials of atoms among them."""
    kept = {key: frame.outputs[key] for key in _COMPARED}
    return dataclasses.replace(frame, outputs={**kept, "atomic_virials": atomic_virials(frame.inputs, frame.outputs)})


def _ways(metadata: Mapping[str, str], ranks: int) -> tuple[str, ...]:
    """Where the features of ghosts may come from: all choices, since which one is taken depends on the system."""
    return ("layers", "shell") if ranks > 1 and metadata["equipot_exchanges"] else ("auto",)


def _replayed(path: Path, frames: list[GoldenFrame], info: ModelInfo, ranks: int, options: str) -> dict[str, float]:
    found = _in_lammps(path, frames, info, ranks, options)
    by_inputs = {id(frame.inputs): found[frame.name] for frame in frames}
    return replay(lambda inputs: by_inputs[id(inputs)], frames)


def _in_lammps(path: Path, frames: list[GoldenFrame], info: ModelInfo, ranks: int, options: str) -> Mapping[str, Graph]:
    structures = {
        frame.name: Structure(
            frame.inputs["positions"].numpy(),
            frame.inputs["cell"][0].numpy(),
            tuple(bool(one) for one in frame.inputs["pbc"][0]),  # type: ignore[arg-type] # there are three
            frame.inputs["atom_types"].tolist(),
        )
        for frame in frames
    }
    with tempfile.TemporaryDirectory() as folder:
        common = {"units": info.units, "ranks": ranks, "plugins": build_folder()}
        results = evaluate(path, info.type_names, structures, Path(folder), options=options, **common)  # type: ignore[arg-type]
    return {name: _as_outputs(result) for name, result in results.items()}


def _as_outputs(result: Result) -> Graph:
    return {
        "total_energy": torch.tensor([result.energy], dtype=torch.float64),
        "atomic_energy": torch.from_numpy(result.energies.copy()),
        "forces": torch.from_numpy(result.forces.copy()),
        "virial": torch.from_numpy(result.virial.copy()).unsqueeze(0),
        "atomic_virials": torch.from_numpy(result.virials.copy()),
    }
