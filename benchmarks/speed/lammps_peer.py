"""Time of a step of dynamics: our models in LAMMPS and in ASE, and nequip's compiled models in ASE, the same weights.

    python benchmarks/speed/lammps_peer.py --peer-python PEER/bin/python --output docs/results/lammps/peer.json

nequip's own pair style is not on PyPI, so its models run where they can: in its ASE calculator, compiled by its own
program. Both sides get the same frame, the same weights, steps of 0.5 fs and velocities of 300 K. Before anything is
timed, forces in LAMMPS must be those of the peer. All take turns in every round, so that other jobs slow all of them
down; ratios are taken round by round. The pair style must have been built: ``equipot lammps build``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import systems
from cases import CASES, Case
from compare import SPLINE_TOLERANCE, TOLERANCE, machine
from interleave import Worker, ratio, summary
from lammps_steps import in_lammps

from equipot.files import write_json
from equipot_lammps._check import built_pair_style
from equipot_lammps._static import Structure, evaluate

PEER, OURS = "nequip in ASE", "equipot in ASE"
VARIANTS = {"default": "equipot in LAMMPS", "splines": "equipot in LAMMPS, radial splines"}
"""Variants of ``side_equipot`` that are compiled for LAMMPS, and their names in the table."""


class Sides:
    """Both programs in processes of their own, and our model compiled for LAMMPS, exact and with radial splines.

    Args:
        case: Hyperparameters.
        molecules: Of water, along each cell vector.
        peer_python: Interpreter of the peer.
        folder: For files.
    """

    def __init__(self, case: Case, molecules: Sequence[int], peer_python: str, folder: Path) -> None:
        self.case, self.names = case, case.type_names
        self.atoms = systems.water((molecules[0], molecules[1], molecules[2]))
        files = {"case": folder / "case.json", "batch": folder / "batch.npz", "folder": folder}
        self.sizes = systems.write(files["batch"], [self.atoms], self.names, case.hyperparameters["r_max"])
        stated = {**asdict(case), "hyperparameters": case.hyperparameters}
        files["case"].write_text(json.dumps(stated), encoding="utf-8")
        common: dict[str, Any] = {"threads": 1, "allocator": "default", "log": folder / "log.txt"}
        self.peer = Worker("nequip", peer_python, files, **common)
        self.ours = Worker("equipot", sys.executable, files, **common)
        for worker, mode in ((self.peer, "eager"), (self.peer, "ase"), (self.ours, "default-ase")):
            if "error" in (answer := worker.ask("prepare", mode)):
                sys.exit(f"{case.name}, {worker.side}, {mode}: {answer['error']}")
        self.files = {variant: folder / f"lammps_{variant}.equipot.pt2" for variant in VARIANTS}
        self._compile(stated, files["batch"], folder)

    def _compile(self, stated: dict[str, Any], batch: Path, folder: Path) -> None:
        from side_equipot import Side

        from equipot.compile import compile_model

        side = Side(stated, dict(np.load(batch)), folder)  # with the weights that the peer left there
        os.environ["EQUIPOT_AUTOMATIC_MODIFIERS"] = "1"
        for variant, file in self.files.items():
            compile_model(side.modified(variant, "inference"), file, target="lammps")

    def structure(self) -> Structure:
        """The frame for LAMMPS."""
        types = [self.names.index(symbol) for symbol in self.atoms.symbols]
        return Structure(self.atoms.positions, self.atoms.cell.array, (True,) * 3, types)

    def agreement(self) -> dict[str, float]:
        """Largest difference of a force in LAMMPS from the peer's, relative to their root mean square, by variant.

        Raises:
            SystemExit: If it is too large.
        """
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            self.peer.ask("outputs", "eager", path=str(place / "peer.npz"))
            expected = np.load(place / "peer.npz")["forces"]
            options: dict[str, Any] = {"plugins": built_pair_style(), "options": "allow_native yes"}
            frames = {"water": self.structure()}
            forces = {
                variant: evaluate(file, self.names, frames, place, **options)["water"].forces
                for variant, file in self.files.items()
            }
        scale = np.sqrt(np.square(expected).mean())
        found = {variant: float(np.abs(one - expected).max() / scale) for variant, one in forces.items()}
        allowed = {"default": TOLERANCE[self.case.hyperparameters["model_dtype"]], "splines": SPLINE_TOLERANCE}
        if wrong := {variant: value for variant, value in found.items() if not value <= allowed[variant]}:
            sys.exit(f"{self.case.name}: forces in LAMMPS differ from the peer's by {wrong}; nothing is timed")
        return found

    def turn(self, steps: int, ranks: Sequence[int]) -> dict[str, float]:
        """Milliseconds per step of each, one after the other."""
        calls = max(1, steps // 5)
        found = {
            PEER: self.peer.ask("run", "ase", calls=calls)["wall"],
            OURS: self.ours.ask("run", "default-ase", calls=calls)["wall"],
        }
        for variant, file in self.files.items():
            for number in ranks:
                time = in_lammps(file, self.structure(), number, "auto", steps, self.names, fs=0.5)[0]
                found[f"{VARIANTS[variant]}, {number} process{'es' if number > 1 else ''}"] = time
        return found

    def stop(self) -> None:
        """End the processes."""
        self.peer.stop()
        self.ours.stop()


def measure(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """A row of the results."""
    with tempfile.TemporaryDirectory() as name:
        folder = options.work / case.name if options.work else Path(name, case.name)
        folder.mkdir(parents=True, exist_ok=True)
        sides = Sides(case, options.molecules, options.peer_python, folder)
        agreement = sides.agreement()
        sides.turn(options.steps, options.ranks)  # fills caches
        turns = [sides.turn(options.steps, options.ranks) for _ in range(options.rounds)]
        versions = {"nequip": sides.peer.versions, "equipot": sides.ours.versions}
        sides.stop()
    return {
        "case": case.name,
        "atoms": sides.sizes["atoms"],
        "versions": versions,
        "relative_forces": agreement,
        "ms_per_step": {way: summary([turn[way] for turn in turns]) for way in turns[0]},
        "times_as_fast_as_the_peer": {
            way: ratio([{"t": turn[PEER]} for turn in turns], [{"t": turn[way]} for turn in turns], "t")
            for way in turns[0]
            if way != PEER
        },
    }


def table(rows: Sequence[dict[str, Any]], options: argparse.Namespace, command: str) -> dict[str, Any]:
    """The table of the documentation.

    Args:
        rows: Of ``measure``.
        options: Of the command line.
        command: That measured.
    """
    cells, facts = [], machine()
    for row in rows:
        for way, times in row["ms_per_step"].items():
            factor = row["times_as_fast_as_the_peer"].get(way)
            cells.append([row["case"], row["atoms"], way, shown(times), "" if factor is None else shown(factor)])
    exact, splined = (max(row["relative_forces"][variant] for row in rows) for variant in VARIANTS)
    sides = [rows[0]["versions"][side] for side in ("equipot", "nequip")]
    versions = {name: version for side in sides for name, version in side.items() if name != "threads"}
    return {
        "title": "A step of dynamics of water in ms, wall time, one thread for each process",
        "description": f"Median and range of {options.rounds} rounds of {options.steps} steps; all took turns. "
        f"Forces in LAMMPS are those of the peer to {exact:.0e} of their root mean square, with radial splines to "
        f"{splined:.0e}.",
        "columns": ["model", "atoms", "where", "ms per step", f"times as fast as {PEER}"],
        "rows": cells,
        "command": command,
        "machine": f"{facts['cpu']}, {facts['instructions']}, {facts['cores']} cores, {facts['date']}",
        "versions": {**versions, "lammps": importlib.metadata.version("lammps")},
    }


def shown(one: dict[str, float]) -> str:
    """Median and range."""
    return f"{one['median']:.1f} ({one['min']:.1f}–{one['max']:.1f})"


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="of cases.py, of water")
    parser.add_argument("--peer-python", required=True, help="interpreter that has nequip and nequip-allegro")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--molecules", nargs=3, type=int, default=[4, 4, 4], help="of water along the cell vectors")
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, help="keep files, the peer's compiled models among them, in this folder")
    options = parser.parse_args()
    rows = []
    for name in options.cases or ["nequip-l1", "allegro-l1"]:
        rows.append(measure(CASES[name], options))
        print({key: rows[-1][key] for key in ("case", "atoms", "relative_forces", "ms_per_step")}, flush=True)
    given, molecules = " ".join(options.cases), " ".join(map(str, options.molecules))
    command = f"python benchmarks/speed/lammps_peer.py {given} --peer-python PYTHON --molecules {molecules} "
    command += f"--steps {options.steps} --rounds {options.rounds}"
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, table(rows, options, " ".join(command.split())))


if __name__ == "__main__":
    main()
