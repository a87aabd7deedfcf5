"""Write the rules of ``equipot fit`` into the page on what it decides; ``--check`` only says whether they are there."""

from __future__ import annotations

import sys
from pathlib import Path

from equipot_fit._rules_text import rules_text

PAGE = Path(__file__).resolve().parent.parent / "docs/explanation/what-fit-decides.md"
BEGIN = "<!-- rules: written by tools/fit_rules.py -->\n"
END = "<!-- end of rules -->\n"


def page() -> str:
    """The page with the rules as the code has them."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{rules_text()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    if sys.argv[1:] != ["--check"]:
        PAGE.write_text(page(), encoding="utf-8")
    elif page() != PAGE.read_text(encoding="utf-8"):
        sys.exit(f"{PAGE.name} does not have the rules of the code; run python tools/fit_rules.py")
