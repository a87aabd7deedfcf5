"""What all conformance classes share: which component is tested, known failures, common checks."""

from __future__ import annotations

import functools
import inspect
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from equipot.describe import describe_options
from equipot.plugins import plugins
from equipot.testing.checks import check_that

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CHECK = "test_"
"""Prefix of the methods that are checks."""


class Conformance:
    """Base of the conformance classes; a plugin's test subclasses one of those.

    ``expected_failures`` names checks that a component is known to fail, with the reason. They are
    strict: a check that passes after all must be taken out of the list.
    """

    kind: ClassVar[str]
    """A key of ``equipot.plugins.KINDS``."""

    name: ClassVar[str] = ""
    """Registered name of the component."""

    target: ClassVar[Any] = None
    """The class or function itself, for one that no plugin declares."""

    options: ClassVar[Mapping[str, Any]] = {}
    """Options it is tested with."""

    expected_failures: ClassVar[Mapping[str, str]] = {}
    """Check (without ``test_``) to the reason why it fails."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Mark expected failures.

        Raises:
            TypeError: If a name is of no check.
        """
        super().__init_subclass__(**kwargs)
        for check, reason in vars(cls).get("expected_failures", {}).items():
            method = getattr(cls, CHECK + check, None)
            if method is None:
                raise TypeError(f"{cls.__name__}.expected_failures: no check named {check!r}")
            setattr(cls, CHECK + check, pytest.mark.xfail(strict=True, reason=reason)(_copied(method)))

    def component(self) -> Any:
        """The class or function under test."""
        return self.target if self.target is not None else plugins().load(self.kind, self.name)

    # ----------------------------------------------------------------- checks

    def test_options_documented(self) -> None:
        """Each option has a docstring (a field's, or a line under ``Args``)."""
        bare = [option.name for option in describe_options(self.component()) if not option.doc]
        check_that(not bare, f"every option must be documented, these are not: {bare}")

    def test_no_open_options(self) -> None:
        """No ``*args`` or ``**kwargs``: a misspelled option must not vanish."""
        parameters = inspect.signature(self.component()).parameters.values()
        openers = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        bad = [str(parameter) for parameter in parameters if parameter.kind in openers]
        check_that(not bad, f"options must all be named in the signature, found {bad}")

    def test_declaration_imports_no_torch(self) -> None:
        """Importing the module that declares the component imports nothing heavy."""
        if self.target is not None:
            return
        plugin = plugins().lookup(self.kind, self.name).plugin
        module = next(record.target for record in plugins().records if record.id == plugin)
        code = (
            f"import sys, {module}\nprint(*sorted({{'torch', 'e3nn', 'lightning', 'numpy', 'ase'}} & set(sys.modules)))"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        done = subprocess.run(  # noqa: S603 - our own interpreter on a fixed text
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
        )
        check_that(not done.stdout.strip(), f"importing {module} must stay light, it imports {done.stdout.strip()}")


def _copied(method: Callable[..., None]) -> Callable[..., None]:
    """A copy to mark, so that other subclasses keep the unmarked method."""

    @functools.wraps(method)
    def copy(self: Any) -> None:
        method(self)

    return copy
