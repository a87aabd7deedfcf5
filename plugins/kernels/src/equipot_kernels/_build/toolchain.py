"""The system's C++ compiler: how it is found, tested and called.

Generated sources include no headers, so a compiler without its libraries is enough. OpenMP is used if
the compiler supports it; at run time its library is the one that torch has already loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from equipot import caches
from equipot.errors import ArtifactError, problem
from equipot.files import cache_folder, code_folder, no_code
from equipot_kernels._build.errors import KernelError

INSTALL_HINT = "install a C++ compiler (apt install g++, conda install gxx, xcode-select --install) or set CXX"

ALWAYS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-fno-math-errno", "-ffp-contract=fast", "-fno-exceptions")
"""Flags of every call, also of prebuilt kernels."""

_CHOICES = (
    ("-march=native", "-fopenmp"),
    ("-mcpu=native", "-fopenmp"),
    ("-fopenmp",),
    ("-march=native",),
    ("-mcpu=native",),
    (),
)
"""Flags that depend on the compiler, best first; the first set that works is used."""

_PROBE = """
extern "C" void probe(int n, int* a) {
  #pragma omp parallel for
  for (int i = 0; i < n; i++) a[i] = i;
}
"""
_TIMEOUT = 600.0


@dataclass(frozen=True)
class Compiler:
    """A compiler that works on this machine."""

    command: tuple[str, ...]
    """The program, with the arguments given in CXX."""
    flags: tuple[str, ...]
    """Flags of every call."""
    identity: str
    """Digest of program, version and flags."""

    def compile(self, source: str) -> bytes:
        """Compile one source.

        Args:
            source: C++ text.

        Returns:
            The contents of a shared library.

        Raises:
            KernelError: If it fails; the error contains the compiler's first message.
        """
        with tempfile.TemporaryDirectory(dir=scratch()) as folder:
            output = Path(folder, "kernel.so")
            self._run([*self.command, *self.flags, "-x", "c++", "-", "-o", str(output)], source)
            return output.read_bytes()

    def _run(self, call: list[str], source: str) -> None:
        try:
            done = subprocess.run(call, input=source, capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S603 - the user's own compiler
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KernelError(problem("kernels", f"the compiler {self.command[0]} failed ({error})")) from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or [""]
            raise KernelError(
                problem("kernels", f"the compiler {self.command[0]} failed: {lines[0]}", hint=INSTALL_HINT)
            )


def scratch() -> Path:
    """A folder for temporary files from which code can be loaded: TMPDIR, or else the folder of the kernels.

    Raises:
        KernelError: If neither allows it, saying what to set.
    """
    try:
        return code_folder()
    except ArtifactError as error:
        with contextlib.suppress(ArtifactError):
            kept = cache_folder() / "kernels"
            if not caches.refusal(kept) and not no_code(kept):
                return kept
        raise KernelError(str(error)) from None


def find_compiler(level: str = "") -> Compiler:
    """The compiler in ``CXX``, else c++, g++ or clang++, with the best flags that work.

    Args:
        level: Name of the level of processors to compile for, as compilers spell it; empty: this processor.

    Raises:
        KernelError: If there is none; the error says what to install.
    """
    return _find(os.environ.get("CXX", ""), os.environ.get("PATH", ""), level)


@functools.lru_cache(maxsize=8)
def _find(asked: str, path: str, level: str) -> Compiler:
    candidates = [asked] if asked else ["c++", "g++", "clang++"]
    for candidate in candidates:
        command = tuple(shlex.split(candidate))
        program = shutil.which(command[0], path=path) if command else None
        if program is not None:
            return _probed((program, *command[1:]), _choices(level))
    raise KernelError(problem("kernels", "found no C++ compiler", got=candidates, hint=INSTALL_HINT))


def _choices(level: str) -> Sequence[tuple[str, ...]]:
    return ((f"-march={level}", "-fopenmp"), (f"-march={level}",)) if level else _CHOICES


def _probed(command: tuple[str, ...], choices: Sequence[tuple[str, ...]]) -> Compiler:
    version = _version(command)
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        for number, choice in enumerate(choices):
            flags = (*ALWAYS, *choice)
            identity = hashlib.sha256("\0".join([*command, version, *flags]).encode()).hexdigest()[:16]
            compiler = Compiler(command, flags, identity)
            made = Path(folder) / f"probe{number}.so"
            try:
                made.write_bytes(compiler.compile(_PROBE))
                ctypes.CDLL(str(made))  # some compilers accept -fopenmp although its library is missing
            except KernelError as error:
                failure = error
            except OSError as error:
                failure = KernelError(problem("kernels", f"what {command[0]} made cannot be loaded ({error})"))
            else:
                return compiler
    raise failure


def _version(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - the user's own compiler
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelError(problem("kernels", f"the compiler {command[0]} does not run ({error})")) from None
    return done.stdout


@functools.lru_cache(maxsize=1)
def processor() -> str:
    """Digest of what compiled code may rely on: the processor's family and its vector instructions."""
    facts = [platform.system(), platform.machine(), platform.processor()]
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    facts += [line.split(":", 1)[1] for line in lines if line.startswith(("flags", "Features", "model name"))][:2]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]
