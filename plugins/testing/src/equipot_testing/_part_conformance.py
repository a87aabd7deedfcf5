"""The conformance class of parts: what configs name by a path."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
from importlib import metadata
from typing import ClassVar

from equipot.declarations import PART_KINDS, PartEntry
from equipot_testing._base import Conformance
from equipot_testing._checklist import NotApplicable, check_that


class PartConformance(Conformance):
    """The checks of a part; ``name`` is its path.

    Example:
        >>> class TestSoftAdapt(PartConformance):
        ...     name = "equipot_toolbox.SoftAdapt"
    """

    kind = "parts"
    basics = ("of_its_kind",)

    part_kind: ClassVar[str] = ""
    """A key of ``equipot.declarations.PART_KINDS``, for a ``target`` that is not declared."""

    def extended_packages(self) -> set[str]:
        """Those of the plugins that its distribution requires: a part may be one for another plugin's component."""
        from equipot.plugins import plugins

        if self.target is not None:
            return set()
        declared = plugins().lookup(self.kind, self.name)
        with contextlib.suppress(metadata.PackageNotFoundError):
            required = {_plain(line) for line in metadata.requires(declared.distribution) or []}
            return {one.package for one in plugins().records if _plain(one.distribution) in required}
        return set()

    def test_of_its_kind(self) -> None:
        """It is a class, and derives from the class of its kind.

        Tolerance: none.
        Why: configs can only name classes, and training calls the methods of that class.
        Goes wrong: a function that makes the object; a loss derived from ``torch.nn.Module`` alone.
        """
        from equipot.plugins import plugins

        kind, component = self.part_kind, self.component()
        if self.target is None:
            entry = plugins().lookup(self.kind, self.name).entry
            check_that(isinstance(entry, PartEntry), f"{self.name} must be declared by a PartEntry")
            kind = getattr(entry, "kind", "")
        check_that(inspect.isclass(component), f"a part must be a class, got a {type(component).__name__}")
        base = PART_KINDS[kind]
        if base:
            module, _, name = base.rpartition(".")
            derived = issubclass(component, getattr(importlib.import_module(module), name))
            check_that(derived, f"a {kind} must derive from {base}")

    def test_path_is_public(self) -> None:
        """No part of its path begins with an underscore.

        Tolerance: none.
        Why: configs and stored models contain the path, so it must stay.
        Goes wrong: the path of the module that defines the class, in place of the package that exports it.
        """
        if self.target is not None:
            raise NotApplicable("no installed plugin declares it")
        private = [part for part in self.name.split(".") if part.startswith("_")]
        check_that(not private, f"export the class from the package and declare that path, found {private}")


def _plain(requirement: str) -> str:
    """The distribution of a requirement in normalised form (PEP 503)."""
    name = re.match(r"[A-Za-z0-9._-]*", requirement)
    return re.sub(r"[-_.]+", "-", name[0] if name else "").lower()
