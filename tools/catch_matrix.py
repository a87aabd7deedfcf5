"""Run the conformance kit on its broken toys and store what fails: ``python tools/catch_matrix.py``.

The table is shown on the reference page of the kit; a test compares it with what the kit finds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs/reference/catch_matrix.json"


def main() -> int:
    """Write the table; 1 if a toy is not caught as promised."""
    sys.path.insert(0, str(ROOT / "plugins/testing/tests"))
    from broken_toys import LIMIT, TOYS, row_of

    from equipot_testing import KIT_VERSION

    rows, bad = [], 0
    for toy in TOYS:
        row, _ = row_of(toy)
        failing = row["failing"]
        fine = bool(failing) and failing[0] == toy.check and len(failing) <= LIMIT
        bad += not fine
        print(f"{'ok ' if fine else 'BAD'} {toy.name}: {', '.join(failing)}", flush=True)
        rows.append(row)
    table = {"kit": KIT_VERSION, "command": "python tools/catch_matrix.py", "rows": rows}
    TARGET.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(rows)} toys, {bad} not caught as promised; wrote {TARGET.relative_to(ROOT)}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
