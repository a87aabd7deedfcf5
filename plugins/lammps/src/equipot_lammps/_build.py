"""Compile the pair style against the installed wheels, once for each set of sources and versions."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from equipot import caches
from equipot.errors import problem
from equipot.files import atomic, no_code
from equipot.plugins import plugins
from equipot_lammps._errors import LammpsError
from equipot_lammps._wheels import LIBRARY, Wheels, build_folder, find_wheels, sources

RECORD = "build.json"
"""Digests of the libraries of a complete build."""

_WHERE = "equipot lammps build"
_FLAGS = ("-O2", "-fPIC", "-std=c++20", "-w")
_TORCH_FLAGS = ("-O1", *_FLAGS[1:])
"""The headers of torch take most of the time; that file does nothing that is called often."""
_TIMEOUT = 900.0


def build(*, force: bool = False, say: Callable[[str], None] = print) -> Path:
    """Build the pair style, unless it has been built for these wheels already.

    Args:
        force: Build it in any case.
        say: Shows a line of progress.

    Returns:
        The folder with the pair style and the libraries of kernels.

    Raises:
        LammpsError: If the wheels, MPI or a compiler are missing, or the compiler fails, saying what to install.
    """
    folder = build_folder()
    wheels = find_wheels()
    if reason := caches.refusal(folder.parent) or no_code(folder.parent):
        hint = "EQUIPOT_CACHE_DIR names another folder"
        raise LammpsError(problem(_WHERE, f"{folder.parent} cannot hold the pair style: {reason}", hint=hint))
    if force or not is_complete(folder):
        compiler = _compiler()
        say(f"compiling pair_style equipot for LAMMPS {wheels.version} (1-2 minutes) …")
        with _replaced(folder) as made:
            _compile_all(compiler, wheels, made)
            _seal(made)
    _add_kernels(folder)
    return folder


def is_complete(folder: Path) -> bool:
    """Whether a folder holds a whole build whose files are those that were made."""
    raw = caches.own_bytes(folder / RECORD)
    if raw is None:
        return False
    try:
        digests = json.loads(raw)
        return LIBRARY in digests and all(_digest(folder / name) == digest for name, digest in digests.items())
    except (ValueError, OSError, TypeError, AttributeError):
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _seal(folder: Path) -> None:
    digests = {path.name: _digest(path) for path in sorted(folder.glob("*.so"))}
    caches.write_text(folder / RECORD, json.dumps(digests, indent=2) + "\n")


@contextlib.contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of another at the end; processes that loaded the old files keep them."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made, old = Path(temporary, "new"), Path(temporary, "old")
        made.mkdir(mode=0o700)
        yield made
        if folder.exists():
            folder.rename(old)
        with contextlib.suppress(OSError):  # another process was faster, with the same files
            made.rename(folder)


def _compiler() -> list[str]:
    asked = os.environ.get("CXX", "")
    for candidate in [asked] if asked else ["g++", "c++", "clang++"]:
        command = shlex.split(candidate)
        if command and shutil.which(command[0]):
            return command
    hint = "install one (apt install g++, conda install gxx) or set CXX; without a compiler use equipot_lammps.attach"
    raise LammpsError(problem(_WHERE, "found no C++ compiler", got=asked or ["g++", "c++", "clang++"], hint=hint))


def _compile_all(compiler: list[str], wheels: Wheels, folder: Path) -> None:
    """All sources, as many at once as there are processors, then the library."""
    units = [path for path in sources() if path.suffix == ".cpp"]
    units.sort(key=lambda path: path.stem != "model")  # the slowest first
    with tempfile.TemporaryDirectory(dir=folder) as objects:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(lambda unit: _compile(compiler, wheels, unit, Path(objects)), units))
        libraries = wheels.torch / "lib"
        link = ["-shared", *(f"{objects}/{unit.stem}.o" for unit in units), f"-L{libraries}"]
        link += ["-ltorch", "-ltorch_cpu", "-lc10", "-ldl", f"-Wl,-rpath,{libraries}"]
        _run([*compiler, *link, "-o", str(folder / LIBRARY)])


def _compile(compiler: list[str], wheels: Wheels, unit: Path, folder: Path) -> None:
    flags: list[str] = []
    if unit.stem == "model":
        include = wheels.torch / "include"
        flags = [*_TORCH_FLAGS, f"-I{include}", f"-I{include / 'torch/csrc/api/include'}"]
    else:
        version = f'-DEQUIPOT_LAMMPS_VERSION="{wheels.version}"'
        headers = [f"-I{wheels.lammps / 'include/lammps'}", f"-I{wheels.mpi}"]
        flags = [*_FLAGS, "-DLAMMPS_SMALLBIG", version, *headers]
    _run([*compiler, *flags, "-c", str(unit), "-o", str(folder / f"{unit.stem}.o")])


def _run(call: list[str]) -> None:
    try:
        done = subprocess.run(call, capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S603 - the user's own compiler
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LammpsError(problem(_WHERE, f"the compiler {call[0]} failed ({error})")) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or [""]
        hint = "it must know C++20: gcc 11 or clang 14 and newer; set CXX to another one"
        raise LammpsError(problem(_WHERE, f"the compiler {call[0]} failed: {lines[0]}", hint=hint))


def _add_kernels(folder: Path) -> None:
    """Put libraries of operators into the folder, one for each modifier whose kernels need no Python."""
    changed, kept = False, folder.parent / "kernels"
    if reason := caches.refusal(kept):
        raise LammpsError(problem(_WHERE, f"{kept} cannot hold the kernels' operators: {reason}"))
    for declared in plugins().available("modifiers"):
        path = getattr(declared.entry, "native_library", "")
        if not path:
            continue
        module, _, name = path.rpartition(".")
        made = Path(getattr(import_module(module), name)(kept))
        target = folder / f"libequipot_ops_{declared.entry.name}.so"
        if not target.is_file() or _digest(target) != _digest(made):
            with atomic(target) as copy:
                shutil.copyfile(made, copy)
                copy.chmod(0o700)
            changed = True
    if changed:
        _seal(folder)
