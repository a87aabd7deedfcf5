"""A frame of extended XYZ as text, taken apart into numbers, free text and what must be the same in each frame.

The classes of values are those of ASE: a value whose words are all numbers is a number or an array, one with another
word is text, unless all words are T, F, true or false.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from equipot.data._packed import Array
from equipot.data._remarks import is_unit_tag, is_weight
from equipot.data._stored import StoredFrame

_PAIR = re.compile(r"""([A-Za-z_][\w.\-]*)=("[^"\\]+"|[^\s"'\\{}\[\]=]+)(?:\s+|$)""")
"""A key and a value that is not empty: to an empty one ASE adds the next pair."""

_NUMERIC = frozenset("0123456789+-.eE \t")
_TRUTHS = frozenset(("T", "F", "true", "false", "True", "False", "TRUE", "FALSE"))
_PLAIN = re.compile(r"[^\s,={}\[\]'\\]+(?:[\s,]+[^\s,={}\[\]'\\]+)*")
"""Words: text that is neither a mapping nor the beginning of another pair."""

_FEWEST = 4
"""Lines of a frame of two atoms: whether a single atom is an isolated one may depend on more than text."""

GROUPS = ("config_type", "group")
"""Keys of text that is the group of a frame."""

_FIXED = ("pbc", "Properties")
_ALONE = "isolatedatom"
"""The group of a frame of one atom."""


class Text(NamedTuple):
    """A frame as text, taken apart."""

    signature: tuple[Any, ...]
    """Keys, counts of numbers, which keys have text, and what must be the same; equal for frames of one kind."""
    numbers: dict[str, list[float]]
    """The numbers behind the keys that may differ."""
    words: dict[str, str]
    """The text behind the keys that may differ."""
    table: list[str] | Table
    """The lines of the frame, or the numbers of its atoms."""


class Table(NamedTuple):
    """The numbers of the atoms of a frame that is not stored as text."""

    numbers: Array
    """Atomic numbers, int64, shape [n_atoms]."""
    rows: Array
    """All columns, float64, shape [n_atoms, n_columns]."""


def stored_apart(frame: StoredFrame, weights: Collection[str]) -> Text | None:
    """A frame of a packed archive in its parts, as if it were text; None for a single atom.

    Args:
        frame: As it is stored.
        weights: Keys of weights that are used.
    """
    geometry = frame.geometry
    n, columns = len(geometry["positions"]), {"pos": geometry["positions"], **frame.atoms}
    if n < _FEWEST - 2:
        return None
    numbers = {key: value.tolist() for key, value in frame.frame.items()}
    if geometry["cell"].any():
        numbers["Lattice"] = geometry["cell"].ravel().tolist()
    widths = [f"{key}:R:{value[0].size}" for key, value in columns.items()]
    signature: list[tuple[str, Any]] = [
        ("Properties", ":".join(["species:S:1", *widths])),
        ("pbc", str(geometry["pbc"].tolist())),
        *((key, _kind(key, found, weights)) for key, found in numbers.items()),
    ]
    differs = {
        key: not is_unit_tag(key) and (key not in GROUPS or not _is_alone(text)) for key, text in frame.texts.items()
    }
    signature += [(key, None if differs[key] else text) for key, text in frame.texts.items()]
    words = {key: text for key, text in frame.texts.items() if differs[key]}
    rows = np.concatenate([value.reshape(n, -1) for value in columns.values()], axis=1)
    return Text(tuple(sorted(signature, key=itemgetter(0))), numbers, words, Table(geometry["atomic_numbers"], rows))


def taken_apart(lines: list[str], names: Collection[str], weights: Collection[str]) -> Text | None:
    """A frame in its parts; None if it is not of the usual form.

    Args:
        lines: Of the frame.
        names: Keys of names, of which a number must be the same as text.
        weights: Keys of weights that are used.
    """
    if len(lines) < _FEWEST:
        return None
    comment, at = lines[1].strip(), 0
    numbers: dict[str, list[float]] = {}
    words: dict[str, str] = {}
    signature: list[tuple[str, Any]] = []
    while at < len(comment):
        pair = _PAIR.match(comment, at)
        if pair is None:
            return None
        key, value = pair.group(1), pair.group(2)
        at = pair.end()
        plain = value.strip('"')
        if key not in _FIXED and key not in names and (found := _floats(plain)) is not None:
            numbers[key] = found
            signature.append((key, _kind(key, found, weights)))
        elif key not in _FIXED and _may_differ(key, plain):
            words[key] = plain
            signature.append((key, None))
        else:
            signature.append((key, value))
    if len({one[0] for one in signature}) < len(signature) or not lines[-1].endswith("\n"):
        return None
    return Text(tuple(sorted(signature, key=itemgetter(0))), numbers, words, lines)


def _kind(key: str, found: list[float], weights: Collection[str]) -> Any:
    """How many numbers there are; of weights that are not used, also whether all are 1, of which a note depends."""
    if key in weights or not is_weight(key):
        return len(found)
    return len(found), all(one == 1.0 for one in found)


def _may_differ(key: str, value: str) -> bool:
    """Whether a value is text that matters for nothing, or only for what a frame keeps as text."""
    return is_text(value) and not is_unit_tag(key) and (key not in GROUPS or not _is_alone(value))


def _is_alone(group: str) -> bool:
    return group.replace("_", "").lower() == _ALONE


def is_text(text: str) -> bool:
    """Whether ASE keeps a value as the text that it is; False also where that is not sure.

    Args:
        text: The value without its quotes.
    """
    if text.startswith("_JSON ") or not _PLAIN.fullmatch(text):
        return False
    parts = re.split(r"[\s,]+", text)
    return not all(map(_is_number, parts)) and not _TRUTHS.issuperset(parts)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _floats(text: str) -> list[float] | None:
    """The numbers of a text that has nothing else; whole numbers have no sign of zero, as they are read as such."""
    if not _NUMERIC.issuperset(text):
        return None
    real = "." in text or "e" in text or "E" in text
    try:
        return [float(word) if real else float(int(word)) for word in text.split()] or None
    except (ValueError, OverflowError):
        return None
