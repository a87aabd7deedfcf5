"""Accuracy against speed: several programs, trained for the same CPU time on the same frames.

    python benchmarks/pareto train [--sets silicon ethanol water] [--models MODEL ...] [--minutes 1 3 10 30]
    python benchmarks/pareto table

Each training is a process of its program with one thread, stopped when its CPU clock reaches the last of the times. No
schedule depends on that end, so what lies in its folder at an earlier time is what a training of that length gives: the
best checkpoint until each time, by the validation frames, predicts the test frames through the program's calculator
for ASE, which is timed too. Results are files, and what they have is not measured again. Sets are read
from the folder in ``EQUIPOT_EXTRA_DATA``; programs run in environments that ``--python PROGRAM=INTERPRETER`` names.
``table`` writes ``docs/results/pareto`` and the plot from what is there.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))

import front
import sets
from compare import machine
from models import MODELS, run

from equipot.files import write_json

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
    done = [_one(name, model, sorted(args.minutes), pythons) for name in args.sets for model in args.models]
    return int(not all(done))


def _one(name: str, model: str, minutes: list[float], pythons: dict[str, str]) -> bool:
    """Train one model, and store what it was at each time, unless that was done; a failure does not stop the others."""
    paths = {one: RESULTS / f"{name}_{model}_{one:g}.json" for one in minutes}
    missing = [one for one in minutes if not paths[one].exists()]
    # A fit ends by itself, so that the longest time is the only one of use.
    wanted = missing[-1:] if MODELS[model].is_fit else missing
    if not wanted:
        return True
    try:
        frames = sets.SETS[name]
        results = run(MODELS[model], frames, sets.written(name, WORK / name), WORK / f"{name}_{model}", wanted, pythons)
    except Exception as error:  # noqa: BLE001 - the table says what could not be run
        traceback.print_exc()
        results = {one: {"failed": f"{type(error).__name__}: {error}".splitlines()[0]} for one in wanted}
    RESULTS.mkdir(parents=True, exist_ok=True)
    for one, found in results.items():
        shown = found.get("failed")
        if shown is None:
            write_json(paths[one], {"set": name, "model": model, "minutes": one, "machine": machine(), **found})
            shown = f"{found['forces_mae']:.1f} meV/Å, {found['us_per_atom']:.0f} µs for an atom and step"
        print(f"{name}, {model}, {one:g} min: {shown}", flush=True)
    return not any("failed" in found for found in results.values())


if __name__ == "__main__":
    sys.exit(main())
