"""Print the lowest version of everything that core and the plugins admit, as constraints for pip.

`make test-lowest` installs them into an environment of its own and runs core's tests there. torch is the exception: its
lowest version cannot be installed everywhere without a GPU's libraries, so the one of constraints.txt stays.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
KEPT = ("torch",)
"""Versions that stay as in constraints.txt."""


def lowest() -> dict[str, str]:
    """Distribution to the highest of the lower bounds that our projects state for it."""
    found: dict[str, Version] = {}
    for project in (ROOT / "core/pyproject.toml", *sorted(ROOT.glob("plugins/[!_]*/pyproject.toml"))):
        for line in tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]:
            requirement = Requirement(line)
            bounds = [Version(one.version) for one in requirement.specifier if one.operator in (">=", "~=", "==")]
            name = requirement.name.lower()
            if bounds and not name.startswith("equipot") and name not in KEPT:
                found[name] = max(*bounds, found.get(name, bounds[0]))
    tested = dict(
        re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    )
    return {name: str(version) for name, version in sorted(found.items())} | {name: tested[name] for name in KEPT}


if __name__ == "__main__":
    for distribution, version in lowest().items():
        print(f"{distribution}=={version}")
