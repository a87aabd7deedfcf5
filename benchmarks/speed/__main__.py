"""Speed of this project's models against those of others with the same weights.

    python benchmarks/speed compare [CASE ...] [--peer-python PYTHON] [--out FOLDER]
    python benchmarks/speed memory | scaling | start | steps | others [...]
    python benchmarks/speed rows [ROW ...]
    python benchmarks/speed tables

``compare`` makes the peer's environment (or takes the interpreter given), runs both sides in turns in
processes of their own with the same allocator and threads, refuses to compare times before the outputs
agree, prints ratios with their spread, and writes ``compare.json`` and ``compare.png``. The others
measure memory per edge, time per atom and threads, the way from a checkpoint to the first step,
where the time of a step goes, and models of MACE and SevenNet of comparable size. ``rows`` measures
the tables of the page on performance, one file for each, and ``tables`` fills the page from those in
``benchmarks/results``. See docs/explanation/performance.md.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import report
import rows
import sizes
import start
import steps
from cases import CASES
from compare import GROUPS, VARIANTS, Settings, machine, run_case, run_others
from interleave import ALLOCATORS
from peers import peer_python

WHAT = ("compare", "memory", "scaling", "start", "steps", "others", "rows", "tables")
RESULTS = Path(__file__).parents[1] / "results"
DOCS = Path(__file__).parents[2] / "docs" / "results" / "speed"
WORK = Path(__file__).parents[2] / ".cache" / "benchmarks"
OTHERS = ("mace", "sevenn")


def main() -> None:
    """Parse the arguments and run."""
    args = _parser().parse_args()
    if args.what == "tables":
        for path in rows.tables(RESULTS, DOCS):
            print(path)
        return
    known: Collection[str] = rows.ROWS if args.what == "rows" else CASES
    args.cases = args.cases or (list(known) if args.what == "rows" else ["nequip"])
    if unknown := [name for name in args.cases if name not in known]:
        sys.exit(f"no such cases: {', '.join(unknown)}; there are {', '.join(known)}")
    own = args.what in ("scaling", "start", "steps", "others")
    settings = Settings(
        work=WORK,
        peer_python=None if args.alone or own else args.peer_python or peer_python(WORK),
        ours_python=sys.executable,
        rounds=args.rounds,
        threads=args.threads,
        allocator=args.allocator,
        groups=tuple(args.groups),
        variants=tuple(args.variants),
        peer_compiled=not args.peer_eager,
        keep_compiled=args.keep_compiled,
        modes=tuple(args.modes) if args.modes else None,
    )
    args.out.mkdir(parents=True, exist_ok=True)
    facts = {"machine": machine(), "threads": args.threads, "allocator": args.allocator, "rounds": args.rounds}
    if args.what == "rows":
        for name in args.cases:
            measured = {**facts, "row": name, "command": _command(), "results": rows.measure(name, settings)}
            (args.out / f"row_{name}.json").write_text(json.dumps(measured, indent=1) + "\n")
        print(f"\nwritten to {args.out}; now: python benchmarks/speed tables")
        return
    results: list[dict[str, Any]] = []
    for name in args.cases:
        results.append(_measure(args, name, settings))
        path = args.out / f"{args.what}.json"
        path.write_text(json.dumps({**facts, "results": results}, indent=1) + "\n")
    if args.what == "compare":
        report.plot(results, args.out / "compare.png")
    print(f"\nwritten: {args.out / args.what}.json")


def _command() -> str:
    """What was typed, without paths of this machine."""
    words = sys.argv[1:]
    hidden = {number + 1 for number, word in enumerate(words) if word in ("--peer-python", "--out")}
    shown = ["PATH" if number in hidden else word for number, word in enumerate(words)]
    return shlex.join(["python", "benchmarks/speed", *shown])


def _measure(args: argparse.Namespace, name: str, settings: Settings) -> dict[str, Any]:
    """One kind of measurement of one case."""
    if args.what == "compare":
        result = run_case(CASES[name], settings)
        report.show(result)
        return result
    if args.what == "others":
        pythons = {one: getattr(args, f"{one}_python") or peer_python(WORK, one) for one in args.others}
        result = run_others(CASES[name], settings, pythons)
        report.show(result)
        return result
    if args.what == "memory":
        return {"case": name, "memory": sizes.memory(name, settings, args.modes)}
    if args.what == "scaling":
        modes = args.modes or ["equipot/splines-aoti", "equipot/fused-aoti"]
        return {"case": name, "scaling": sizes.scaling(name, settings, modes, args.atoms)}
    if args.what == "steps":
        return {"case": name, "steps": steps.measure(name, args.variants)}
    print(f"\n{name}: from a checkpoint to the first step of 192 atoms")
    return {"case": name, "start": start.measure(name, args.variants)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/speed", description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; rows: {', '.join(rows.ROWS)}")
    parser.add_argument("--peer-python", help="interpreter with nequip and nequip-allegro; default: one is made")
    parser.add_argument("--alone", action="store_true", help="no peer: times only, no check against it")
    parser.add_argument("--peer-eager", action="store_true", help="do not compile the peer's models: less to wait")
    parser.add_argument("--keep-compiled", action="store_true", help="take our compiled files of an earlier run")
    parser.add_argument("--rounds", type=int, default=11, help="that count, after one that does not")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--allocator", choices=ALLOCATORS, default="kept", help="of both sides")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--modes", nargs="+", help="only these: of ours, or SIDE/MODE for memory and scaling")
    parser.add_argument("--atoms", nargs="+", type=int, default=[192, 1536, 12_000, 100_000], help="for scaling")
    parser.add_argument("--others", nargs="+", choices=OTHERS, default=list(OTHERS))
    for one in OTHERS:
        parser.add_argument(f"--{one}-python", help=f"interpreter with {one}; default: one is made")
    parser.add_argument("--out", type=Path, default=Path("benchmark_results"))
    return parser


if __name__ == "__main__":
    main()
