"""Parameters and relative cost of the presets of a builder, for ``equipot describe``.

    OMP_NUM_THREADS=1 python benchmarks/preset_costs.py equipot.model.PresetNequIPGNNModel [--rounds 3] [--write]

Parameters are counted by building the models for 1 to 4 elements. Costs are CPU times on one thread of core's own
operations, without kernels, relative to the first preset: of energy and forces, and of a training step with the loss
of forces, for three frames of ethanol (27 atoms, r_max 4 Å). Presets are measured in turns, and the least time of the
rounds counts. ``--write`` stores them in ``preset_costs.json`` of the builder's package.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import ase.io
import torch

from equipot.config import resolve_target
from equipot.data import frame_from_atoms
from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
from equipot.files import write_json
from equipot.graph import collate
from equipot.model import presets_of

ELEMENTS = ["C", "H", "O", "N"]
DATA = Path(__file__).parents[1] / "examples/data/ethanol_pbe.extxyz"
R_MAX = 4.0


def model_of(builder: Any, preset: str, count: int) -> Any:
    """A new model of a preset."""
    options = {"avg_num_neighbors": 8.0, "r_max": R_MAX, "preset": preset}
    return builder(type_names=ELEMENTS[:count], **options).build()


def batch() -> Any:
    """Three frames of ethanol with edges."""
    frames = [frame_from_atoms(atoms, {}, "benchmark")[0] for atoms in ase.io.read(DATA, ":3")]
    mapper, edges = ChemicalSpeciesToAtomTypeMapper(model_type_names=ELEMENTS[:3]), NeighborListTransform(r_max=R_MAX)
    return collate([edges(mapper(frame)) for frame in frames])


def seconds(function: Callable[[], object]) -> float:
    """CPU time of a call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def training_step(model: Any, frames: Any) -> None:
    """Forward, forces and the gradients of their squares."""
    model.zero_grad()
    (model(frames)["forces"].square().mean()).backward()


def measured(builder: Any, rounds: int) -> dict[str, Any]:
    """Parameters and costs by preset."""
    frames, presets = batch(), list(presets_of(builder))
    times: dict[str, dict[str, list[float]]] = {
        name: {"training_step": [], "energy_and_forces": []} for name in presets
    }
    models = {name: model_of(builder, name, 3) for name in presets}
    for turn in range(rounds + 1):
        for name, model in models.items():
            step = seconds(lambda model=model: training_step(model.train(), frames))
            evaluation = seconds(lambda model=model: model.eval()(frames))
            if turn:
                times[name]["training_step"].append(step)
                times[name]["energy_and_forces"].append(evaluation)
    found = {}
    for name in presets:
        counted = [sum(one.numel() for one in model_of(builder, name, n).parameters()) for n in range(1, 5)]
        first = times[presets[0]]
        relative = {kind: round(min(all_) / min(first[kind]), 2) for kind, all_ in times[name].items()}
        found[name] = {"parameters": counted, **relative}
    return found


def main() -> None:
    """Measure, print, and store if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    builder = resolve_target(given.builder, "builder")
    command = f"OMP_NUM_THREADS=1 python benchmarks/preset_costs.py {given.builder} --rounds {given.rounds}"
    found = {"command": command, "presets": measured(builder, given.rounds)}
    print(json.dumps(found, indent=2))
    if given.write:
        write_json(
            Path(str(files(builder.__module__.partition(".")[0]))) / "preset_costs.json", {builder.__name__: found}
        )


if __name__ == "__main__":
    main()
