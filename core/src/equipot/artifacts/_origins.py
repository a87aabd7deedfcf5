"""What a stored model needs and where it comes from: plugins, versions, citations, source files."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from equipot._version import __version__
from equipot.containers import nodes
from equipot.errors import ArtifactError, EquipotError, problem
from equipot.files import file_digest
from equipot.plugins import KIND_OF_NAMESPACE, LOCAL_FILE, PARTS, plugins

_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def registered(target: str) -> tuple[str | None, str]:
    """Kind and registered name of the component that a ``_target_`` names; the kind is None if it is not registered.

    Example:
        >>> registered("equipot.pair_potentials.ZBL")
        ('pair_potentials', 'ZBL')
    """
    namespace, _, name = target.rpartition(".")
    return KIND_OF_NAMESPACE.get(namespace), name


def components(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Kind and registered name of every declared component in a model's config.

    A target that is neither registered nor a declared part is refused: the file could not be loaded again.
    """
    found = []
    for index, target in enumerate(_targets(config)):
        kind, name = registered(target)
        if kind is not None:
            found.append((kind, name))
        elif index == 0 or target not in plugins().names(PARTS):
            what = f"{target!r} is not declared by an installed plugin, so it cannot be stored for others"
            hint = "put it in a plugin and declare it (see the hook specs), then train with its declared name"
            raise ArtifactError(problem("model", what, hint=hint))
    return found


def _targets(config: Mapping[str, Any]) -> list[str]:
    return [str(node["_target_"]) for _, node in nodes(config) if isinstance(node, Mapping) and "_target_" in node]


def plugins_used(config: Mapping[str, Any], modifiers: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Distributions besides core that a model needs, with their versions; a part from a local file is refused."""
    used = _owners(config, modifiers)
    if local := [path for path, version in used.items() if version == LOCAL_FILE]:
        what = f"a part of it is defined in the local file {local[0]}, so it cannot be packaged or compiled"
        hint = "make a plugin of the file (equipot plugins new), install it, and train with it"
        raise ArtifactError(problem("model", what, hint=hint))
    return used


def _owners(config: Mapping[str, Any], modifiers: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """As ``plugins_used``, with local files."""
    host = plugins()
    used = {}
    for kind, name in components(config):
        declared = host.lookup(kind, name)
        used[declared.distribution] = declared.version
    for target in _targets(config):
        if owner := host.owner_of(target):
            used[owner.distribution] = owner.version
    for modifier in modifiers:
        if not modifier.get("exact_without"):
            used[str(modifier["distribution"])] = str(modifier["version"])
    used.pop("equipot", None)
    return dict(sorted(used.items()))


def plugins_if_declared(config: Mapping[str, Any], modifiers: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """As ``plugins_used``, without error for models of local files, which can be trained but not packaged."""
    try:
        used = _owners(config, modifiers)
    except EquipotError:
        return {}
    return {name: version for name, version in used.items() if version != LOCAL_FILE}


def citations_of(config: Mapping[str, Any]) -> list[str]:
    """The references that the authors of a model's components ask to cite."""
    host = plugins()
    found = [text for kind, name in components(config) for text in host.load(kind, name).citations]
    return list(dict.fromkeys(found))


def check_plugins(used: Mapping[str, str], where: str) -> None:
    """Refuse a stored model whose plugins are missing or older, naming all of them in one pip line.

    Both names and versions are untrusted and would become part of that line, so they are checked first.
    """
    from packaging.version import InvalidVersion, Version

    needed, texts = [], []
    for distribution, version in used.items():
        if not _DISTRIBUTION.fullmatch(distribution):  # untrusted, and it would become part of a pip line
            raise ArtifactError(problem(f"{where}: manifest.plugins", "must name distributions", got=distribution))
        installed = versions(distribution).get(distribution)
        try:
            fits = installed is not None and Version(installed) >= Version(version)
        except InvalidVersion:
            place = f"{where}: manifest.plugins.{distribution}"
            raise ArtifactError(problem(place, "is not a version", got=version)) from None
        if not fits:
            needed.append(f"'{distribution}>={version}'")
            texts.append(f"{distribution} {version} ({f'installed: {installed}' if installed else 'not installed'})")
    if needed:
        raise ArtifactError(f"{where}: needs {', '.join(texts)}; pip install --upgrade {' '.join(needed)}")


def versions(*distributions: str) -> dict[str, str]:
    """Versions of equipot and of the given distributions, if installed, read without importing them."""
    found = {"equipot": __version__}
    known = {distribution: _version(distribution) for distribution in distributions}
    return found | {distribution: version for distribution, version in known.items() if version is not None}


@functools.cache
def _version(distribution: str) -> str | None:
    """Looked up once: each checkpoint records versions, and finding five of them takes some milliseconds."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def source_of(path: str | Path) -> dict[str, str]:
    """Name and SHA-256 of a file, for the provenance of another file made from it.

    Args:
        path: The file.

    Returns:
        ``{"source": name, "source_sha256": hexadecimal digits}``, to be passed on as ``provenance``.

    Raises:
        ArtifactError: If the file cannot be read.
    """
    path = Path(path)
    return {"source": path.name, "source_sha256": file_digest(path)}
