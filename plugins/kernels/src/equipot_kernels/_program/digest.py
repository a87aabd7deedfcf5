"""A digest of all that a program depends on, except for the values of parameters and buffers.

The names of options are not enough, since a model may be put together by hand: every attribute of every module counts,
and the source files of all packages that its classes and functions come from.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from equipot.model import GraphModel

_ATOMS = (bool, int, float, complex, str, bytes, type(None), type(...), torch.dtype, torch.device, torch.layout, slice)
_NOT_COMPUTED = ("_parameters", "_buffers", "_modules", "training", "evaluator", "config", "modifiers", "hints")
"""Attributes of modules that are read otherwise, or from which nothing is computed."""
_OWN = "equipot_kernels"


def digest(model: GraphModel) -> str:
    """The digest of a model in its mode, in training with the parameters that it trains, as 64 hexadecimal digits."""
    reader = _Reader(training=model.training)
    reader.visit(model)
    reader.add("mode", model.training, torch.__version__, torch.get_default_dtype())
    for package in sorted({*reader.packages, _OWN, "equipot"} - {"torch", "builtins"}):
        reader.add(package, _source_digest(package))
    return reader.hash.hexdigest()


class _Reader:
    """Reads objects into a hash; what was read before counts by its number."""

    def __init__(self, *, training: bool) -> None:
        self._training = training
        self.hash = hashlib.sha256()
        self.packages: set[str] = set()
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no id is used twice

    def add(self, *values: Any) -> None:
        self.hash.update(repr(values).encode())

    def visit(self, value: Any) -> None:
        """Add a value with all it holds."""
        if isinstance(value, _ATOMS):
            return self.add(type(value).__name__, value)
        if id(value) in self._seen:
            return self.add("again", self._seen[id(value)])
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)
        return self._add_held(value)

    def _add_held(self, value: Any) -> None:
        if isinstance(value, torch.nn.Module):
            self._module(value)
        elif isinstance(value, torch.Tensor):
            self._tensor(value, contents=True)
        elif isinstance(value, np.ndarray):
            self.add("array", value.shape, value.dtype, value.tobytes())
        elif isinstance(value, (list, tuple, set, frozenset, dict)):
            self._container(value)
        elif isinstance(
            value, (type, types.FunctionType, types.MethodType, functools.partial, types.BuiltinFunctionType)
        ):
            self._code(value)
        else:
            self._object(value)

    def _named(self, kind: Any) -> None:
        module = str(getattr(kind, "__module__", ""))
        self.packages.add(module.partition(".")[0])
        self.add(module, getattr(kind, "__qualname__", repr(kind)))

    def _module(self, module: torch.nn.Module) -> None:
        self._named(type(module))
        for kind in ("_parameters", "_buffers"):
            for name, tensor in vars(module)[kind].items():
                self.add(kind, name)
                if tensor is not None:
                    self._tensor(tensor, contents=False)
        for name, value in vars(module).items():
            if name not in _NOT_COMPUTED and "hooks" not in name:
                self.add(name)
                self.visit(value)
        for name, child in vars(module)["_modules"].items():
            self.add(name)
            self.visit(child)

    def _tensor(self, tensor: torch.Tensor, *, contents: bool) -> None:
        self.add("tensor", tuple(tensor.shape), tensor.dtype, self._training and tensor.requires_grad)
        if contents:
            self.hash.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())

    def _container(self, value: Any) -> None:
        self.add(type(value).__name__, len(value))
        unordered = isinstance(value, (set, frozenset))
        items = value.items() if isinstance(value, dict) else sorted(value, key=repr) if unordered else value
        for item in items:
            if isinstance(value, dict):
                self.visit(item[0])
                self.visit(item[1])
            else:
                self.visit(item)

    def _code(self, value: Any) -> None:
        if isinstance(value, functools.partial):
            self.visit([value.func, value.args, value.keywords])
        elif isinstance(value, types.MethodType):
            self.visit([value.__func__, value.__self__])
        else:
            self._named(value)
            closure = getattr(value, "__closure__", None) or ()
            self.visit([cell.cell_contents for cell in closure])
            self.visit([getattr(value, "__defaults__", None), getattr(value, "__kwdefaults__", None)])

    def _object(self, value: Any) -> None:
        self._named(type(value))
        held = getattr(value, "__dict__", None)
        if dataclasses.is_dataclass(value):
            held = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
        self.visit(repr(value) if held is None else dict(held))


@functools.lru_cache(maxsize=64)
def _source_digest(package: str) -> str:
    """Of all Python and C++ files of a package, by path and contents; of the version if it has none."""
    module = sys.modules.get(package)
    spec = getattr(module, "__spec__", None) or importlib.util.find_spec(package)
    folders = [Path(one) for one in getattr(spec, "submodule_search_locations", None) or ()]
    files = sorted(path for folder in folders for ending in ("*.py", "*.cpp") for path in folder.rglob(ending))
    origin = getattr(spec, "origin", None) or getattr(module, "__file__", None)
    if not files and origin and Path(origin).is_file():
        files = [Path(origin)]
    found = hashlib.sha256()
    for path in files:
        contents = path.read_bytes()
        found.update(f"{path.name} {len(contents)} ".encode() + contents)
    return found.hexdigest()
