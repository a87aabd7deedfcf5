"""Find plugins by the entry points of installed distributions, and read their requirements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.requirements import Requirement

API_MAJOR = 1
GROUP = f"equipot.plugins.v{API_MAJOR}"


@dataclass
class PluginRecord:
    """An entry point, and the result of loading it."""

    id: str
    distribution: str
    version: str
    api: str
    target: str
    state: str = "installed"
    """``ok``, ``failed``, ``refused`` (API), ``disabled``, ``ambiguous`` (two plugins, one id) or ``faulty`` (a target
    is not of the kind that it is declared as)."""
    error: str | None = None
    declares: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """Side effects of importing it, see ``equipot._host.guard``."""
    seconds: float = 0.0
    """Time that importing its declarations took."""

    @property
    def package(self) -> str:
        """Top-level package of its module."""
        return self.target.split(".")[0]

    @property
    def label(self) -> str:
        """Id with distribution and version."""
        return f"{self.id!r} ({self.distribution} {self.version})"


def entry_points() -> Iterator[tuple[PluginRecord, metadata.EntryPoint]]:
    """All plugin entry points for any version of the API, without duplicates."""
    prefix = "equipot.plugins.v"
    seen = set()
    installed = metadata.entry_points()  # once: it reads the files of every distribution
    for group in sorted(name for name in installed.groups if name.startswith(prefix)):
        for entry_point in installed.select(group=group):
            name, version = (entry_point.dist.name, entry_point.dist.version) if entry_point.dist else ("unknown", "0")
            key = (group, name, entry_point.name, entry_point.value)
            if key not in seen:
                seen.add(key)
                api = group.removeprefix(prefix)
                yield PluginRecord(entry_point.name, name, version, api, entry_point.value), entry_point


def unmet_requirement(entry_point: metadata.EntryPoint) -> str | None:
    """Why a plugin does not work with this core, found in its metadata before import, or None."""
    from packaging.requirements import InvalidRequirement, Requirement

    from equipot import __version__

    if entry_point.group != GROUP:
        wanted = entry_point.group.removeprefix("equipot.plugins.v")
        newer = wanted.isdigit() and int(wanted) > API_MAJOR
        plugin = entry_point.dist.name if entry_point.dist else entry_point.name
        advice = f"pip install --upgrade {'equipot' if newer else plugin}"
        return f"needs plugin API {wanted}, this is equipot {__version__} with API {API_MAJOR}; {advice}"
    if entry_point.dist is None:
        return None
    for line in entry_point.dist.requires or []:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        fits = requirement.specifier.contains(__version__, prereleases=True)
        if requirement.name.lower() == "equipot" and applies and not fits:
            wanted = f"equipot{requirement.specifier}"
            advice = f"pip install '{wanted}'"
            if _too_new(requirement, __version__):
                advice = f"pip install --upgrade {entry_point.dist.name}, or {advice}"
            return f"needs {wanted}, this is {__version__}; {advice}"
    return None


def _too_new(requirement: Requirement, version: str) -> bool:
    """Whether a version is newer than all that a requirement allows, so that a newer plugin may help."""
    from packaging.version import Version

    bounds = [Version(one.version.removesuffix(".*")) for one in requirement.specifier if one.operator != "!="]
    return all(bound <= Version(version) for bound in bounds)
