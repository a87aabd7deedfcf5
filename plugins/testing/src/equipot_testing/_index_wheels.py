"""Read what wheels of plugins say about themselves. Nothing in them is imported or executed."""

from __future__ import annotations

import ast
import configparser
import hashlib
import re
import zipfile
from email.parser import HeaderParser
from typing import TYPE_CHECKING, Any

from equipot.errors import ArtifactError, problem
from equipot.plugins import HOOK_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GROUP = "equipot.plugins.v"
"""What the names of the groups of entry points begin with; the number of the API follows."""

_MOST_BYTES = 1024**2
"""Largest metadata file or module that is read: what a wheel claims may be a bomb."""
_MOST_MEMBERS = 20_000

Facts = dict[str, Any]


def read_wheel(path: Path) -> Facts | None:
    """What the metadata, entry points and declarations of a wheel say.

    Args:
        path: A file ``*.whl``.

    Returns:
        Plain containers, as in the index; None if the wheel has no plugin.

    Raises:
        ArtifactError: If the file cannot be read as a wheel.
    """
    try:
        with zipfile.ZipFile(path) as wheel:
            if len(wheel.infolist()) > _MOST_MEMBERS:
                raise ArtifactError(problem(str(path), f"has more than {_MOST_MEMBERS} files"))
            return _facts(wheel, path)
    except (zipfile.BadZipFile, OSError, KeyError, ValueError, NotImplementedError, configparser.Error) as error:
        raise ArtifactError(problem(str(path), f"cannot be read as a wheel: {error}")) from None


def _facts(wheel: zipfile.ZipFile, path: Path) -> Facts | None:
    folder = next((name.split("/")[0] for name in wheel.namelist() if name.endswith(".dist-info/METADATA")), "")
    if not folder:
        raise ArtifactError(problem(str(path), "has no metadata"))
    metadata = HeaderParser().parsestr(_text(wheel, f"{folder}/METADATA"))
    points = dict(_entry_points(wheel, f"{folder}/entry_points.txt"))
    if not points:
        return None
    return {
        "distribution": metadata.get("Name", ""),
        "version": metadata.get("Version", ""),
        "summary": metadata.get("Summary", ""),
        "license": metadata.get("License-Expression", ""),
        "links": _links(metadata.get_all("Project-URL") or []),
        "requires_python": metadata.get("Requires-Python", ""),
        "requires": [line for line in metadata.get_all("Requires-Dist") or [] if "extra ==" not in line],
        "api": sorted({api for api, _ in points.values()}),
        "ids": sorted(points),
        "declares": [one for _, module in points.values() for one in _declarations(wheel, module)],
        "wheel": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def _entry_points(wheel: zipfile.ZipFile, name: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Id of each plugin, with the API and the module that it names."""
    if name not in wheel.namelist():
        return
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign] # ids are case-sensitive
    parser.read_string(_text(wheel, name))
    for section in parser.sections():
        if section.startswith(GROUP):
            for plugin_id, module in parser.items(section):
                yield plugin_id, (section.removeprefix(GROUP), module.strip())


def _links(lines: list[str]) -> dict[str, str]:
    """Links by label; only addresses of the web, since readers click on them."""
    pairs = (line.partition(",")[::2] for line in lines)
    found = {label.strip(): address.strip() for label, address in pairs}
    return {label: address for label, address in found.items() if re.match(r"https?://[^\s\"'<>]+$", address)}


def _declarations(wheel: zipfile.ZipFile, module: str) -> Iterator[dict[str, str]]:
    """Kind, name and summary of each declaration that the source of the module states in plain texts."""
    path = module.replace(".", "/")
    name = next((one for one in (f"{path}.py", f"{path}/__init__.py") if one in wheel.namelist()), "")
    if not name:
        return
    text = _text(wheel, name)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for hook in ast.walk(tree):
        if isinstance(hook, ast.FunctionDef) and hook.name in HOOK_NAMES:
            for call in ast.walk(hook):
                if isinstance(call, ast.Call) and _called(call).endswith("Entry"):
                    stated = {one.arg: one.value.value for one in call.keywords if isinstance(one.value, ast.Constant)}
                    title = stated.get("name") or stated.get("target")
                    if isinstance(title, str):
                        summary = str(stated.get("summary", ""))
                        yield {"kind": hook.name.removeprefix("equipot_"), "name": title, "summary": summary}


def _called(call: ast.Call) -> str:
    return getattr(call.func, "id", "") or getattr(call.func, "attr", "")


def _text(wheel: zipfile.ZipFile, name: str) -> str:
    """A member as text, at most as long as any honest one is."""
    with wheel.open(name) as file:
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise ValueError(f"{name} has more than {_MOST_BYTES} bytes")
    return raw.decode("utf-8", errors="replace")
