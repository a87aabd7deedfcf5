"""Kernels by spec and by handle.

A *spec* is a small JSON object that describes a kernel completely: its family, data type and shapes. A
*handle* is the 63-bit hash of a spec; ops take it as an integer argument, so it can be part of an
exported graph. A *unit* is one C function of a kernel, compiled when it is first called.

A family is a module with

- ``OPS``: dotted path of the module that defines the torch ops;
- ``UNITS``: name of each unit and the types of its arguments (``ctypes``);
- ``FORCES``: the units that energies and forces call;
- ``check(spec)``: raises ``KernelError`` unless the spec, which may come from an untrusted file, is valid;
- ``sizes(spec)``: the numbers, by name, that the shapes of results depend on besides those of arguments;
- ``source(spec, unit)``: the C++ source text, which defines a function with the unit's name.
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import functools
import hashlib
import importlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from equipot.errors import problem, unknown
from equipot_kernels._build import cache
from equipot_kernels._build.errors import KernelError

Spec = Mapping[str, Any]

FAMILIES: dict[str, str] = {
    "contraction": "equipot_kernels._contraction.contraction_family",
    "convolution": "equipot_kernels._convolution.family",
    "coupling": "equipot_kernels._contraction.coupling_family",
    "edge_lists": "equipot_kernels._edge_lists",
    "edge_pairs": "equipot_kernels._edge_pairs",
    "environment": "equipot_kernels._contraction.environment_family",
    "initial": "equipot_kernels._contraction.initial_family",
    "spline": "equipot_kernels._spline.family",
    "type_lists": "equipot_kernels._typed.lists",
    "typed": "equipot_kernels._typed.family",
}
"""Name of a family and its module."""


class Family(Protocol):
    """What the module of a family defines."""

    OPS: str
    UNITS: dict[str, Sequence[Any]]
    FORCES: Sequence[str]

    def check(self, spec: Spec) -> None:
        """Raise ``KernelError`` if the spec is not valid."""

    def sizes(self, spec: Spec) -> dict[str, int]:
        """Numbers that the shapes of results depend on."""

    def source(self, spec: Spec, unit: str) -> str:
        """The C++ source text of a unit."""


OF_ENGINES = "specs_of_loaded"
"""Op that an engine's library defines: the specs of the files that it has loaded."""

_specs: dict[int, dict[str, Any]] = {}
_functions: dict[tuple[int, str], Callable[..., None]] = {}


def family_of(spec: Spec) -> Family:
    """The module of a spec's family.

    Raises:
        KernelError: If this version does not have the family.
    """
    if not isinstance(spec, Mapping):
        raise KernelError(problem("kernels", "a spec must be a JSON dict", got=spec))
    name = str(spec.get("family"))
    if name not in FAMILIES:
        raise KernelError(unknown("kernels", name, FAMILIES, "family", hint="pip install --upgrade equipot-kernels"))
    return cast("Family", importlib.import_module(FAMILIES[name]))


def handle_of(spec: Spec) -> int:
    """Register a spec.

    Args:
        spec: JSON values only.

    Returns:
        Its handle.

    Raises:
        KernelError: If the spec is not valid.
    """
    try:
        text = json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise KernelError(problem("kernels", f"a spec must hold JSON values only ({error})")) from None
    handle = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    if handle not in _specs:
        family_of(spec).check(spec)
        _specs[handle] = json.loads(text)
    return handle


def spec_of(handle: int) -> dict[str, Any]:
    """The spec behind a handle.

    Raises:
        KernelError: If this process has not seen it.
    """
    if handle not in _specs:
        _ask_engines()
    try:
        return _specs[handle]
    except KeyError:
        hint = "load compiled models with equipot, which registers the kernels listed in their manifest"
        raise KernelError(problem("kernels", "no kernel has this handle", got=handle, hint=hint)) from None


def _ask_engines() -> None:
    """Register the kernels of files that an engine in this process loaded before this package was imported."""
    import torch

    name = f"equipot_kernels::{OF_ENGINES}"
    if torch._C._dispatch_has_kernel(name):  # noqa: SLF001 - torch has no public question
        for specs in json.loads(getattr(torch.ops.equipot_kernels, OF_ENGINES)()):
            for spec in specs:
                handle_of(spec)


@functools.lru_cache(maxsize=4096)
def sizes(handle: int) -> Mapping[str, int]:
    """Numbers that the shapes of a kernel's results depend on, by name.

    Args:
        handle: From ``handle_of``.

    Raises:
        KernelError: If the handle is unknown.
    """
    spec = spec_of(handle)
    return family_of(spec).sizes(spec)


def takes_handle(handle: int) -> bool:
    """Whether the ops of a kernel take its handle: those of families with a single spec do not.

    Args:
        handle: From ``handle_of``.
    """
    return len(spec_of(handle)) > 1


def import_ops() -> None:
    """Register the ops of all families."""
    for name in FAMILIES.values():
        importlib.import_module(importlib.import_module(name).OPS)


def function(handle: int, unit: str) -> Callable[..., None]:
    """The C function of a unit, built if necessary.

    Args:
        handle: From ``handle_of``.
        unit: One of the family's units.

    Raises:
        KernelError: If the handle is unknown, or the unit cannot be built.
    """
    found = _functions.get((handle, unit))
    if found is not None:
        return found
    spec = spec_of(handle)
    family = family_of(spec)
    library = cache.load(family.source(spec, unit), f"{spec['family']}_{unit}")
    made = getattr(library, unit)
    made.argtypes, made.restype = list(family.UNITS[unit]), None
    _functions[handle, unit] = made
    return cast("Callable[..., None]", made)


def kernel_source(spec: Spec, unit: str) -> str:
    """The C++ source text of a unit, for engines that call kernels without Python.

    Args:
        spec: JSON values only, as in the manifest of a compiled file.
        unit: One of the family's units.

    Raises:
        KernelError: If the spec is not valid, or its family has no such unit.
    """
    family = family_of(spec)
    family.check(spec)
    if unit not in family.UNITS:
        raise KernelError(unknown("kernels", unit, family.UNITS, "unit"))
    return family.source(spec, unit)


def build(units: Iterable[tuple[int, str]]) -> None:
    """Build several units in parallel, with one compiler process per processor.

    Args:
        units: Pairs of handle and unit.

    Raises:
        KernelError: The first failure.
    """
    wanted = list(dict.fromkeys(units))
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for _ in pool.map(lambda pair: function(*pair), wanted):
            pass


def prepare(specs: Iterable[Spec]) -> None:
    """Register the ops and kernels of a compiled model.

    Args:
        specs: From the manifest of the compiled file.

    Raises:
        KernelError: If this version does not know a spec, or kernels cannot be built here.
    """
    lists = []
    for spec in specs:
        handle = handle_of(spec)
        importlib.import_module(family_of(spec).OPS)
        if spec["family"] in ("edge_lists", "type_lists"):
            lists.append((handle, spec["family"]))
    # Every model calls these small functions: a missing compiler is reported here, not by torch in the middle of a call.
    build(lists)


POINTER, INTEGER, NUMBER = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
"""Types of arguments: a tensor's ``data_ptr()`` or None, an integer, a float."""
