"""Families of one kernel only: the spec is the name of the family, and the C++ source is always the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from equipot.errors import problem
from equipot_kernels._build.errors import KernelError

Check = Callable[[Mapping[str, Any]], None]
Sizes = Callable[[Mapping[str, Any]], dict[str, int]]
Source = Callable[[Mapping[str, Any], str], str]


def single(spec: Mapping[str, Any], text: str) -> tuple[Check, Sizes, Source]:
    """Make the functions ``check``, ``sizes`` and ``source`` of the module of such a family.

    Args:
        spec: The only one; its value of ``family`` stands in the error about another one.
        text: The C++ source text of its units.
    """

    def check(given: Mapping[str, Any]) -> None:
        if dict(given) != dict(spec):
            raise KernelError(problem("kernels", f"is not a spec of {spec['family']}, which has no options", got=given))

    def sizes(given: Mapping[str, Any]) -> dict[str, int]:  # noqa: ARG001 - as all families have it
        return {}

    def source(given: Mapping[str, Any], unit: str) -> str:  # noqa: ARG001 - as all families have it
        return text

    return check, sizes, source
