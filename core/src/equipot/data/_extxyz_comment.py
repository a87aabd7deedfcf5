"""The comment line of extended XYZ: its keys and values, and the columns that it states.

ASE reads the values. What it gets wrong without a word, or refuses with an error about its own code, is seen to before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import numpy as np

from equipot.errors import DataError, problem

PROPERTIES = "species:S:1:pos:R:3"
"""Columns of a file that states none."""

_COLUMNS = 10_000
"""ASE needs a time that grows with the square of this number."""

_VALUE = r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\{[^}]*\}|\[[^\]]*\]|\S*)"""
_KEY = r"""(?:"[^"=]*"|[^\s="'{}\[\]]+)"""
_PAIR = re.compile(rf"(?P<key>{_KEY})\s*=\s*(?P<value>{_VALUE})|{_VALUE}")
_LIKE_KEYS = re.compile(r"(?<![^\s\"'])([^\s=\"']+)\"?\s*=")
_NUMBERS = r"""(?:"[^"]{0,999}"|'[^']{0,999}'|\{[^}]{0,999}\}|\[[^\]]{0,999}\]|\S{0,999})"""
_TENSOR = re.compile(rf"(?<!\S)(?P<key>stress|virial)\s*=\s*(?P<value>{_NUMBERS})")
_LONGEST = 100_000
"""Pairs of longer lines take too long to find, if somebody means harm."""


def parsed_comment(line: str, where: str) -> dict[str, Any]:
    """Keys and values of a comment line.

    Args:
        line: The second line of a frame.
        where: File and frame, for messages.

    Returns:
        What ASE reads, and ``stress`` and ``virial`` with six numbers (xx yy zz yz xz xy), which ASE refuses.

    Raises:
        DataError: If a key has two different values, or a value cannot be read.
    """
    from ase.io.extxyz import key_val_str_to_dict

    keys = _LIKE_KEYS.findall(line)
    if len(set(keys)) < len(keys):
        _check_repeated(line, where)
    tensors: dict[str, Any] = {}

    def taken(found: re.Match[str]) -> str:
        key, value = found["key"], _six(found["value"], found["key"], where)
        if value is None:
            return found.group()
        tensors[key] = value
        return ""

    text = _TENSOR.sub(taken, line)
    try:
        found: dict[str, Any] = key_val_str_to_dict(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise DataError(problem(where, f"the comment line cannot be read: {error}", got=line.strip()[:80])) from None
    return {**found, **tensors}


def _six(text: str, key: str, where: str) -> Any:
    """Six numbers as an array; None if there are nine, which ASE reads."""
    words = re.findall(r"[^\s,]+", text.strip("\"'{}[]"))
    if len(words) == 9:
        return None
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError:
        raise DataError(problem(where, f"{key} does not consist of numbers", got=text[:80])) from None
    if len(words) != 6:
        raise DataError(problem(where, f"{key} must have 6 (xx yy zz yz xz xy) or 9 numbers", got=text[:80]))
    return numbers


def _check_repeated(line: str, where: str) -> None:
    """Raise a DataError if a key occurs twice with different values."""
    if len(line) > _LONGEST:
        what = f"a comment line of {len(line)} characters repeats a key"
        raise DataError(problem(where, what, hint=f"remove one, or shorten the line to {_LONGEST}"))
    first: dict[str, str] = {}
    for key, text in _pairs(line):
        if not _same(first.setdefault(key, text), text):
            what = f"{key} is there twice, as {first[key][:40]} and as {text[:40]}"
            raise DataError(problem(where, what, hint="remove the value that is wrong"))


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    """Keys and the text of their values."""
    for found in _PAIR.finditer(line):
        if found["key"]:
            yield found["key"].strip('"'), found["value"].strip("\"'{}[]")


def _same(one: str, other: str) -> bool:
    if one.split() == other.split():
        return True
    try:
        return [float(word) for word in one.split()] == [float(word) for word in other.split()]
    except ValueError:
        return False


class Columns:
    """The columns that ``Properties`` states.

    Args:
        text: For example ``species:S:1:pos:R:3:forces:R:3``.
        row: The line of the first atom.
        where: File and frame, for messages.

    Raises:
        DataError: If they are not those of the first atom, or a name occurs twice.
    """

    def __init__(self, text: str, row: str, where: str) -> None:
        self.text, self.where = text, where
        parts = text.split(":")
        there = len(row.split())
        self.names, self.kinds, counts = parts[::3], parts[1::3], parts[2::3]
        if len(parts) % 3 or not all(one.isdigit() and 0 < len(one) < 6 for one in counts):
            raise DataError(problem(where, "Properties must be like species:S:1:pos:R:3", got=text[:80]))
        self.counts = [int(one) for one in counts]
        self.width = sum(self.counts)
        if 0 in self.counts or self.width > min(there, _COLUMNS):
            what = f"Properties states other columns than the {there} of the first atom, or more than {_COLUMNS}"
            raise DataError(problem(where, what))
        if repeated := [name for name in self.names if self.names.count(name) > 1]:
            raise DataError(problem(where, f"Properties names {repeated[0]} twice", hint="rename one of the columns"))
        if strange := [kind for kind in self.kinds if kind not in ("S", "R", "I", "L")]:
            raise DataError(problem(where, "types in Properties must be S, R, I or L", got=strange[0]))

    def first(self, *names: str) -> int | None:
        """Index of the first column of one of these names."""
        return next((sum(self.counts[: self.names.index(name)]) for name in names if name in self.names), None)

    def as_text(self, column: int) -> None:
        """Say that a column holds text, as names of atoms do even if they are numbers."""
        index = next(i for i in range(len(self.names)) if sum(self.counts[:i]) == column)
        if self.kinds[index] != "S":
            self.kinds[index] = "S"
            rows = zip(self.names, self.kinds, self.counts, strict=True)
            self.text = ":".join(f"{name}:{kind}:{count}" for name, kind, count in rows)

    def explain(self, rows: Iterable[str]) -> None:
        """Raise a DataError that names the first atom whose columns do not hold what is stated, if there is one."""
        kinds = [kind for kind, count in zip(self.kinds, self.counts, strict=True) for _ in range(count)]
        names = [name for name, count in zip(self.names, self.counts, strict=True) for _ in range(count)]
        for index, row in enumerate(rows):
            words = row.split()
            if len(words) < self.width:
                what = f"atom {index} has {len(words)} columns, where Properties states {self.width}"
                raise DataError(problem(self.where, what, hint="write the file again if it was cut off"))
            for name, kind, word in zip(names, kinds, words, strict=False):
                if not _is_of_kind(word, kind):
                    self._refuse(index, name, kind, word)

    def _refuse(self, index: int, name: str, kind: str, word: str) -> NoReturn:
        what = f"{name} of atom {index} must be {'a whole number' if kind == 'I' else 'a number'}"
        raise DataError(problem(self.where, what, got=word[:40]))


def _is_of_kind(word: str, kind: str) -> bool:
    """Whether a word is a number, where the kind is one."""
    if kind not in ("R", "I"):
        return True
    try:
        (float if kind == "R" else int)(word)
    except ValueError:
        return False
    return True
