"""``python -m hostile``: try the hostile inputs and print what became of them."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from hostile import families, report, runner
from hostile.case import Case
from hostile.seeds import Seeds, tree_digest
from hostile.verdict import Verdict


def main() -> int:
    """Try cases; 0 if all were refused or harmless."""
    parser = argparse.ArgumentParser(prog="python -m hostile", description=__doc__)
    parser.add_argument("--family", action="append", help="a family, or the beginning of its name; may be repeated")
    parser.add_argument("--case", help="only cases whose name contains this")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th case of a family")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--servers", type=int, default=1, help="processes that work side by side")
    parser.add_argument("--keep", action="store_true", help="keep the sandboxes of failed cases")
    parser.add_argument("--lists", type=Path, metavar="DIR", help="write a list of failures for each family")
    parser.add_argument("--verbose", action="store_true", help="print every case")
    given = parser.parse_args()
    seeds = Seeds(Path(".cache/hostile").absolute() / tree_digest())
    verdicts: list[Verdict] = []
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    for name in families.named(given.family):
        cases = [case for case in families.cases(name, seeds)[:: given.every] if not given.case or given.case in case.name]
        if given.list:
            print("\n".join(f"{name}/{case.name}" for case in cases))
        elif cases:
            verdicts += _tried(name, cases, seeds, folder / name, given)
    if not given.keep:
        runner.remove(folder)
    if verdicts:
        print(report.table(verdicts) + (f"\nsandboxes: {folder}" if given.keep else ""))
    return int(any(one.outcome == "failed" for one in verdicts))


def _tried(name: str, cases: list[Case], seeds: Seeds, folder: Path, given: argparse.Namespace) -> list[Verdict]:
    """Try the cases of a family, and print what failed."""

    def seen(one: Verdict) -> None:
        if given.verbose:
            print(f"{one.outcome:9}{name}/{one.case.name}  {one.seconds} s  {one.message}", flush=True)

    found = runner.run(cases, folder, families.common(name, seeds), servers=given.servers, keep=given.keep, seen=seen)
    if text := report.failures(found):
        print(f"{text}\n", flush=True)
    if given.lists:
        report.write_list(given.lists, name, found)
    return found


if __name__ == "__main__":
    sys.exit(main())
