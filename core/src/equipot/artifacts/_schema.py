"""Checks at the door: what is parsed from an untrusted file has the shape and the types that all readers rely on.

It is written without pydantic, whose import would take longer than everything else that ``equipot inspect`` does.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from equipot.errors import ArtifactError, problem

MAX_DEPTH = 64
"""Deepest nesting of containers that is read."""

MAX_NODES = 1_000_000
"""Largest number of entries that are read; a pickle can make a few objects look like endlessly many."""

_MAX_INT = 2**64
_SURROGATE = re.compile("[\ud800-\udfff]")
_HINT = "the file was edited or damaged: get it again"
_HINT_OF_ENTRY = "the file was edited or damaged, or a newer equipot made it: pip install --upgrade equipot"
_WORDS: dict[Any, str] = {
    dict: "a mapping",
    list: "a list",
    tuple: "a list",
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def check_plain(value: object, where: str) -> None:
    """Require dicts with text keys, lists and plain values, so that no walk over them and no JSON of them can fail.

    Args:
        value: What was parsed.
        where: Start of the message.

    Raises:
        ArtifactError: If it is nested too deeply, has too many entries, or holds anything else.
    """
    waiting, count = [(value, 0)], 0
    while waiting:
        item, depth = waiting.pop()
        count += 1
        if count + len(waiting) > MAX_NODES or depth > MAX_DEPTH:
            what = f"must have at most {MAX_NODES} entries, nested at most {MAX_DEPTH} deep"
            raise ArtifactError(problem(where, what, hint=_HINT))
        entries: list[Any] = []
        if type(item) is dict:
            if not all(map(_is_text, item)):
                raise ArtifactError(problem(where, "must have names that are text", hint=_HINT))
            entries = list(item.values())
        elif type(item) in (list, tuple):
            entries = list(item)  # type: ignore[call-overload]
        elif not _is_leaf(item):
            raise ArtifactError(problem(where, "is damaged", got=Shown(item), hint=_HINT))
        waiting += [(entry, depth + 1) for entry in entries]


def _is_text(value: object) -> bool:
    """Whether it is text without lone surrogates, which cannot be encoded."""
    return type(value) is str and (value.isascii() or _SURROGATE.search(value) is None)


def _is_leaf(value: object) -> bool:
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is int:
        return abs(value) < _MAX_INT
    return value is None or type(value) is bool or _is_text(value)


class Shown:
    """A value of a file in a message: its ``repr``, cut to a few words."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        return reprlib.repr(self.value)


def check_fits(value: object, annotation: Any, where: str) -> None:
    """Require that plain containers fit an annotation.

    Args:
        value: As accepted by ``check_plain``.
        annotation: Made of plain types, ``list``, ``tuple``, ``dict``, ``Literal``, unions and ``TypedDict``; a
            ``TypedDict`` accepts no other entries. A float may be given as an integer.
        where: Dotted path that the message starts with.

    Raises:
        ArtifactError: Naming the first place that does not fit.
    """
    for text in _misfits(value, annotation, where):
        raise ArtifactError(f"{text}; {_HINT_OF_ENTRY}")


def _misfits(value: Any, annotation: Any, where: str) -> Iterator[str]:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        found = [list(_misfits(value, choice, where)) for choice in args]
        if [] not in found:
            yield found[0][0]
    elif origin is Literal:
        if type(value) is not str or value not in args:
            yield problem(where, f"must be one of {list(args)}", got=Shown(value))
    elif is_typeddict(annotation):
        yield from _entry_misfits(value, annotation, where)
    elif annotation is not Any:
        kind = origin or annotation
        if _is_a(value, kind):
            yield from _item_misfits(value, kind, args, where)
        else:
            yield problem(where, f"must be {_WORDS[kind]}", got=Shown(value))


def _item_misfits(value: Any, kind: Any, args: tuple[Any, ...], where: str) -> Iterator[str]:
    """What does not fit the annotations of a container's items; nothing for a leaf."""
    if kind is tuple and len(value) != len(args):
        yield problem(where, f"must have {len(args)} items", got=Shown(value))
    elif args:
        items = list(value.items()) if kind is dict else list(enumerate(value))
        kinds = args if kind is tuple else args[-1:] * len(items)
        for (key, item), annotation in zip(items, kinds, strict=True):
            yield from _misfits(item, annotation, f"{where}.{key}")


def _entry_misfits(value: Any, annotation: Any, where: str) -> Iterator[str]:
    if type(value) is not dict:
        yield problem(where, "must be a mapping", got=Shown(value))
        return
    hints = get_type_hints(annotation)
    for key in sorted(annotation.__required_keys__ - value.keys()):
        yield problem(f"{where}.{key}", "is missing")
    for key, item in value.items():
        if key in hints:
            yield from _misfits(item, hints[key], f"{where}.{key}")
        else:
            yield problem(f"{where}.{key}", "is an unknown entry")


def _is_a(value: object, kind: Any) -> bool:
    if kind is float:
        return type(value) in (int, float)
    return type(value) in ((list, tuple) if kind in (list, tuple) else (kind,))
