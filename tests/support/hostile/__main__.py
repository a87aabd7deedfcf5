"""``python -m hostile``: try the hostile inputs and print what became of them."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from hostile import families, report, runner
from hostile.case import Case
from hostile.seeds import Seeds
from hostile.verdict import Verdict


def main() -> int:
    """Try cases; 0 if all were refused or harmless."""
    parser = argparse.ArgumentParser(prog="python -m hostile", description=__doc__)
    parser.add_argument("--family", action="append", help="a family, or the beginning of its name; may be repeated")
    parser.add_argument("--case", help="only cases whose name contains this")
    parser.add_argument("--every", type=int, default=2, metavar="N", help="every N-th case of a family (default: 2)")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--servers", type=int, default=2, help="processes that work side by side")
    parser.add_argument("--keep", action="store_true", help="keep the sandboxes of failed cases")
    parser.add_argument("--verbose", action="store_true", help="print every case")
    given = parser.parse_args()
    seeds = families.valid_files()
    cases = [
        case
        for name in families.named(given.family)
        for case in families.cases(name, seeds)[:: 1 if given.case else given.every]
        if not given.case or given.case in case.name
    ]
    if given.list:
        print("\n".join(f"{case.family}/{case.name}" for case in cases))
        return 0
    return _tried(cases, seeds, given)


def _tried(cases: Sequence[Case], seeds: Seeds, given: argparse.Namespace) -> int:
    def seen(one: Verdict) -> None:
        if given.verbose or one.outcome == "failed":
            print(
                report.failures([one]) or f"{one.outcome}  {one.case.family}/{one.case.name}  {one.message}", flush=True
            )

    folder, start = Path(tempfile.mkdtemp(prefix="hostile-")), time.monotonic()
    found = runner.run(cases, folder, families.common(seeds), servers=given.servers, keep=given.keep, seen=seen)
    if given.keep:
        print(f"sandboxes: {folder}")
    else:
        runner.remove(folder)
    print(f"{report.table(found)}\n{time.monotonic() - start:.0f} s")
    return int(any(one.outcome == "failed" for one in found))


if __name__ == "__main__":
    sys.exit(main())
