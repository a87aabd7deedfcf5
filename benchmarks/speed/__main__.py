"""Speed of this project's models against those of others with the same weights.

    python benchmarks/speed compare [CASE ...] [--peer-python PYTHON] [--out FOLDER]
    python benchmarks/speed memory | scaling | start | steps | others [...]

``compare`` makes the peer's environment (or takes the interpreter given), runs both sides in turns in
processes of their own with the same allocator and threads, refuses to compare times before the outputs
agree, prints ratios with their spread, and writes ``compare.json`` and ``compare.png``. The others
measure memory per edge, time per atom and threads, the way from a checkpoint to the first step,
where the time of a step goes, and models of MACE and SevenNet of comparable size. See docs/explanation/performance.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import report
import sizes
import start
import steps
from cases import CASES
from compare import GROUPS, Settings, machine, run_case, run_others
from interleave import ALLOCATORS
from peers import peer_python

WORK = Path(__file__).parents[2] / ".cache" / "benchmarks"
VARIANTS = ("core", "fused", "splines")
OTHERS = ("mace", "sevenn")


def main() -> None:
    """Parse the arguments and run."""
    args = _parser().parse_args()
    if unknown := [name for name in args.cases if name not in CASES]:
        sys.exit(f"no such cases: {', '.join(unknown)}; there are {', '.join(CASES)}")
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
    results: list[dict[str, Any]] = []
    for name in args.cases:
        results.append(_measure(args, name, settings))
        path = args.out / f"{args.what}.json"
        path.write_text(json.dumps({**facts, "results": results}, indent=1) + "\n")
    if args.what == "compare":
        report.plot(results, args.out / "compare.png")
    print(f"\nwritten: {args.out / args.what}.json")


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
    parser.add_argument("what", choices=("compare", "memory", "scaling", "start", "steps", "others"))
    parser.add_argument("cases", nargs="*", default=["nequip"], metavar="CASE", help=f"of {', '.join(CASES)}")
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
