"""Print the lowest version of everything that core and the plugins admit, as constraints for pip.

Install them with `pip install -c FILE` into an environment of its own to try the tests with them. torch is the
exception: its lowest version cannot be installed everywhere without a GPU's libraries, so the tested one stays.
"""

from __future__ import annotations

import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
KEPT = {"torch"}
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
    return {name: str(version) for name, version in sorted(found.items())}


if __name__ == "__main__":
    for distribution, version in lowest().items():
        print(f"{distribution}=={version}")
