"""Read the options of a component from its code: name, type, default and documentation.

``equipot describe``, the reference pages and the conformance tests of plugins use it.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import itertools
import re
import textwrap
from collections.abc import Callable
from typing import Any

from equipot.validation import options_of


@dataclasses.dataclass(frozen=True)
class OptionDoc:
    """An option of a component."""

    name: str
    annotation: str
    default: str
    """The default as in source code; empty if the option is required."""
    doc: str

    @property
    def unit(self) -> str:
        """The unit in the documentation, as in "Cutoff radius in Å"; empty without unit.

        Example:
            >>> OptionDoc("width", "float", "0.5", "Width of the switch in Å, at least 0.1.").unit
            'Å'
        """
        found = _UNIT.search(self.doc)
        return "" if found is None else found["unit"] or found["last"] or "as the data"


_UNITS = ("eV/Å³", "eV/Å²", "eV/Å", "eV", "meV", "1/Å", "Å³", "Å²", "Å", "Bohr", "kcal/mol", "GPa", "K", "fs", "e")
_UNIT = re.compile(rf"\bin (?P<unit>{'|'.join(_UNITS)})(?![\w/])|, (?P<last>{'|'.join(_UNITS)})\.?$|in the data's unit")


def describe_options(target: Callable[..., Any]) -> list[OptionDoc]:
    """Options of a class or function, in the order of its signature.

    Args:
        target: A dataclass, with docstrings under its fields, or a callable, with a section ``Args``.

    Returns:
        An item per option; ``doc`` is empty for an undocumented option.
    """
    target = options_of(target)
    docs = _argument_docs(target)
    if dataclasses.is_dataclass(target):
        docs |= _field_docs(target)
    described = []
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
            continue
        if name == "model" and not inspect.isclass(target):
            continue
        default = "" if parameter.default is inspect.Parameter.empty else _default(parameter.default)
        described.append(OptionDoc(name, _readable(parameter.annotation), default, docs.get(name, "")))
    return described


def _default(value: object) -> str:
    text = repr(value)
    return "{}" if "factory" in text else text


def _readable(annotation: Any) -> str:
    """The annotation in source form, without metadata for pydantic."""
    if annotation is inspect.Parameter.empty:
        return ""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"(?:typing\.)?Annotated\[(.+?), .*\]", r"\1", text)


def _field_docs(cls: Any) -> dict[str, str]:
    """The docstrings under the fields of a dataclass and its bases, as far as their source can be read."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        body: list[ast.stmt] = []
        if "__dataclass_fields__" in vars(base):
            with contextlib.suppress(OSError, TypeError, SyntaxError):
                body = getattr(ast.parse(textwrap.dedent(inspect.getsource(base))).body[0], "body", [])
        for statement, following in itertools.pairwise(body):
            if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
                continue
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                docs[statement.target.id] = inspect.cleandoc(str(following.value.value)).replace("\n", " ")
    return docs


def _argument_docs(target: Callable[..., Any]) -> dict[str, str]:
    """The section ``Args`` of a docstring; for a plain class also that of ``__init__``."""
    function = target.__init__ if inspect.isclass(target) else target
    text = inspect.cleandoc(getattr(function, "__doc__", None) or "") + "\n" + inspect.cleandoc(target.__doc__ or "")
    match = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", text, flags=re.MULTILINE)
    if match is None:
        return {}
    docs: dict[str, str] = {}
    current = ""
    for line in textwrap.dedent(match.group(1)).splitlines():
        start = re.match(r"(\w+)(?: \(.*?\))?:\s*(.*)", line)
        if start and not line.startswith((" ", "\t")):
            current = start.group(1)
            docs[current] = start.group(2)
        elif current and line.strip():
            docs[current] += " " + line.strip()
    return docs
