"""What one command reaches: ``equipot fit`` on public sets, with no option but time, beside the peers' recipes.

    python benchmarks/one_command train [--sets SET ...] [--programs fit nequip mace allegro S M L] \
        [--minutes N] [--cpu] [--seeds 1 2 3]
    python benchmarks/one_command table

Every training is a process (or two, for ``fit`` and its evaluation) with ``--threads`` threads and the wall time of the
set. The peers get the split that ``fit`` made with the same seed, so ``fit`` comes first. ``allegro``, ``S``, ``M`` and
``L`` are ``fit`` with an option that says so. Every finished training is a file, so an interrupted run goes on where it
stopped. With ``--cpu`` minutes are those that the processor works for the program, so that other jobs on the machine
favour none. Sets are read from the folder in ``EQUIPOT_EXTRA_DATA``, and some are made (``data.py`` says how); peers
run in the environments that ``--python PROGRAM=INTERPRETER`` names.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))
sys.path.insert(0, str(Path(__file__).parents[1] / "pareto"))

import table
from compare import machine
from data import SETS, write_files
from programs import BY_HAND, PEERS, Job, run_fit, run_peer

BENCHMARKS = Path(__file__).resolve().parents[1]
ROOT = BENCHMARKS.parent
WORK = ROOT / ".cache" / "one_command"
RESULTS = BENCHMARKS / "results" / "one_command"
DOCS = ROOT / "docs" / "results" / "one_command"


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "table"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--programs", nargs="+", choices=("fit", *PEERS, *BY_HAND), default=["fit", *PEERS])
    parser.add_argument("--minutes", type=float, help="wall time (default: the set's)")
    parser.add_argument("--cpu", action="store_true", help="minutes of CPU time, for a machine that other jobs share")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--python", nargs="+", default=[], metavar="PROGRAM=INTERPRETER")
    args = parser.parse_args()
    if args.what == "table":
        for path in table.write(RESULTS, DOCS):
            print(path)
        return 0
    jobs = [(name, program, seed) for name in args.sets for seed in args.seeds for program in args.programs]
    failed = sum(not _one(name, program, seed, args) for name, program, seed in jobs)
    return int(failed > 0)


def _one(name: str, program: str, seed: int, args: argparse.Namespace) -> bool:
    """Train, test and store one model, unless that was done; a failure does not stop the others."""
    minutes = args.minutes or SETS[name].minutes
    stem = f"{name}_{{}}_{minutes:g}{'cpu' if args.cpu else ''}_{seed}"
    path = RESULTS / f"{stem.format(program)}.json"
    if path.exists():
        return True
    work = WORK / stem.format(program)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    pythons = dict(one.split("=", 1) for one in args.python)
    job = Job(SETS[name], write_files(name, WORK / name), work, minutes, args.threads, seed, pythons, args.cpu)
    found: dict[str, Any] = {"set": name, "program": program, "minutes": minutes, "cpu": args.cpu, "seed": seed}
    try:
        if program not in PEERS:
            found |= run_fit(job, BY_HAND.get(program, ()))
        else:
            split = _split(WORK / stem.format("fit") / "run", job.files["train"], work)
            found |= run_peer(PEERS[program], job, split)
    except Exception:  # noqa: BLE001 - the other trainings go on
        traceback.print_exc()
        return False
    RESULTS.mkdir(parents=True, exist_ok=True)
    found |= {"machine": machine(), "threads": args.threads}
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for test, errors in found["errors"].items():
        print(f"{stem.format(program)}, {test}: {errors}, {found['seconds']:.0f} s", flush=True)
    return True


def _split(run: Path, file: Path, work: Path) -> dict[str, Path]:
    """Training and validation frames of a run of ``fit`` as files; isolated atoms among the former."""
    from ase.io import read, write

    splits = json.loads((run / "splits.json").read_text(encoding="utf-8"))
    frames = read(file, ":")
    paths = {}
    for part in ("train", "val"):
        paths[part] = work / f"{part}.extxyz"
        write(paths[part], [frames[index] for index in splits[part]])
    return paths


if __name__ == "__main__":
    sys.exit(main())
