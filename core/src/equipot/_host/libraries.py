"""What an import does to libraries: functions of theirs that it replaces, and the time that they themselves take."""

from __future__ import annotations

import importlib.abc
import inspect
import operator
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NAMESPACES: dict[str, tuple[str, ...]] = {
    "builtins": ("builtins",),
    "numpy": ("numpy", "numpy.linalg", "numpy.fft", "numpy.random"),
    "torch": (
        "torch", "torch.Tensor", "torch.nn", "torch.nn.Module", "torch.nn.functional", "torch.linalg", "torch.fft",
        "torch.special", "torch.autograd",
    ),
}  # fmt: skip
"""By library: the modules and classes whose public functions and classes must stay what they are."""

REQUIRED = (
    "torch", "e3nn", "lightning", "torchmetrics", "numpy", "scipy", "ase", "matplotlib", "pydantic", "hydra",
    "omegaconf",
)  # fmt: skip
"""Libraries that everybody imports sooner or later, so that their time is nobody's fault."""

_REWRAPPING = ("torch", "lightning", "lightning_fabric", "pytorch_lightning")
"""Libraries that wrap functions of torch when they are imported: ``torch.manual_seed``, ``torch.compile``."""


class LibraryWatch(importlib.abc.MetaPathFinder):
    """Remembers functions when the block begins, or as soon as the block has imported their library.

    It is a finder, but finds nothing itself: it asks the others, and looks at the library right after its import.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        """Time that the block spent importing ``REQUIRED`` libraries."""
        self._before: dict[str, dict[str, Any]] = {}
        self._depth = 0

    def __enter__(self) -> None:
        for library in NAMESPACES:
            self._remember(library)
        sys.meta_path.insert(0, self)

    def __exit__(self, *error: object) -> None:
        sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders find; the loader of a library is followed."""
        if fullname not in NAMESPACES and (self._depth or fullname.partition(".")[0] not in REQUIRED):
            return None  # most of the modules of a library: it imports them itself
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        found = (finder.find_spec(fullname, path, target) for finder in others if hasattr(finder, "find_spec"))
        spec = next((one for one in found if one is not None), None)
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: Any) -> None:
        execute = loader.exec_module

        def followed(module: ModuleType) -> None:
            loader.exec_module = execute
            self._depth += 1
            start = time.perf_counter()
            try:
                execute(module)
            finally:
                self._depth -= 1
                self.seconds += 0.0 if self._depth else time.perf_counter() - start
            self._remember(module.__name__)

        loader.exec_module = followed

    def _remember(self, library: str) -> None:
        for path in NAMESPACES.get(library, ()):
            if path not in self._before and (space := _namespace(path)) is not None:
                self._before[path] = dict(vars(space))

    def undo(self) -> list[str]:
        """Put replaced functions back, and return their dotted paths."""
        return [f"{path}.{name}" for path, before in self._before.items() for name in _restored(path, before)]


def _namespace(path: str) -> Any:
    """A module or class, None if it is not imported."""
    parent, _, name = path.rpartition(".")
    return sys.modules.get(path) or vars(sys.modules.get(parent, object)).get(name)


def _restored(path: str, before: dict[str, Any]) -> Iterator[str]:
    space = _namespace(path)
    now = vars(space)
    if now.keys() == before.keys() and all(map(operator.is_, now.values(), before.values())):
        return  # as nearly always; the rest takes ten times as long
    for name, value in before.items():
        if now.get(name) is not value and _counts(space, name, value) and not _rewrapped(now.get(name), name):
            setattr(space, name, value)
            yield name
    if inspect.isclass(space):  # a method of a base class in C can only be hidden
        inherited = {name for base in space.__mro__[1:-1] for name in vars(base)}
        for name in sorted((now.keys() - before.keys()) & inherited):
            delattr(space, name)
            yield name


def _counts(space: Any, name: str, value: object) -> bool:
    if inspect.isclass(space):
        return callable(value) or hasattr(value, "__get__")
    return callable(value) and not name.startswith("_")


def _rewrapped(value: Any, name: str) -> bool:
    """Whether a library has put its own wrapper around a function."""
    module = getattr(value, "__globals__", {}).get("__name__", "")
    return module.partition(".")[0] in _REWRAPPING and getattr(value, "__name__", "") == name
