"""Accuracy against speed: several programs, trained for the same CPU time on the same frames.

    python benchmarks/pareto train [--sets silicon ethanol water] [--models MODEL ...] [--minutes 1 3 10 30]
    python benchmarks/pareto table

Each training is a process of its program with one thread, stopped when its CPU clock reaches the limit; the best
checkpoint until then, by the validation frames, predicts the test frames through the program's calculator for ASE,
which is timed too. Every finished training is a file, so an interrupted run goes on where it stopped. Sets are read
from the folder in ``EQUIPOT_EXTRA_DATA``; programs run in environments that ``--python PROGRAM=INTERPRETER`` names.
``table`` writes ``docs/results/pareto`` and the plot from what is there.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))

import front
import sets
from compare import machine
from models import MODELS, run

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".cache" / "pareto"
RESULTS = ROOT / "benchmarks" / "results" / "pareto"
DOCS = ROOT / "docs" / "results" / "pareto"


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "table"))
    parser.add_argument("--sets", nargs="+", choices=sets.SETS, default=list(sets.SETS))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--minutes", nargs="+", type=float, default=[1.0, 3.0, 10.0, 30.0], help="of CPU time")
    parser.add_argument("--python", nargs="+", default=[], metavar="PROGRAM=INTERPRETER")
    args = parser.parse_args()
    if args.what == "table":
        for path in front.write(RESULTS, DOCS):
            print(path)
        return 0
    pythons = {"equipot": sys.executable, **dict(one.split("=", 1) for one in args.python)}
    failed = [
        _one(name, model, minutes, pythons) for minutes in args.minutes for name in args.sets for model in args.models
    ]
    return int(not all(failed))


def _one(name: str, model: str, minutes: float, pythons: dict[str, str]) -> bool:
    """Train, test and store one model, unless that was done; a failure is stored too, and does not stop the others."""
    path = RESULTS / f"{name}_{model}_{minutes:g}.json"
    if path.exists():
        return True
    work = WORK / path.stem
    found: dict[str, Any] = {"set": name, "model": model, "minutes": minutes, "machine": machine()}
    try:
        found |= run(MODELS[model], sets.SETS[name], sets.written(name, WORK / name), work, minutes, pythons)
    except Exception as error:  # noqa: BLE001 - the table says what could not be run
        traceback.print_exc()
        found["failed"] = f"{type(error).__name__}: {error}".splitlines()[0]
    RESULTS.mkdir(parents=True, exist_ok=True)
    if "failed" not in found:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    shown = (
        found.get("failed") or f"{found['forces_mae']:.1f} meV/Å, {found['us_per_atom']:.0f} µs for an atom and step"
    )
    print(f"{name}, {model}, {minutes:g} min: {shown}", flush=True)
    return "failed" not in found


if __name__ == "__main__":
    sys.exit(main())
