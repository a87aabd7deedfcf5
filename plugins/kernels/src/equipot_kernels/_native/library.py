"""The library that makes the ops known to torch in processes without Python; it is compiled where engines are built."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.resources
import json
import platform
from pathlib import Path

import torch

from equipot import caches
from equipot.errors import problem
from equipot_kernels._build import cache, toolchain, torch_ops
from equipot_kernels._build.errors import KernelError
from equipot_kernels._native.code import abi

_PARTS = ("begin.cpp", "archive.cpp", "kernels.cpp", "ops.cpp", "load.cpp")


def native_library(folder: Path) -> Path:
    """Compile the library of ops for engines without Python, unless it is there already.

    It has one function, ``const char *equipot_load_kernels(const char *pt2_path)``, which an engine calls before it
    loads a compiled file: it registers the ops, loads the kernels in the file, and returns null, or what is wrong.

    Args:
        folder: Where libraries are kept; made for this user alone if there is none.

    Returns:
        The library. It links to the libraries of the torch that is installed here.

    Raises:
        KernelError: If there is no compiler, compiling fails, or the folder cannot be used.
    """
    if reason := caches.refusal(folder):
        raise KernelError(problem(str(folder), reason, hint="choose a folder of your own"))
    text, compiler = source(), _compiler()
    stated = "\0".join([text, torch.__version__, *compiler.flags])
    stem = f"equipot_kernels-{hashlib.sha256(stated.encode()).hexdigest()[:32]}"
    for path in cache.matching(folder, stem):
        return path
    return cache.store(folder, stem, compiler, compiler.compile(text))


def _compiler() -> toolchain.Compiler:
    """The system's compiler with flags for torch's headers and libraries, for any processor of this kind."""
    torch_folder = Path(torch.__file__).parent
    libraries = torch_folder / "lib"
    # Some compilers drop libraries that come before what needs them.
    keep = () if platform.system() == "Darwin" else ("-Wl,--no-as-needed",)
    link = (f"-L{libraries}", *keep, "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{libraries}")
    flags = ("-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", f"-I{torch_folder / 'include'}", *link)
    return dataclasses.replace(toolchain.find_compiler(), flags=flags)


@functools.lru_cache(maxsize=1)
def source() -> str:
    """The C++ source text: the list of ops as Python has it, and what reads files and calls kernels."""
    schemas = torch_ops.schemas()
    ops = " ".join(f"OP({name}, {json.dumps(schema)})" for name, schema in schemas.items())
    head = [f'#define EQUIPOT_ABI "{abi()}"', f'#define EQUIPOT_NAMESPACE "{torch_ops.NAMESPACE}"']
    folder = importlib.resources.files(__package__)
    texts = [folder.joinpath(part).read_text(encoding="utf-8") for part in _PARTS]
    return "\n".join([*head, f"#define EQUIPOT_OPS(OP) {ops}", *texts])
