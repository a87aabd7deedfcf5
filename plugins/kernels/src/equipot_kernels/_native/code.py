"""The kernels that a compiled file brings: their libraries, and a table in plain text that says what they are."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from equipot_kernels._build import cache, prebuilt, registry, torch_ops
from equipot_kernels._build.registry import Spec

TABLE = "kernels.txt"
"""Name of the table: one statement on each line, which ``kernels.cpp`` reads."""

_CONVENTION = 1
"""To be increased if a unit or an op takes an argument of the same type in another sense."""

_WITHOUT_HANDLE = 0
"""The handle of kernels whose ops take none."""

_EXTENSIONS = ("avx", "bmi", "fma", "sse", "ssse", "asimd", "sve")
_MORE_EXTENSIONS = {"abm", "f16c", "gfni", "movbe", "popcnt", "tbm", "vaes", "vpclmulqdq", "xop"}
"""Extensions of processors that compilers use without being asked for each."""


def kernel_code(specs: Sequence[Spec], *, portable: bool = False) -> dict[str, bytes]:
    """What a compiled file must hold so that engines without Python can run its kernels.

    Libraries are taken from the wheel or the cache, and built otherwise. They are those that energies and forces call.

    Args:
        specs: Of the kernels that the file calls, as in its manifest.
        portable: Make them for all processors of this kind (AVX2 on x86-64), not for those like this one.

    Returns:
        Contents of the files by name, the table among them.

    Raises:
        KernelError: If a spec is not valid, or a kernel cannot be built here.
    """
    handles = list(dict.fromkeys(registry.handle_of(spec) for spec in specs))
    wanted = list(_wanted(handles))
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        made = list(pool.map(lambda pair: _library(*pair, portable=portable), wanted))
    needed = {flag for one in made for flag in (prebuilt.LEVELS[one.level][1] if one.level else _extensions())}
    lines = ["equipot_kernels 1", f"abi {abi()}", " ".join(["processor", platform.machine(), *sorted(needed)])]
    for handle in handles:
        sizes = "".join(f" {name} {value}" for name, value in registry.sizes(handle).items())
        lines.append(f"kernel {_stated(handle)}{sizes}")
    lines += [f"unit {_stated(handle)} {unit} {one.name}" for (handle, unit), one in zip(wanted, made, strict=True)]
    lines.append(f"specs {json.dumps([registry.spec_of(handle) for handle in handles], separators=(',', ':'))}")
    return {TABLE: "\n".join([*lines, ""]).encode(), **{one.name: one.content for one in made}}


class _Library(NamedTuple):
    name: str
    content: bytes
    level: str


def _library(handle: int, unit: str, *, portable: bool) -> _Library:
    spec = registry.spec_of(handle)
    source, name = registry.family_of(spec).source(spec, unit), f"{spec['family']}_{unit}"
    return _Library(f"{name}-{cache.key_of(source)}.so", *cache.contents(source, name, portable=portable))


def _wanted(handles: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Handle and unit of each kernel that energies and forces call; without splines, nothing is looked up in tables."""
    specs = [registry.spec_of(handle) for handle in handles]
    splines = any(spec["family"] == "spline" for spec in specs)
    for handle, spec in zip(handles, specs, strict=True):
        for unit in registry.family_of(spec).FORCES:
            if splines or not unit.startswith("table_"):
                yield handle, unit


def _stated(handle: int) -> int:
    return handle if registry.takes_handle(handle) else _WITHOUT_HANDLE


def _extensions() -> set[str]:
    """Extensions of this processor that kernels built for it may use."""
    return {flag for flag in prebuilt.flags() if flag.startswith(_EXTENSIONS) or flag in _MORE_EXTENSIONS}


def abi() -> str:
    """Digest of how ops and kernels are called: files and libraries with another one do not go together."""
    units: dict[str, Any] = {}
    for name in sorted(registry.FAMILIES):
        family = registry.family_of({"family": name})
        units[name] = {unit: [kind.__name__ for kind in kinds] for unit, kinds in sorted(family.UNITS.items())}
    stated = json.dumps([_CONVENTION, torch_ops.schemas(), units], sort_keys=True)
    return hashlib.sha256(stated.encode()).hexdigest()[:16]
