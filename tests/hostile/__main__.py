"""``python -m hostile``: try the hostile inputs and print what became of them."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from hostile import families, report, runner
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
    cases = [case for name in families.named(given.family) for case in families.cases(name, seeds)[:: given.every]]
    cases = [case for case in cases if not given.case or given.case in case.name]
    if given.list:
        print("\n".join(f"{case.family}/{case.name}" for case in cases))
        return 0
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))

    def seen(one: Verdict) -> None:
        if given.verbose:
            print(f"{one.outcome:9}{one.case.family}/{one.case.name}  {one.seconds} s  {one.message}", flush=True)

    verdicts = runner.run(cases, folder, families.common(seeds), servers=given.servers, keep=given.keep, seen=seen)
    if text := report.failures(verdicts):
        print(f"{text}\n")
    print(report.table(verdicts))
    if given.lists:
        report.write_lists(given.lists, verdicts)
    if given.keep:
        print(f"sandboxes: {folder / 'cases'}")
    else:
        runner.remove(folder)
    return int(any(one.outcome == "failed" for one in verdicts))


if __name__ == "__main__":
    sys.exit(main())
