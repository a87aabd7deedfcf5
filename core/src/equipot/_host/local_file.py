"""Use a local Python file as a plugin to try something out: ``equipot COMMAND --plugin ./my_model.py``.

The file may implement hooks like the module of a plugin. Otherwise every model builder, pair potential, energy
term and statistics manager that it defines is declared by its class name, and every loss, callback and other part
that has the base class of its kind by its path, ``my_model.MyLoss``.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from equipot._importing import load_object
from equipot._interrupts import Interrupted
from equipot.declarations import PART_KINDS, Entry, PartEntry
from equipot.errors import PluginError, problem

VERSION = "local file"
"""Used instead of the version of an installed plugin."""

NOTICE = (
    "local file; its models can be trained, evaluated and used from checkpoints (always with --plugin), but not "
    "packaged or compiled; 'equipot plugins new' makes a plugin of it"
)


def load_file(path: str) -> ModuleType:
    """Import a local file, if it was not before, as a module named after it; the name must not hide another module."""
    file, name = Path(path).resolve(), Path(path).stem
    if file.suffix != ".py" or not file.is_file():
        raise PluginError(problem("--plugin", "is not a Python file", got=path, hint="write ./my_model.py"))
    if not name.isidentifier():
        raise PluginError(problem("--plugin", "its name is not a Python identifier", got=path, hint="rename it"))
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(file):
        return known
    found = importlib.util.find_spec(name) if known is None else known.__spec__
    if known is not None or (found is not None and found.origin != str(file)):
        raise PluginError(problem("--plugin", f"its name hides the module {name!r}", got=path, hint="rename it"))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - a .py file has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (KeyboardInterrupt, Interrupted):
        raise
    except BaseException as error:
        del sys.modules[name]
        raise PluginError(f"--plugin {path}{_line(error, file)}: {type(error).__name__}: {error}") from error
    return module


def _line(error: BaseException, file: Path) -> str:
    """The text ``, line N`` if it is known where in the file an error was raised."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines.append(error.lineno)
    return f", line {lines[-1]}" if lines else ""


def entries_of(module: ModuleType, kinds: Mapping[str, type[Entry]]) -> list[tuple[str, Entry]]:
    """Kind and declaration of every component that a file without hooks defines; there must be at least one."""
    found: list[tuple[str, Entry]] = []
    unfinished: list[str] = []
    part_bases = _imported_part_bases()
    bases = {**part_bases, **{load_object(entry.base): kind for kind, entry in kinds.items() if entry.base}}
    for name, value in vars(module).items():
        if name.startswith("_") or not inspect.isclass(value) or value.__module__ != module.__name__:
            continue
        base = next((base for base in value.__mro__ if base in bases), None)  # the nearest
        if base is None:
            continue
        if inspect.isabstract(value):
            lacking = ", ".join(sorted(vars(value)["__abstractmethods__"]))
            unfinished.append(f"{name} lacks {lacking}")
            continue
        kind, target = bases[base], f"{module.__name__}.{name}"
        summary = (value.__doc__ or name).strip().split("\n")[0]
        if base in part_bases:
            found.append(("parts", PartEntry(kind=kind, target=target, summary=summary)))
        else:
            found.append((kind, kinds[kind](name=name, target=target, summary=summary)))
    if not found:
        hint = "define a subclass of equipot.model.ModelBuilder or PairPotential, or a hookimpl"
        what = "".join(f", since {one}" for one in unfinished[:1])
        raise PluginError(f"declares nothing{what}; {hint}")
    return found


def _imported_part_bases() -> dict[type, str]:
    """Base classes of parts and their kinds; those that no file has imported yet have no subclass in one."""
    bases: dict[type, str] = {}
    for kind, path in PART_KINDS.items():
        if path and path.rpartition(".")[0] in sys.modules:
            bases[load_object(path)] = kind  # model_part comes after embedding, and stands for both
    return bases
