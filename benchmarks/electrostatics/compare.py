"""Train a model with and without the term LatentElectrostatics for the same CPU time, and compare on test frames.

    OMP_NUM_THREADS=1 python benchmarks/electrostatics/compare.py FOLDER --only ions --layers 2 --seconds 40 --write
    OMP_NUM_THREADS=1 python benchmarks/electrostatics/compare.py FOLDER --only ions --seconds 40 --seed 2 --write

FOLDER is the one that ``make_sets.py`` wrote. The clock is that of the process: evaluations, gradients and steps of
the optimiser, without reading data and building the model. The learning rate falls to 0 over that time, and the last
weights count. ``--write`` stores a table in ``docs/results/electrostatics``, in which rows of other seeds and
models are kept.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch

from equipot.data import frame_from_atoms
from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
from equipot.energy_terms import LatentElectrostatics
from equipot.files import write_json
from equipot.graph import Graph, collate
from equipot.model import AllegroModel, GraphModel, NequIPGNNModel, apply_modifier
from equipot_allegro import TwoBodyBesselScalarEmbed

RESULTS = Path(__file__).parents[2] / "docs/results/electrostatics"
R_MAX = 5.0
SETS: dict[str, dict[str, Any]] = {
    "ions": {"types": ["H", "C", "N"], "train": 70, "batch": 7, "term": {"constraint": "total_charge"}},
    "salt": {"types": ["Na", "Cl"], "train": 60, "batch": 2, "term": {}},
}
"""Types, training frames, frames of a step and options of the term; all other frames are for the test."""
BUILDERS: dict[str, Any] = {
    "nequip": (NequIPGNNModel, {"l_max": 1, "num_features": 16, "radial_mlp_width": 32}),
    "allegro": (AllegroModel, {"l_max": 1, "num_scalar_features": 16, "num_tensor_features": 4}),
}
TITLES = {
    "ions": "Ammonium and guanidinium, 6 to 12 Å apart",
    "salt": "Molten sodium chloride, 64 atoms at 1200 K",
}
_SUFFIX = {"nequip": "", "allegro": "_allegro"}
LIKE = {"nequip": "NequIP-like", "allegro": "Allegro-like"}
COLUMNS = {"energy_rmse": "energy RMSE, meV/atom", "forces_rmse": "force RMSE, meV/Å"}
RATE = 0.01


def frames_of(name: str, folder: Path) -> list[Graph]:
    """All frames of a set with edges and labels."""
    mapper = ChemicalSpeciesToAtomTypeMapper(model_type_names=SETS[name]["types"])
    edges, frames = NeighborListTransform(r_max=R_MAX), []
    for atoms in ase.io.read(folder / f"{name}.extxyz", ":"):
        frame = edges(mapper(frame_from_atoms(atoms, {}, name)[0]))
        frame["total_energy"] = torch.tensor([atoms.get_potential_energy()], dtype=torch.float64)
        frame["forces"] = torch.from_numpy(atoms.get_forces())
        frame["total_charge"] = torch.tensor([atoms.info.get("total_charge", 0.0)], dtype=torch.float64)
        frames.append({key: value for key, value in frame.items() if not key.endswith("_mask")})
    return frames


def model_of(
    name: str, train: list[Graph], builder: str, layers: int, sigma: float | None, seed: int = 1
) -> GraphModel:
    """A new model with the scales and shifts of the training frames, and with the term if it has a width."""
    batch = collate(train)
    energy = float((batch["total_energy"] / batch["num_atoms"]).mean())
    make, sizes = BUILDERS[builder]
    terms = {"electrostatics": LatentElectrostatics(sigma=sigma, **SETS[name]["term"])} if sigma else {}
    if builder == "allegro":
        sizes = {**sizes, "radial_chemical_embed": TwoBodyBesselScalarEmbed()}
    return make(
        type_names=SETS[name]["types"],
        r_max=R_MAX,
        num_layers=layers,
        avg_num_neighbors=batch["edge_index"].shape[1] / len(batch["atom_types"]),
        per_type_energy_shifts=energy,
        per_type_energy_scales=float(batch["forces"].square().mean().sqrt()),
        energy_terms=terms,
        seed=seed,
        **sizes,
    ).build()


def train(model: GraphModel, frames: list[Graph], size: int, seconds: float, seed: int = 1) -> int:
    """Train for a CPU time; returns the number of steps."""
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    order = np.random.default_rng(4 + seed)
    steps, spent = 0, 0.0
    while spent < seconds:
        batch = collate([frames[index] for index in order.choice(len(frames), size, replace=False)])
        start = time.process_time()
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.5 * (1.0 + math.cos(math.pi * spent / seconds))
        outputs = model.train()(batch)
        energy = (outputs["total_energy"] - batch["total_energy"]).square() / batch["num_atoms"]
        loss = energy.mean() + (outputs["forces"] - batch["forces"]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        spent += time.process_time() - start
        steps += 1
    return steps


def errors(model: GraphModel, frames: list[Graph]) -> dict[str, float]:
    """Root mean square errors: energy in meV/atom, forces in meV/Å."""
    batch = collate(frames)
    outputs = model.eval()(batch)
    energy = (outputs["total_energy"] - batch["total_energy"]) / batch["num_atoms"]
    found = {"energy_rmse": energy, "forces_rmse": outputs["forces"] - batch["forces"]}
    return {key: round(1000.0 * float(value.square().mean().sqrt()), 2) for key, value in found.items()}


def charges(model: GraphModel, name: str, frames: list[Graph]) -> dict[str, float]:
    """Mean learned charge of each type, e."""
    batch = collate(frames)
    found = apply_modifier(model, "enable_LatentCharges").eval()(batch)["latent_charges"]
    return {
        symbol: round(float(found[batch["atom_types"] == index].mean()), 3)
        for index, symbol in enumerate(SETS[name]["types"])
    }


def measured(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Both models, or one, on a set, as a table for the documentation."""
    builder, layers, sigma, seconds, seed = given.builder, given.layers, given.sigma, given.seconds, given.seed
    frames = frames_of(name, given.folder)
    number, rows = SETS[name]["train"], []
    both = {"short": ("short-ranged", None), "term": ("with LatentElectrostatics", sigma)}
    for title, width in [both[given.model]] if given.model else both.values():
        model = model_of(name, frames[:number], builder, layers, width, seed)
        steps = train(model, frames[:number], SETS[name]["batch"], seconds, seed)
        known, found = errors(model, frames[: len(frames) - number]), errors(model, frames[number:])
        learned = charges(model, name, frames[number:]) if width else {}
        shown = ", ".join(f"{symbol} {value:+.2f}" for symbol, value in learned.items())
        shown_errors = [f"{found[key]} ({known[key]})" for key in COLUMNS]
        rows.append([f"{title}, seed {seed}", steps, f"{1000.0 * seconds / steps:.0f}", *shown_errors, shown])
        print(name, rows[-1], flush=True)
    return {
        "title": f"{TITLES[name]}; {LIKE[builder]}, {layers} layer{'s' * (layers > 1)}, {R_MAX:g} Å",
        "description": f"GFN1-xTB; {number} frames for training, {len(frames) - number} for the test; {seconds:g} s of "
        f"CPU time for each model; width of the charges {sigma:g} Å. In brackets: on frames of the training.",
        "columns": ["model", "training steps", "CPU ms of a step", *COLUMNS.values(), "mean charges, e"],
        "rows": rows,
        "command": "OMP_NUM_THREADS=1 python benchmarks/electrostatics/compare.py FOLDER "
        f"--only {name} --builder {builder} --layers {layers} --sigma {sigma:g} --seconds {seconds:g} --seed N --write",
        "machine": f"1 core, {platform.machine()}, no GPU",
        "versions": {one: version(one) for one in ("equipot", "torch")},
    }


def main() -> None:
    """Measure, print, and store if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=list(SETS))
    parser.add_argument("--builder", choices=list(BUILDERS), default="nequip")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--sigma", type=float, default=1.0, help="width of the charges, Å")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", choices=["short", "term"], help="only one of the two models")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in [given.only] if given.only else list(SETS):
        found = measured(name, given)
        if given.write:
            _store(RESULTS / f"{name}{_SUFFIX[given.builder]}_{given.layers}.json", found)


def _store(path: Path, found: dict[str, Any]) -> None:
    """Write a table, with the other rows that one of the same command has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        titles = [row[0] for row in found["rows"]]
        if known["command"] == found["command"]:
            found["rows"] = sorted([*found["rows"], *(row for row in known["rows"] if row[0] not in titles)])
    write_json(path, found)


if __name__ == "__main__":
    main()
