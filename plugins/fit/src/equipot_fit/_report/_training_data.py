"""What was trained on what: files, sets, split, labels, and what the checks of the data say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from equipot.data import Census
from equipot_fit._report._html import element, escaped, joined, paragraph, table
from equipot_fit._report._section import Data, Section

if TYPE_CHECKING:
    from equipot_fit._report._subject import Subject

MANY = 12
"""Elements of a set that are listed."""


def data(subject: Subject) -> Data:
    """Sets, split, files with digests, labels and verdict."""
    module, sets = subject.data, subject.sets
    census = Census(module.label_contract, module.options.units)
    for name, one in sets.items():
        census.add(name, one)
    known = subject.known_data.get("files") or {}
    split = subject.run.splits
    return {
        "sets": {name: _set(one) for name, one in census.sets.items()},
        "units": module.units,
        "split": {"by": split.get("by"), "seed": module.options.seed} if split else None,
        "files": {path: known.get(path, "") for path in (known or module.source_files())},
        "changed_files": subject.changed_files,
        "verdict": _checked(subject),
        "frames_digest": subject.known_data.get("frames") or {},
    }


def _checked(subject: Subject) -> dict[str, Any] | None:
    """What the checks say; where time is short, what they warned of before the training, None for nothing."""
    if math.isfinite(subject.until) and subject.run.results:
        warned: dict[str, Any] | None = subject.run.results.get("data")
        return warned
    return subject.data.verdict(sets=subject.sets).to_dict()


def _set(one: Any) -> dict[str, Any]:
    labels = {
        name: {"present": row.present, "sources": dict(row.sources), "unit": row.unit}
        for name, row in one.labels.items()
    }
    return {"frames": one.frames, "atoms": one.atoms, "elements": dict(one.elements), "labels": labels}


def draw(data: Data) -> str:
    """Tables."""
    parts: list[object] = [_sets(data)]
    if split := data["split"]:
        parts.append(
            paragraph(f"Split: by {split['by'] or 'random'}, seed {split['seed']}; the indices are in splits.json.")
        )
    else:
        parts.append(paragraph("The sets were given as files of their own: nothing was split."))
    parts.append(_verdict(data["verdict"]))
    rows = [
        (
            path,
            element("code", digest or "not recorded"),
            "changed since" if path in data["changed_files"] else "same as then",
        )
        for path, digest in data["files"].items()
    ]
    parts.append(table(("file", "SHA-256 at the training", "now"), rows, texts=("SHA-256 at the training", "now")))
    return joined(parts)


def _sets(data: Data) -> object:
    rows = []
    for name, one in data["sets"].items():
        elements = [f"{symbol} {count}" for symbol, count in one["elements"].items()]
        more = f" and {len(elements) - MANY} more" if len(elements) > MANY else ""
        labels = [
            f"{label.replace('_', ' ')} ({row['present']})" for label, row in one["labels"].items() if row["present"]
        ]
        keys = sorted({key for row in one["labels"].values() for key in row["sources"]})
        rows.append(
            (name, one["frames"], one["atoms"], ", ".join(elements[:MANY]) + more, ", ".join(labels), ", ".join(keys))
        )
    header = ("set", "frames", "atoms", "atoms of each element", "labels (frames)", "read from")
    return table(header, rows, texts=header[3:], caption=f"Sets, in {data['units']} units")


def _verdict(verdict: dict[str, Any] | None) -> object:
    if verdict is None:
        return paragraph("The checks of the data gave no warning before the training; what they noted is in train.log.")
    findings = verdict["findings"]
    looked = verdict.get("sampling") or "all frames"
    if not findings:
        return paragraph(f"The checks of the data found nothing to say (looked at: {looked}).")
    rows = [(one["severity"], one["code"], one["message"], one.get("example", ""), one["count"]) for one in findings]
    header = ("severity", "check", "what was found", "example", "count")
    caption = f"Verdict of the checks of the data (looked at: {looked})"
    return escaped(table(header, rows, texts=header[:4], caption=caption))


SECTION = Section("data", "Data", data, draw, can_wait=True)
