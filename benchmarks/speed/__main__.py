"""Speed of this project's models against those of others with the same weights.

    python benchmarks/speed [CASE ...] [--peer-python PYTHON] [--groups model train ase] [--out FOLDER]

Makes the peer's environment (or takes the interpreter given), runs both sides in turns in processes of
their own with the same allocator and threads, refuses to compare times before the outputs agree, prints
ratios with their spread, and writes ``speed.json`` and ``speed.png``. ``memory``, ``scaling`` and
``start`` as the first argument measure those instead; see docs/explanation/performance.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import report
from cases import CASES
from compare import GROUPS, Settings, machine, run_case
from interleave import ALLOCATORS
from peers import peer_python

WORK = Path(__file__).parents[2] / ".cache" / "benchmarks"


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"default: nequip allegro; of {', '.join(CASES)}")
    parser.add_argument("--peer-python", help="interpreter with nequip and nequip-allegro; default: one is made")
    parser.add_argument("--alone", action="store_true", help="no peer: times only, no check against it")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--allocator", choices=ALLOCATORS, default="kept", help="of both sides")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument(
        "--variants", nargs="+", choices=("core", "fused", "splines"), default=["core", "fused", "splines"]
    )
    parser.add_argument("--out", type=Path, default=Path("benchmark_results"))
    args = parser.parse_args()
    wanted = args.cases or ["nequip", "allegro"]
    if unknown := [name for name in wanted if name not in CASES]:
        parser.error(f"no such cases: {', '.join(unknown)}; there are {', '.join(CASES)}")
    settings = Settings(
        work=WORK,
        peer_python=None if args.alone else args.peer_python or peer_python(WORK),
        ours_python=sys.executable,
        rounds=args.rounds,
        threads=args.threads,
        allocator=args.allocator,
        groups=tuple(args.groups),
        variants=tuple(args.variants),
    )
    facts = {"machine": machine(), "threads": args.threads, "allocator": args.allocator, "rounds": args.rounds}
    args.out.mkdir(parents=True, exist_ok=True)
    results = []
    for name in wanted:
        results.append(run_case(CASES[name], settings))
        report.show(results[-1])
        (args.out / "speed.json").write_text(json.dumps({**facts, "results": results}, indent=1) + "\n")
    report.plot(results, args.out / "speed.png")
    print(f"\nwritten: {args.out / 'speed.json'}, {args.out / 'speed.png'}")


if __name__ == "__main__":
    main()
