"""Where the numbers of one kind of frames are, and the short way from them to the fields of a frame."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from equipot.data._collection import LONGEST_KEY
from equipot.data._frames import LabelContract, LabelReport, LabelSource, converted
from equipot.data._packed import DERIVED, Array, SameButNumbers
from equipot.data._regular_text import GROUPS, Table, Text
from equipot.data._remarks import is_weight
from equipot.fields import FIELDS, LABELS, OPTIONAL_INPUTS, mask_key, row_shape, weight_key
from equipot.graph import Graph

_COLUMN = re.compile(r"([A-Za-z_]\w*):([SRIL]):([1-9]\d{0,2})(?::|$)")
_RENAMED = {"charge": "charges"}
"""Columns that ASE reads under another name."""

_VOIGT = (0, 4, 8, 5, 2, 1)
_TENSORS = ("stress", "virial")
_FLAT = 1e-6
"""Volume of a cell relative to that of a box with edges of these lengths, below which the whole way decides."""

_NO_CELL = [0.0] * 9
_TRUE = np.ones(1, bool)


@dataclass(frozen=True)
class _Label:
    """Where one label or model input is, and its weights."""

    name: str
    key: str
    source: LabelSource
    column: int | None
    """First column of a label that is per atom, without the species."""
    weights: tuple[tuple[str, int | None], ...]
    """Keys of the weights that are there, and the columns of those that are per atom."""
    row: tuple[int, ...]
    """Shape of one row."""

    def fields(self, rows: Array, cell: Array, given: Mapping[str, list[float]]) -> dict[str, Array] | None:
        """The label of a frame with its mask and weights; None if it has rows that do not count."""
        if self.name in OPTIONAL_INPUTS:
            return {self.name: np.array(given[self.key]).astype(np.dtype(FIELDS[self.name].dtype))}
        value = self._value(rows, given)
        if self.name in _TENSORS:
            value = converted(value, self.source.convention, cell)
        if self.source.factor != 1.0:
            value = value * self.source.factor
        fields = {self.name: value, mask_key(self.name): np.ones(len(value), bool) if len(value) > 1 else _TRUE}
        if self.source.weights:
            weights = np.ones(len(value))
            for key, column in self.weights:
                weights = weights * (given[key][0] if column is None else rows[:, column])
            if not (weights > 0.0).all():
                return None
            fields[weight_key(self.name)] = weights
        return fields

    def _value(self, rows: Array, given: Mapping[str, list[float]]) -> Array:
        if self.column is not None:
            return rows[:, self.column : self.column + math.prod(self.row)].reshape(len(rows), *self.row)
        values = given[self.key]
        if self.name in _TENSORS:
            return _tensor(self.key, values)
        return np.array(_by_rows(self.key, values)).reshape(1, *self.row)


@dataclass(frozen=True)
class Plan:
    """Where the numbers of one kind of frames are."""

    example: int
    reports: Mapping[str, LabelReport]
    width: int
    """Words in the line of an atom."""
    positions: int
    """First of the columns of the positions, without the species."""
    labels: tuple[_Label, ...]
    pbc: Array
    lattice: bool
    group: str | None
    """Key of the text that is the group of a frame, if it may differ."""
    split_key: str | None
    """The same for the text by which frames are kept together in a split."""

    def read(self, text: Text) -> SameButNumbers | None:
        """What stands for the frame; None if anything is unusual."""
        table = text.table if isinstance(text.table, Table) else self._table(text.table)
        cell = text.numbers.get("Lattice", _NO_CELL)
        if table is None or not self._has_volume(cell) or not math.isfinite(sum(map(sum, text.numbers.values()))):
            return None
        fields = self._fields(table.rows, np.array(cell).reshape(3, 3), text.numbers)
        if fields is None or not math.isfinite(float(table.rows.sum())):
            return None
        fields["atomic_numbers"] = table.numbers
        return SameButNumbers(self.example, fields, own=dict(self._own(text, fields)))

    def _table(self, lines: list[str]) -> Table | None:
        """The numbers in the lines of a frame; None unless all are there and the symbols are those of elements."""
        words = "".join(lines[2:]).split()
        n = len(lines) - 2
        if len(words) != n * self.width:
            return None
        try:
            numbers = [_numbers()[word] for word in words[:: self.width]]
            del words[:: self.width]
            values = list(map(float, words))
        except (KeyError, ValueError):
            return None
        return Table(np.array(numbers, np.int64), np.array(values).reshape(n, self.width - 1))

    def _has_volume(self, cell: list[float]) -> bool:
        if not self.lattice:
            return True
        a, b, c, d, e, f, g, h, i = cell
        volume = abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
        return volume > _FLAT * math.hypot(a, b, c) * math.hypot(d, e, f) * math.hypot(g, h, i)

    def _fields(self, rows: Array, cell: Array, given: Mapping[str, list[float]]) -> dict[str, Array] | None:
        fields = {
            "positions": rows[:, self.positions : self.positions + 3],
            "cell": cell[None],
            "pbc": self.pbc,
        }
        for label in self.labels:
            found = label.fields(rows, cell, given)
            if found is None:
                return None
            fields |= found
        return fields

    def _own(self, text: Text, fields: Mapping[str, Array]) -> Iterator[tuple[str, Any]]:
        """What is known of this frame and differs from what is known of the example."""
        if self.group is not None:
            yield "groups", text.words[self.group]
        if self.split_key is not None:
            yield "split_keys", text.words[self.split_key][:LONGEST_KEY]
        reports = {
            one.name: dataclasses.replace(
                self.reports[one.name],
                rows=len(fields[one.name]),
                weight_sum=float(fields[weight_key(one.name)].sum()),
            )
            for one in self.labels
            if weight_key(one.name) in fields
        }
        if reports:
            yield "reports", {**self.reports, **reports}


@functools.cache
def _numbers() -> dict[str, int]:
    """Atomic number by symbol, for the symbols as they are usually written."""
    from ase.data import chemical_symbols

    return {symbol: number for number, symbol in enumerate(chemical_symbols) if number}


def _tensor(key: str, given: list[float]) -> Array:
    """Six (Voigt) or nine numbers as a matrix, as ASE and ``frame_from_atoms`` read them."""
    given = _by_rows(key, given)
    if key == "stress" and len(given) == 9:  # of a stress ASE keeps one half
        given = [given[index] for index in _VOIGT]
    if len(given) == 6:
        xx, yy, zz, yz, xz, xy = given
        given = [xx, xy, xz, xy, yy, yz, xz, yz, zz]
    return np.array(given).reshape(1, 3, 3)


def _by_rows(key: str, given: list[float]) -> list[float]:
    """Numbers of a matrix row by row: nine under the keys of tensors are columns."""
    if key in _TENSORS and len(given) == 9:
        return [given[index] for index in (0, 3, 6, 1, 4, 7, 2, 5, 8)]
    return given


# ---------------------------------------------------------------------------------- how a plan is made


def plan_of(
    text: Text,
    frame: Graph,
    reports: Mapping[str, LabelReport],
    contract: LabelContract,
    index: int,
    split_key: str | None = None,
) -> Plan | None:
    """The plan that gives the frame of an example to the last bit, if there is one.

    Args:
        text: The example.
        frame: What it became the whole way.
        reports: How its labels were read.
        contract: Where labels are.
        index: Of the example in its collection.
        split_key: Key of the text by which frames are kept together in a split.
    """
    literal = dict(text.signature)
    columns = _columns(str(literal.get("Properties") or ""))
    if columns is None or _unused_weights(columns, contract) or not _is_usual(reports, contract):
        return None
    labels = [
        _label(name, reports, contract[name], columns, text) for name in contract if reports[name].source is not None
    ]
    if None in labels or len(text.numbers.get("Lattice", _NO_CELL)) != 9 or _other_energy(contract, reports, literal):
        return None
    plan = Plan(
        example=index,
        reports=dict(reports),
        width=1 + sum(width for _, width in columns.values()),
        positions=columns["pos"][0],
        labels=tuple(one for one in labels if one is not None),
        pbc=frame["pbc"].numpy(),
        lattice="Lattice" in text.numbers,
        group=next((key for key in GROUPS[: 1 if GROUPS[0] in literal else 2] if key in text.words), None),
        split_key=split_key if split_key in text.words else None,
    )
    made = plan.read(text)
    same = made is not None and _same(made.fields, frame) and made.own.get("reports", reports) == reports
    return plan if same else None


def _is_usual(reports: Mapping[str, LabelReport], contract: LabelContract) -> bool:
    """Whether nothing is said of the labels but where they are and what they weigh."""
    return all(
        dataclasses.replace(one, weight_keys=[], rows=0, weight_sum=0.0) == LabelReport(source=one.source)
        and (bool(contract[label].weights) or not one.rows)
        for label, one in reports.items()
    )


def _unused_weights(columns: Mapping[str, Any], contract: LabelContract) -> bool:
    """Whether a column has weights that nobody asked for: a note depends on their numbers."""
    used = {_name(key) for source in contract.values() for key in source.weights}
    return any(is_weight(name) and name not in used for name in columns)


def _other_energy(contract: LabelContract, reports: Mapping[str, LabelReport], literal: Mapping[str, Any]) -> bool:
    """Whether there is a second energy, so that it depends on their values which one is taken."""
    if "total_energy" not in contract or reports["total_energy"].source is None:
        return False
    other = contract["total_energy"].force_consistent
    return other is not None and other != _name(str(reports["total_energy"].source)) and other in literal


def _label(
    name: str, reports: Mapping[str, LabelReport], source: LabelSource, columns: Mapping[str, Any], text: Text
) -> _Label | None:
    """Where a label of the example is; None if it is not where a plan can read it."""
    key = _name(str(reports[name].source))
    weights = tuple(
        (one, columns[one][0] if one in columns else None)
        for one in map(_name, source.weights)
        if one in columns or one in text.numbers
    )
    if any(_is_there_twice(one, columns, text) for one in (key, *(one for one, _ in weights))):
        return None
    if any(len(text.numbers.get(one, [0.0])) != 1 or columns.get(one, (0, 1))[1] != 1 for one, _ in weights):
        return None
    row = row_shape(name)
    if FIELDS[name].per == "atom":
        column, there = columns.get(key, (None, 0))
        return _Label(name, key, source, column, weights, row) if there == math.prod(row) else None
    counts = (6, 9) if name in _TENSORS else (math.prod(row),)
    usable = len(text.numbers.get(key, [])) in counts and (name in LABELS or name in OPTIONAL_INPUTS)
    return _Label(name, key, source, None, weights, row) if usable else None


def _is_there_twice(key: str, columns: Mapping[str, Any], text: Text) -> bool:
    return key in columns and any(key == one[0] for one in text.signature)


def _name(key: str) -> str:
    """A key without the place where it is."""
    return key.rpartition(":")[2]


def _columns(properties: str) -> dict[str, tuple[int, int]] | None:
    """First column and number of columns of each name after the species; None unless all others are real numbers."""
    found, at, first = {}, 0, 0
    text = properties.strip('"')
    while at < len(text):
        column = _COLUMN.match(text, at)
        if column is None:
            return None
        name, kind, width = column.group(1), column.group(2), int(column.group(3))
        name = _RENAMED.get(name, name)
        if (at == 0) != (name == "species" and kind == "S" and width == 1) or (at and kind != "R") or name in found:
            return None
        if at:
            found[name] = (first, width)
            first += width
        at = column.end()
    return found if found.get("pos", (0, 0))[1] == 3 else None


def _same(fields: Mapping[str, Array], frame: Graph) -> bool:
    """Whether these are all fields of a frame, and the same to the last bit."""
    if fields.keys() != frame.keys() - set(DERIVED):
        return False
    expected = {key: frame[key].numpy() for key in fields}
    return all(
        (one.dtype, one.shape) == (expected[key].dtype, expected[key].shape)
        and np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(expected[key]).tobytes()
        for key, one in fields.items()
    )
