"""What ``equipot doctor`` finds out: facts by section, and what is broken."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from equipot import __version__, caches
from equipot._host.discovery import entry_points
from equipot._importing import load_object
from equipot.errors import EquipotError, PluginError
from equipot.files import cache_folder, code_folder

VARIABLES = (
    "CC", "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "CXX", "EQUIPOT_AUTOMATIC_MODIFIERS", "EQUIPOT_CACHE_DIR",
    "EQUIPOT_MALLOC", "EQUIPOT_PLUGINS", "EQUIPOT_STRICT_PLUGINS", "EQUIPOT_TRACE_PLUGINS", "KMP_AFFINITY",
    "LD_PRELOAD", "MALLOC_ARENA_MAX", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OMP_PROC_BIND", "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED", "PYTORCH_CUDA_ALLOC_CONF", "TMPDIR", "TORCHINDUCTOR_CACHE_DIR", "TORCH_LOGS", "XDG_CACHE_HOME",
)  # fmt: skip
"""The only variables of the environment whose values are shown: none of them holds a secret."""

LIBRARIES = (
    "torch", "e3nn", "lightning", "torchmetrics", "numpy", "scipy", "ase", "vesin", "matscipy", "hydra-core",
    "omegaconf", "pydantic", "h5py", "lmdb", "matplotlib",
)  # fmt: skip
"""Libraries whose versions matter for what a model computes, or how it is read."""

Section = dict[str, Any]


@dataclass
class Findings:
    """Everything about an installation that a report of a bug needs."""

    sections: dict[str, Section] = field(default_factory=dict)
    """By title: facts by name."""
    broken: list[str] = field(default_factory=list)
    """What is broken, one sentence each, with what to do."""

    def add(self, title: str, collect: Callable[[Findings], Section]) -> None:
        """Collect a section; a failure is itself something broken."""
        try:
            self.sections[title] = without_home(collect(self))
        except Exception as error:  # noqa: BLE001 - a report must come about whatever is broken
            self.broken.append(without_home(f"{title}: {type(error).__name__}: {error}"))


def examine(plugin_facts: Callable[[Findings], Section]) -> Findings:
    """All facts.

    Args:
        plugin_facts: Collects the section about plugins.
    """
    found = Findings()
    found.add("environment", _environment)
    found.add("variables", lambda _: {name: os.environ[name] for name in VARIABLES if name in os.environ})
    found.add("versions", _versions)
    found.add("torch", _torch)
    found.add("models", lambda _: _kernels())
    found.add("compiler", _compiler)
    found.add("plugins", plugin_facts)
    for name, title, path in _diagnosing():
        found.add(title, lambda all_of_it, path=path, name=name: _diagnosis(all_of_it, name, path))  # type: ignore[misc]
    found.add("caches", _caches)
    return found


def without_home(value: Any) -> Any:
    """Texts with ``~`` in place of the home folder, whose name is often that of a person."""
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
    if isinstance(value, dict):
        return {key: without_home(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_home(one) for one in value]
    return value.replace(home, "~") if isinstance(value, str) and len(home) > 1 else value


def _environment(found: Findings) -> Section:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        code_folder()
    except EquipotError as error:
        found.broken.append(str(error))
    return {
        "equipot": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "program": sys.executable,
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "c library": " ".join(platform.libc_ver()).strip(),
        "processors": f"{allowed} allowed of {os.cpu_count()}",
        "memory": _memory(),
        "output": str(getattr(sys.stdout, "encoding", "")),
    }


def _memory() -> str:
    try:
        return size(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):
        return ""


def _versions(found: Findings) -> Section:
    versions = {name: _version(name) for name in LIBRARIES}
    for distribution in sorted({"equipot", *(record.distribution for record, _ in entry_points())}):
        found.broken += _unmet(distribution)
    return {name: version for name, version in versions.items() if version}


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _unmet(distribution: str) -> Iterator[str]:
    """Requirements of a distribution that the installed versions do not fulfil."""
    from packaging.requirements import InvalidRequirement, Requirement

    for line in _requires(distribution):
        try:
            wanted = Requirement(line)
        except InvalidRequirement:
            continue
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        there = _version(wanted.name)
        if not there or not wanted.specifier.contains(there, prereleases=True):
            state = f"is {there}" if there else "is missing"
            want = f"{wanted.name}{wanted.specifier}"
            yield f"{wanted.name} {state}, {distribution} needs {want}: pip install '{want}'"


def _requires(distribution: str) -> list[str]:
    try:
        return metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return []


def _torch(found: Findings) -> Section:
    try:
        import torch
    except Exception as error:  # noqa: BLE001 - a broken installation raises all kinds of errors
        version = _version("torch")
        advice = f"pip install --force-reinstall torch=={version}" if version else "pip install torch"
        found.broken.append(f"torch cannot be imported ({type(error).__name__}: {error}): {advice}")
        return {}
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    threads, allowed = torch.get_num_threads(), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    if allowed and threads > allowed:
        found.broken.append(f"torch uses {threads} threads on {allowed} processors: export OMP_NUM_THREADS={allowed}")
    return {
        "version": torch.__version__,
        "default dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "threads": f"{threads} in an operation, {torch.get_num_interop_threads()} between operations",
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        "mkl": torch.backends.mkl.is_available(),
        "openmp": torch.backends.openmp.is_available(),
        "cuda": torch.version.cuda or "not in this build",
        "devices": devices or ["cpu"],
    }


def _kernels() -> Section:
    """Modifiers that every model gets without being asked: compiled kernels."""
    from equipot.model._automatic import SWITCH, fitting, switched_on

    if not switched_on():
        return {"applied unasked": f"nothing: {SWITCH} is {os.environ[SWITCH]}"}
    names = [f"{one.entry.name} ({one.distribution} {one.version})" for one in fitting("cpu", "")]
    return {"applied unasked": names or "nothing; pip install equipot-kernels makes models faster"}


def _compiler(found: Findings) -> Section:
    """The C++ compiler that ``equipot compile`` uses through torch."""
    asked = os.environ.get("CXX", "")
    program = next((one for one in ([asked] if asked else ["c++", "g++", "clang++"]) if shutil.which(one)), "")
    if not program:
        where = f"CXX names {asked!r}, which is not there" if asked else "there is no C++ compiler"
        found.broken.append(f"{where}: equipot compile needs one; apt install g++, conda install gxx, or set CXX")
        return {}
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    return {"program": shutil.which(program), "version": (done.stdout.splitlines() or [""])[0]}


def _diagnosing() -> Iterator[tuple[str, str, str]]:
    """Plugin, title and function of each command that has something to say about the machine."""
    from equipot.plugins import plugins

    try:
        declared = plugins().available("commands")
    except PluginError:
        return
    for one in declared:
        if path := getattr(one.entry, "diagnosis", ""):
            yield one.label, one.entry.name, path


def _diagnosis(found: Findings, plugin: str, path: str) -> Section:
    try:
        facts, broken = load_object(path)()
    except EquipotError as error:
        facts, broken = {}, [str(error)]
    except Exception as error:
        raise PluginError(f"{plugin}: {type(error).__name__}: {error}") from error
    found.broken += broken
    return dict(facts)


def _caches(found: Findings) -> Section:
    folder = cache_folder()
    facts: Section = {"folder": str(folder)}
    if not folder.is_dir():
        return {**facts, "size": "not there yet"}
    if reason := caches.refusal(folder):
        found.broken.append(f"{folder} is not used: {reason}; set EQUIPOT_CACHE_DIR to a folder of your own")
    for one in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = [path for path in one.rglob("*") if path.is_file() and not path.is_symlink()]
        facts[one.name] = f"{len(files)} files, {size(sum(path.stat().st_size for path in files))}"
        if reason := caches.distrust(one.stat()):
            found.broken.append(f"{one} is not believed: {reason}; remove it")
    return facts


def size(number: int) -> str:
    """A number of bytes for readers.

    Example:
        >>> size(3_400_000)
        '3.4 MB'
    """
    amount, unit = float(number), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.3g} {unit}" if unit != "B" else f"{number} B"


def one_line(text: str) -> str:
    """A text without line breaks."""
    return re.sub(r"\s+", " ", text).strip()
