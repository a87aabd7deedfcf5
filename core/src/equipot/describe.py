"""Read the options of a component from its code: name, type, default and documentation.

``equipot describe``, the reference pages and the conformance tests of plugins use it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import re
from collections.abc import Callable
from typing import Any

import docstring_parser
from docstring_parser import DocstringStyle

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
    docs = _docs(target)
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


def _docs(target: Any) -> dict[str, str]:
    """The sections ``Args`` of docstrings and the docstrings under fields, as far as the source can be read."""
    if not inspect.isclass(target):
        return _params(docstring_parser.parse_from_object(target, DocstringStyle.GOOGLE))
    docs: dict[str, str] = {}
    for base in reversed(target.__mro__[1:-1]):  # a thin subclass of a foreign class has its options
        if "__dataclass_fields__" in vars(base):
            docs |= _params(docstring_parser.parse_from_object(base, DocstringStyle.GOOGLE))
        else:
            with contextlib.suppress(docstring_parser.ParseError):
                docs |= _params(docstring_parser.parse(vars(base).get("__doc__") or "", DocstringStyle.GOOGLE))
    for one in (target.__init__, target):
        docs |= _params(docstring_parser.parse_from_object(one, DocstringStyle.GOOGLE))
    return docs


def _params(found: Any) -> dict[str, str]:
    return {option.arg_name: " ".join((option.description or "").split()) for option in found.params}


@dataclasses.dataclass(frozen=True)
class MethodDoc:
    """A method of a base class that the author of a plugin writes or may override."""

    name: str
    signature: str
    """Arguments and result as in source code."""
    doc: str
    """Its docstring."""
    required: bool
    """Whether a subclass must have it."""


@dataclasses.dataclass(frozen=True)
class ClassDoc:
    """A public class of core that plugins derive from or use."""

    path: str
    doc: str
    """Its docstring."""
    methods: list[MethodDoc]
    """Public ones that it defines itself, those to write first."""
    options: list[OptionDoc]


@dataclasses.dataclass(frozen=True)
class HookDoc:
    """A hook that plugins implement."""

    name: str
    doc: str
    """What is declared, in one paragraph."""
    example: str
    """Lines of Python, without prompts."""
    entry: str
    """Dotted path of the declarations that it yields."""
    fields: list[OptionDoc]
    """Of such a declaration."""
    base: ClassDoc | None
    """The class that targets derive from; None if there is none."""
    namespace: str
    """Module under which configs find declared names; empty if there is none."""


def describe_hook(name: str) -> HookDoc:
    """Read a hook from its specification.

    Args:
        name: With its prefix, e.g. ``equipot_modifiers``.
    """
    from equipot import hookspecs
    from equipot._importing import load_object
    from equipot.plugins import HOOKS, NAMESPACES

    kind = name.removeprefix("equipot_")
    entry = HOOKS[kind]
    text, _, example = (inspect.getdoc(getattr(hookspecs, name)) or "").partition("Example:")
    code = [line[4:] for line in inspect.cleandoc(example).splitlines() if line.startswith((">>> ", "... "))]
    return HookDoc(
        name=name,
        doc=" ".join(text.split()),
        example="\n".join(code),
        entry=f"equipot.declarations.{entry.__name__}",
        fields=describe_options(entry),
        base=describe_class(load_object(entry.base), entry.base) if entry.base else None,
        namespace=NAMESPACES.get(kind, ""),
    )


def describe_class(target: type, path: str) -> ClassDoc:
    """Read a class: its docstring, its own public methods and its options.

    Args:
        target: The class.
        path: Dotted path by which it is imported.
    """
    abstract: frozenset[str] = getattr(target, "__abstractmethods__", frozenset())
    methods = [
        MethodDoc(name, _signature(value), inspect.getdoc(value) or "", name in abstract)
        for name, value in vars(target).items()
        if inspect.isfunction(value) and (not name.startswith("_") or name in abstract)
    ]
    options = describe_options(target) if dataclasses.is_dataclass(target) else []
    doc = inspect.cleandoc(vars(target).get("__doc__") or "")
    return ClassDoc(path, doc, sorted(methods, key=lambda one: not one.required), options)


def _signature(function: Callable[..., Any]) -> str:
    """Arguments without ``self``, in source form."""
    found = inspect.signature(function)
    arguments = [one for name, one in found.parameters.items() if name != "self"]
    return str(found.replace(parameters=arguments)).replace("'", "")
