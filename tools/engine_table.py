"""Write the table of engines, ``docs/reference/engines.md``, from what tests recorded in ``docs/results/engines``.

Each record is a file of ``equipot_test_support.engines.record_capability``: nothing is in the table that no test ran.
"""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results" / "engines"
PAGE = ROOT / "docs" / "reference" / "engines.md"

_HEAD = """\
# What runs in which engine

Every line was run by a test, with the stated version of the engine. A deviation is the largest difference from the same
model in ASE. `python tools/engine_table.py` makes this page from `docs/results/engines`, where the tests put what they
ran if `EQUIPOT_ENGINE_RESULTS` names that folder.

"""
_COLUMNS = ("engine", "capability", "tested version", "command", "deviation")


def page(folder: Path = RESULTS) -> str:
    """The text of the page.

    Args:
        folder: Of the records.
    """
    records = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*--*.json")]
    records.sort(key=lambda one: (one["engine"].lower(), one["capability"].lower()))
    lines = [f"| {' | '.join(_COLUMNS)} |", f"| {' | '.join('---' for _ in _COLUMNS)} |"]
    for one in records:
        cells = [one["engine"], one["capability"], one["version"], f"`{one['command']}`", one.get("deviation", "–")]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return _HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
