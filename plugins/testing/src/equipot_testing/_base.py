"""The base of all conformance classes: the component under test, known failures, checks of the declaration."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from equipot_testing._checklist import (
    PREFIX,
    Check,
    NotApplicable,
    check_that,
    checks_of,
    expecting_failure,
    starts_python,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEAVY = ("torch", "e3nn", "lightning", "numpy", "ase")
"""What a declaring module must not import."""

_PROBE = """\
import contextlib, importlib, io, sys
import equipot.data, equipot.model, lightning
from equipot_testing._global_state import changes, global_state

before, text = global_state(), io.StringIO()
with contextlib.redirect_stdout(text):
    importlib.import_module(sys.argv[1])
said = [f"the output: it prints {text.getvalue()[:60]!r}"] if text.getvalue() else []
print("; ".join(changes(before) + said))
"""
"""Imports a module in a new process and prints what that changed."""


class Conformance:
    """Base of the conformance classes; a plugin's test subclasses one of those.

    ``expected_failures`` names checks that a component is known to fail, with the reason. They are
    strict: a check that passes must be removed from the list.
    """

    kind: ClassVar[str]
    """A key of ``equipot.plugins.KINDS``, or ``parts``."""

    declared_kind: ClassVar[str] = ""
    """Kind of the declaration, if it is another one than ``kind``."""

    name: ClassVar[str] = ""
    """Registered name of the component; of a part, its path."""

    target: ClassVar[Any] = None
    """The class or function itself, if no plugin declares it."""

    options: ClassVar[Mapping[str, Any]] = {}
    """Options with which it is tested."""

    basics: ClassVar[tuple[str, ...]] = ()
    """Checks that must pass for later ones to mean anything."""

    expected_failures: ClassVar[Mapping[str, str]] = {}
    """For each check (without ``test_``), the reason why it fails."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Mark expected failures.

        Raises:
            TypeError: If there is no check of a given name.
        """
        super().__init_subclass__(**kwargs)
        for check, reason in vars(cls).get("expected_failures", {}).items():
            method = getattr(cls, PREFIX + check, None)
            if method is None:
                raise TypeError(f"{cls.__name__}.expected_failures: no check named {check!r}")
            setattr(cls, PREFIX + check, expecting_failure(method, reason))

    @classmethod
    def checks(cls) -> list[Check]:
        """Its checks, the most informative first."""
        return checks_of(cls, Conformance, cls.basics)

    @classmethod
    def registry(cls) -> str:
        """Kind under which plugins declare the component."""
        return cls.declared_kind or cls.kind

    def component(self) -> Any:
        """The class or function under test."""
        from equipot.plugins import plugins

        return self.target if self.target is not None else plugins().load(self.registry(), self.name)

    def declaring_module(self) -> str | None:
        """The module whose hooks declare the component; None if no installed plugin does."""
        from equipot.plugins import LOCAL_FILE, plugins

        if self.target is not None:
            return None
        declared = plugins().lookup(self.registry(), self.name)
        if declared.version == LOCAL_FILE:
            return None
        return next(record.target for record in plugins().records if record.id == declared.plugin)

    def extended_packages(self) -> set[str]:
        """Packages of other plugins that the component's package may import."""
        return set()

    # ----------------------------------------------------------------- checks

    def test_options_documented(self) -> None:
        """Each option has a docstring: under a class's field, or as a line below ``Args``.

        Tolerance: none.
        Why: ``equipot describe``, the schema and the reference pages are made from these texts.
        Goes wrong: a comment next to the field instead of a string under it.
        """
        from equipot.describe import describe_options

        bare = [option.name for option in describe_options(self.component()) if not option.doc]
        check_that(not bare, f"every option must be documented, these are not: {bare}")

    def test_no_open_options(self) -> None:
        """No ``*args`` or ``**kwargs``: every option is named in the signature.

        Tolerance: none.
        Why: a misspelled option in a config would silently be ignored.
        Goes wrong: options passed through to a base class or a library as ``**kwargs``.
        """
        parameters = inspect.signature(self.component()).parameters.values()
        openers = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        bad = [str(parameter) for parameter in parameters if parameter.kind in openers]
        check_that(not bad, f"options must all be named in the signature, found {bad}")

    def test_declaration_imports_no_torch(self) -> None:
        """Importing the module that declares the component imports nothing heavy.

        Tolerance: none of torch, e3nn, lightning, numpy, ase; in a new Python process.
        Why: ``equipot --help`` and every look-up load all installed plugins, including those that a run does not use.
        Goes wrong: the package's ``__init__`` imports the builder; ``plugin.py`` names a class instead of its path.
        """
        module = self.declaring_module()
        if module is None:
            raise NotApplicable("no installed plugin declares it")
        loaded = _heavy_imports_of(module)
        check_that(not loaded, f"importing {module} must stay light, it imports {loaded}")

    @starts_python
    def test_import_has_no_side_effects(self) -> None:
        """Importing the component changes no state of the process and prints nothing.

        Tolerance: none; default dtype and device, threads, precision, random generators, folder, output.
        Why: otherwise installing the plugin changes the results of models that do not use it.
        Goes wrong: ``torch.set_default_dtype`` or ``torch.manual_seed`` at the top of a module; a banner.
        """
        changed = _side_effects_of(self.component().__module__)
        check_that(not changed, f"importing {self.component().__module__} must change nothing, it changes {changed}")

    def test_imports_core_only(self) -> None:
        """The component's package imports from core its public modules only, and no other plugin.

        Tolerance: none; names that begin with an underscore are private.
        Why: private names change without notice, and a plugin that needs another one cannot be installed alone.
        Goes wrong: a helper borrowed from another plugin; ``from equipot.x import _y``.
        """
        package = importlib.import_module(self.component().__module__.split(".")[0])
        if package.__name__ == "equipot" or not getattr(package, "__file__", None):
            raise NotApplicable("it is not in a package of its own")
        bad = list(_forbidden_imports(package.__name__, Path(str(package.__file__)), self.extended_packages()))
        check_that(not bad, f"only public modules of equipot may be imported, found {bad}")


def _python(code: str, module: str) -> str:
    """Standard output of a new Python process that finds the modules this one finds."""
    folders = [path for path in sys.path if path]
    file = getattr(sys.modules.get(module.partition(".")[0]), "__file__", None)
    if file is not None:
        folders.append(str(Path(file).parents[Path(file).name == "__init__.py"]))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    command = [sys.executable, "-c", code, module]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603 - ourselves
    check_that(done.returncode == 0, f"importing {module} in a new process fails: {done.stderr.strip()[-300:]}")
    return done.stdout.strip()


@functools.cache
def _heavy_imports_of(module: str) -> str:
    code = (
        f"import importlib, sys\nimportlib.import_module(sys.argv[1])\nprint(*sorted({set(HEAVY)} & set(sys.modules)))"
    )
    return _python(code, module)


@functools.cache
def _side_effects_of(module: str) -> str:
    return _python(_PROBE, module)


def _forbidden_imports(package: str, init: Path, extended: set[str]) -> Iterator[str]:
    """Imports of private names of core and of other plugins in a package's source files."""
    from equipot.plugins import plugins

    open_to_plugins = {"equipot", "equipot_testing", *extended}
    others = {record.target.split(".")[0] for record in plugins().records} - {package, *open_to_plugins}
    files = sorted(init.parent.rglob("*.py")) if init.name == "__init__.py" else [init]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for path in _imported(node):
                parts = path.split(".")
                private = any(part.startswith("_") and not part.startswith("__") for part in parts)
                if parts[0] in others or (parts[0] in open_to_plugins - {package} and private):
                    yield f"{path} ({file.name}:{getattr(node, 'lineno', 0)})"


def _imported(node: ast.AST) -> list[str]:
    """Dotted paths that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []
