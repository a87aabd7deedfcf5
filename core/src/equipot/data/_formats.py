"""Formats of data files, and the arguments that their readers accept.

ASE reads about 70 formats. Some of its readers start programs, unpickle, write to the file, or read files that the data
name; others believe a stated number of atoms and allocate memory for it. So only formats are read that hold energies
and whose readers were examined; see ``tests/data/test_formats.py`` for what they must not do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipot.commands import is_option, option, setting
from equipot.data._outputs._cp2k_trajectory import is_trajectory
from equipot.data._streams import compression
from equipot.errors import ConfigError, DataError, problem, unknown

FORMATS: dict[str, dict[str, type]] = {
    "extxyz": {},
    "traj": {},
    "db": {},
    "json": {},
    "aselmdb": {},
    "vasp-out": {},
    "vasp-xml": {},
    "espresso-out": {"results_required": bool},
    "gaussian-out": {},
    "orca-output": {},
    "cp2k-output": {},
    "cp2k-trajectory": {},
    "aims-output": {},
    "deepmd": {},
    "npz": {},
    "castep-md": {},
    "castep-geom": {},
    "runnerdata": {},
}
"""Formats that are read, with the arguments that a config may give to the reader of each and their types."""

_SUFFIXES = {
    "xyz": "extxyz",
    "extxyz": "extxyz",
    "traj": "traj",
    "db": "db",
    "json": "json",
    "aselmdb": "aselmdb",
    "npz": "npz",
    "pwo": "espresso-out",
    "md": "castep-md",
    "geom": "castep-geom",
}
"""Suffixes that decide: nothing in such a file can choose another reader, but for trajectories of CP2K."""

_LIKELY = {"out": "espresso-out", "log": "gaussian-out", "data": "runnerdata"}
"""Suffixes that decide if nothing in the file does."""

_MARKS = {"cp2k-output": b" CP2K| ", "aims-output": b"Invoking FHI-aims"}
"""Texts near the beginning of formats for which ASE has no such text, or none that comes early enough."""

_INDEX = re.compile(r"-?\d{1,18}|(-?\d{1,18})?:(-?\d{1,18})?(:(-?[1-9]\d{0,17})?)?")
_CONVERT = "convert it with 'ase convert FILE OUT.extxyz' if you trust it"


def argument_problems(given: Mapping[str, Any] | None, where: str) -> list[str]:
    """Problems of the arguments of a reader (``ase_args``), which can be found before a file is read."""
    arguments = dict(given or {})
    name, index = arguments.pop("format", None), arguments.pop("index", ":")
    problems = []
    if name is not None and not (isinstance(name, str) and name in FORMATS):
        hint = f"formats: {', '.join(FORMATS)}; or {_CONVERT}"
        problems.append(problem(f"{where}.format", "is not a format that is read", got=name, hint=hint))
    if isinstance(index, bool) or not isinstance(index, (int, str)) or not _INDEX.fullmatch(str(index)):
        hint = "for example 0, ':100' or '::10'"
        problems.append(problem(f"{where}.index", "must be an index or a slice", got=index, hint=hint))
    allowed = FORMATS.get(name, {}) if isinstance(name, str) else {}
    for key, value in arguments.items():
        if key not in allowed:
            problems.append(unknown(f"{where}.{key}", str(key), ("format", "index", *allowed), "argument"))
        elif not isinstance(value, allowed[key]):
            problems.append(problem(f"{where}.{key}", f"must be a {allowed[key].__name__}", got=value))
    return problems


def check_arguments(given: Mapping[str, Any] | None) -> None:
    """Raise a ConfigError with all ``argument_problems``."""
    if problems := argument_problems(given, option("ase_args")):
        raise ConfigError(problems)


def selection(given: Mapping[str, Any] | None) -> slice | int:
    """The frames that the argument ``index`` selects."""
    index = str((given or {}).get("index", ":"))
    if ":" not in index:
        return int(index)
    return slice(*(int(part) if part else None for part in index.split(":")))


def format_of(file: Path, head: bytes) -> str:
    """The format of a file, from its name or, if that does not decide, from the beginning of its contents.

    Args:
        file: The file.
        head: Its first bytes, decompressed.

    Raises:
        DataError: If it is none of ``FORMATS``.
    """
    from ase.io.formats import ioformats

    name = file.stem if compression(file) else file.name
    suffix = Path(name).suffix.lstrip(".").lower()
    if suffix in _SUFFIXES:
        return "cp2k-trajectory" if is_trajectory(name, head) else _SUFFIXES[suffix]
    known = [ioformats[one] for one in FORMATS if one in ioformats]
    for one in known:
        if one.match_name(name):
            return str(one.name)
    for one in known:
        if one.match_magic(head):
            return str(one.name)
    if marked := next((name for name, mark in _MARKS.items() if mark in head), None):
        return marked
    if re.match(rb"(\xef\xbb\xbf)?\s*\d+\s*\n", head):  # a number of atoms, perhaps after a byte-order mark
        return "extxyz"
    if suffix in _LIKELY:
        return _LIKELY[suffix]
    hint = _CONVERT
    if is_option("ase_args"):
        hint = f"give {setting('ase_args', {'format': 'NAME'})} with one of {', '.join(FORMATS)}; or {_CONVERT}"
    raise DataError(problem(str(file), "has an unknown format, or one that is not read", hint=hint))
