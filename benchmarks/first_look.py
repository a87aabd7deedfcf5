"""Time energy and forces of one frame, ours against nequip with the same hyperparameters, in turns.

    python benchmarks/first_look.py --peer-python PYTHON [--rounds N] [--threads N]

Each side runs in a process of its own (the peer in its own environment) and is asked in turns for
one evaluation, so that both see the same load of the machine. CPU times of the model alone, without
neighbour list; a ratio, not a benchmark. The frame is liquid water (192 atoms) from the folder in
``EQUIPOT_EXTRA_DATA``, or a lattice of 64 water molecules where that is not set.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

R_MAX = 5.0
MODEL: dict[str, Any] = {
    "seed": 1,
    "model_dtype": "float32",
    "type_names": ["H", "O"],
    "r_max": R_MAX,
    "num_layers": 3,
    "l_max": 2,
    "parity": False,
    "num_features": 32,
    "radial_mlp_depth": 1,
    "radial_mlp_width": 64,
    "avg_num_neighbors": 35.0,
    "per_type_energy_shifts": 0.0,
    "per_type_energy_scales": 1.0,
}


def water() -> Any:
    """The frame, as ASE Atoms."""
    folder = os.environ.get("EQUIPOT_EXTRA_DATA")
    if folder:
        spec = importlib.util.spec_from_file_location("extra_loaders", Path(folder) / "loaders.py")
        if spec is not None and spec.loader is not None:
            loaders = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(loaders)
            return next(iter(loaders.water()))
    from ase.build import molecule

    single = molecule("H2O")
    single.set_cell(np.eye(3) * 3.11)
    single.pbc = True
    lattice = single.repeat((4, 4, 4))
    lattice.rattle(0.05, seed=1)
    return lattice


def write_frame(path: Path) -> str:
    """Store the frame with its neighbour list for both sides; returns a line about it."""
    from equipot.neighbors import neighbor_list

    atoms = water()
    edge_index, shifts = neighbor_list(atoms.positions, np.asarray(atoms.cell), atoms.pbc, R_MAX)
    types = np.array([MODEL["type_names"].index(symbol) for symbol in atoms.get_chemical_symbols()])
    np.savez(
        path, positions=atoms.positions, cell=np.asarray(atoms.cell), types=types, edge_index=edge_index, shifts=shifts
    )
    return f"{len(atoms)} atoms, {edge_index.shape[1]} edges"


def worker(side: str, path: Path, threads: int) -> None:
    """Answer each line of the standard input by the CPU time of one evaluation in ms."""
    import torch

    torch.set_num_threads(threads)
    evaluate = (_peer if side == "peer" else _ours)(dict(np.load(path)))
    for _ in sys.stdin:
        start, wall = time.process_time(), time.perf_counter()
        evaluate()
        spent = {"cpu": 1e3 * (time.process_time() - start), "wall": 1e3 * (time.perf_counter() - wall)}
        print(json.dumps(spent), flush=True)


def _ours(frame: dict[str, Any]) -> Any:
    import torch

    from equipot.model import NequIPGNNModel

    model = NequIPGNNModel(**MODEL).build().eval()
    data = {
        "positions": torch.tensor(frame["positions"]),
        "cell": torch.tensor(frame["cell"])[None],
        "pbc": torch.ones(1, 3, dtype=torch.bool),
        "atom_types": torch.tensor(frame["types"]),
        "batch": torch.zeros(len(frame["types"]), dtype=torch.int64),
        "num_atoms": torch.tensor([len(frame["types"])]),
        "edge_index": torch.tensor(frame["edge_index"]),
        "edge_cell_shift": torch.tensor(frame["shifts"]),
    }
    return lambda: model(data)


def _peer(frame: dict[str, Any]) -> Any:
    import torch
    from nequip.model import NequIPGNNModel
    from nequip.utils.global_state import set_global_state

    set_global_state()
    model = NequIPGNNModel(**MODEL).eval()
    data = {
        "pos": torch.tensor(frame["positions"]),
        "cell": torch.tensor(frame["cell"])[None],
        "atom_types": torch.tensor(frame["types"]),
        "batch": torch.zeros(len(frame["types"]), dtype=torch.int64),
        "num_atoms": torch.tensor([len(frame["types"])]),
        "edge_index": torch.tensor(frame["edge_index"]),
        "edge_cell_shift": torch.tensor(frame["shifts"], dtype=torch.float64),
    }
    return lambda: model({key: value.clone() for key, value in data.items()})


def compare(peer_python: str, rounds: int, threads: int) -> None:
    """Run both sides in turns and print their times and ratio."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.npz"
        print(write_frame(path))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        sides = {
            side: subprocess.Popen(
                [python, __file__, "--worker", side, "--frame", str(path), "--threads", str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for side, python in (("ours", sys.executable), ("peer", peer_python))
        }
        spent: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for _ in range(rounds + 3):
            for side, process in sides.items():
                spent[side].append(_ask(process))
        for process in sides.values():
            process.communicate()
    for kind in ("cpu", "wall"):
        best = {side: min(item[kind] for item in spent[side][3:]) for side in sides}
        middle = {side: statistics.median(item[kind] for item in spent[side][3:]) for side in sides}
        print(
            f"{kind:4s} ms, best (median): ours {best['ours']:.0f} ({middle['ours']:.0f}), "
            f"nequip eager {best['peer']:.0f} ({middle['peer']:.0f}); "
            f"ratio {best['peer'] / best['ours']:.2f} ({middle['peer'] / middle['ours']:.2f})"
        )


def _ask(process: Any) -> dict[str, float]:
    process.stdin.write("once\n")
    process.stdin.flush()
    while not (line := process.stdout.readline()).startswith("{"):
        if not line:
            sys.exit(f"first_look: a side stopped with exit code {process.wait()}")
    return json.loads(line)


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--peer-python", help="interpreter of an environment with nequip")
    parser.add_argument("--rounds", type=int, default=15, help="evaluations that count, after 3 that do not")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--worker", choices=("ours", "peer"), help=argparse.SUPPRESS)
    parser.add_argument("--frame", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.frame, args.threads)
    elif args.peer_python:
        compare(args.peer_python, args.rounds, args.threads)
    else:
        parser.error("--peer-python is needed")


if __name__ == "__main__":
    main()
