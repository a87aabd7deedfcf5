"""The table of a run, and what failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hostile.verdict import Verdict

_COLUMNS = (
    "family",
    "tried",
    "refused",
    "accepted",
    "failed",
    "executions",
    "writes",
    "tracebacks",
    "hangs",
    "s max",
    "MB max",
)

_SHOWN = 4
"""Faults of one case that are listed."""


def table(verdicts: Sequence[Verdict]) -> str:
    """Counts by family, and their totals."""
    families = list(dict.fromkeys(one.case.family for one in verdicts))
    rows = [_row(name, [one for one in verdicts if one.case.family == name]) for name in families]
    rows = [_COLUMNS, *rows, _row("total", list(verdicts))]
    widths = [max(len(row[index]) for row in rows) for index in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if index == 0 else text.rjust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _row(name: str, found: Sequence[Verdict]) -> tuple[str, ...]:
    counts = [sum(one.outcome == outcome for one in found) for outcome in ("refused", "accepted", "failed")]
    sums = [sum(getattr(one, kind) > 0 for one in found) for kind in ("executions", "writes", "tracebacks", "hangs")]
    largest = (max((one.seconds for one in found), default=0), max((one.megabytes for one in found), default=0))
    return (name, *map(str, (len(found), *counts, *sums)), f"{largest[0]:.1f}", str(largest[1]))


def failures(verdicts: Iterable[Verdict]) -> str:
    """Each failed case with its faults."""
    lines = []
    for one in verdicts:
        if one.outcome == "failed":
            lines.append(f"{one.case.family}/{one.case.name}  ({one.seconds} s, {one.megabytes} MB)")
            lines += [f"    {fault}" for fault in one.faults[:_SHOWN]]
            if len(one.faults) > _SHOWN:
                lines.append(f"    and {len(one.faults) - _SHOWN} more")
            if one.message:
                lines.append(f"    said: {one.message}")
    return "\n".join(lines)
