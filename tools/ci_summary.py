"""Sum up what `.ci/run` found: totals on the last line, exit status 1 if anything failed.

Reads the JUnit reports of the test steps and `steps.txt` (name, result, seconds) from the folder given first. A skip
whose reason does not begin with a line of the file given second counts as a failure.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

TEST_STEPS = ("tests", "slow", "lowest")
OUTCOMES = ("passed", "failed", "skipped")


def allowed_reasons(path: Path) -> tuple[str, ...]:
    """Read how the reasons of allowed skips begin."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def outcome(case: ET.Element, allowed: tuple[str, ...]) -> tuple[str, str]:
    """Outcome of one test and why, if it did not pass."""
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed", ""
    skip = case.find("skipped")
    if skip is None:
        return "passed", ""
    reason = skip.get("message", "").removeprefix("Skipped: ")
    return ("skipped" if reason.startswith(allowed) else "failed"), reason


def count_tests(report: Path, allowed: tuple[str, ...]) -> Counter[str]:
    """Count the outcomes in one JUnit report and print what did not pass; a missing report is one failure."""
    if not report.exists():
        print(f"{report.stem}: no report, the step broke before its first test")
        return Counter(failed=1)
    counts: Counter[str] = Counter()
    skips: Counter[str] = Counter()
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by our own pytest run
        result, reason = outcome(case, allowed)
        counts[result] += 1
        if reason:
            skips[f"{result} ({'allowed' if result == 'skipped' else 'not an allowed reason to skip'}): {reason}"] += 1
        elif result == "failed":
            print(f"{report.stem}: failed {case.get('classname')}::{case.get('name')}")
    for text, number in skips.items():
        print(f"{report.stem}: {number} {text}")
    print(f"{report.stem}: " + ", ".join(f"{counts[result]} {result}" for result in OUTCOMES))
    return counts


def main(folder: Path, allowed_file: Path) -> int:
    """Print the summary.

    Args:
        folder: Where the reports are.
        allowed_file: The allowed reasons, one on each line.

    Returns:
        Exit status.
    """
    allowed = allowed_reasons(allowed_file)
    totals: Counter[str] = Counter()
    slow = 0
    for line in (folder / "steps.txt").read_text(encoding="utf-8").splitlines():
        name, result, seconds = line.split()
        print(f"{name}: {result} in {seconds} s")
        if name not in TEST_STEPS:
            totals[result] += 1
            continue
        counts = count_tests(folder / f"{name}.xml", allowed)
        if result == "failed" and not counts["failed"]:
            print(f"{name}: the step failed although no test did")
            counts["failed"] = 1
        totals += counts
        slow += sum(counts.values()) if name.startswith("slow") else 0
    print(f"of these, {slow} slow tests")
    print(", ".join(f"{totals[result]} {result}" for result in OUTCOMES))
    return int(totals["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
