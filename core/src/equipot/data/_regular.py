"""Frames of extended XYZ that look like an earlier frame of the file: only their numbers are read.

Most files have thousands of frames with the same keys and columns. The first of them goes the whole way, through ASE
and ``frame_from_atoms``. From its text and its frame follows where each number of the frame is; if these numbers,
read in the short way, are the same to the last bit, the next frames with the same keys and columns are read so.
Whatever is unusual goes the whole way: notes, labels that are not used or not finite, text that differs, numbers that
may be names, single atoms, unknown fields.
"""

from __future__ import annotations

import functools
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from equipot._progress import progress
from equipot.data._collection import FrameCollection, Unconverged, collect_frames
from equipot.data._deepmd import is_deepmd
from equipot.data._extxyz import read_extxyz
from equipot.data._formats import format_of
from equipot.data._frames import DEFAULT_LABELS, LabelContract, LabelReport, converted
from equipot.data._packed import DERIVED, Array, SameButNumbers
from equipot.data._readers import check_file, head_of, read_placed
from equipot.data._streams import compression, opened, reading
from equipot.fields import OPTIONAL_INPUTS, mask_key
from equipot.graph import Graph

if TYPE_CHECKING:
    from ase import Atoms

_PAIR = re.compile(r"""([A-Za-z_][\w.\-]*)=("[^"\\]*"|[^\s"'\\{}\[\]=]+)(?:\s+|$)""")
_COLUMN = re.compile(r"([A-Za-z_]\w*):([SRIL]):([1-9]\d{0,2})(?::|$)")
_NUMERIC = frozenset("0123456789+-.eE \t")
_LITERAL = ("pbc", "Properties", "config_type", "group")
_VOIGT = (0, 4, 8, 5, 2, 1)
_MOST_PLANS = 256
"""Kinds of frames that are remembered; a file with more has text that differs from frame to frame."""

_BETWEEN_UPDATES = 256

_FEWEST = 4
"""Lines of a frame of two atoms: whether a single atom is an isolated one may depend on more than text."""

_FLAT = 1e-6
"""Volume of a cell relative to that of a box with edges of these lengths, below which the whole way decides."""


class Text(NamedTuple):
    """A frame as text, taken apart."""

    signature: tuple[Any, ...]
    """Keys, counts of numbers, and all text; equal for frames that differ in numbers only."""
    numbers: dict[str, list[float]]
    """The numbers behind the keys that may differ."""
    lines: list[str]


class RegularFrames:
    """Knows the kinds of frames that were met.

    Args:
        contract: Where the labels are.
        literal: Keys of which not only the number but also the text matters, such as one that groups frames.
    """

    def __init__(self, contract: LabelContract, literal: Iterable[str] = ()) -> None:
        self._contract = contract
        self._free = {source.key.rpartition(":")[2] for source in contract.values()} | {"Lattice"}
        self._literal = {*_LITERAL, *literal}
        self._plans: dict[tuple[Any, ...], _Plan | None] = {}
        self._last: Text | None = None

    def match(self, lines: list[str]) -> SameButNumbers | None:
        """The frame, if it looks like an earlier one; None: it has to go the whole way.

        Args:
            lines: The lines of the frame.
        """
        self._last = text = _taken_apart(lines, self._free - self._literal, self._literal)
        plan = None if text is None else self._plans.get(text.signature)
        if plan is None or text is None:
            return None
        fields = plan.read(text)
        return None if fields is None else SameButNumbers(plan.example, fields)

    def learn(self, frame: Graph, reports: Mapping[str, LabelReport], notes: object, index: int) -> None:
        """Learn from the frame that ``match`` was last asked about, after it went the whole way.

        Args:
            frame: What it became.
            reports: How its labels were read.
            notes: What the reader saw in it; with notes, each frame of its kind goes the whole way.
            index: Of the frame in its collection.
        """
        text, self._last = self._last, None
        if text is None or text.signature in self._plans or len(self._plans) >= _MOST_PLANS:
            return
        usual = not notes and all(report == LabelReport(source=report.source) for report in reports.values())
        self._plans[text.signature] = _plan(text, frame, reports, self._contract, index) if usual else None


def _taken_apart(lines: list[str], free: set[str], literal: set[str]) -> Text | None:
    """A frame in its parts; None if it is not of the usual form."""
    if len(lines) < _FEWEST:
        return None
    comment, at = lines[1].strip(), 0
    numbers: dict[str, list[float]] = {}
    signature: list[Any] = []
    while at < len(comment):
        pair = _PAIR.match(comment, at)
        if pair is None:
            return None
        key, value = pair.group(1), pair.group(2)
        at = pair.end()
        found = _floats(value.strip('"')) if key in free or (key not in literal and "." in value) else None
        if found is None:
            signature.append((key, value))
        elif key in numbers:
            return None
        else:
            numbers[key] = found
            signature.append((key, len(found)))
    if len({one[0] for one in signature}) < len(signature) or not lines[-1].endswith("\n"):
        return None
    return Text(tuple(signature), numbers, lines)


def _floats(text: str) -> list[float] | None:
    """The numbers of a text that has nothing else."""
    if not _NUMERIC.issuperset(text):
        return None
    try:
        return [float(word) for word in text.split()] or None
    except ValueError:
        return None


# ---------------------------------------------------------------------------------- plans


@dataclass(frozen=True)
class _Plan:
    """Where the numbers of one kind of frames are."""

    example: int
    width: int
    """Words in the line of an atom."""
    positions: int
    """First of the columns of the positions, without the species."""
    forces: int | None
    energy: str
    stress: str
    convention: str
    pbc: Array
    lattice: bool

    def read(self, text: Text) -> dict[str, Array] | None:
        """The fields of a frame; None if anything is unusual."""
        lines = text.lines
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
        cell = text.numbers.get("Lattice", _NO_CELL)
        if not math.isfinite(sum(values) + sum(map(sum, text.numbers.values()))) or not self._has_volume(cell):
            return None
        rows = np.array(values).reshape(n, self.width - 1)
        return self._fields(rows, numbers, np.array(cell).reshape(3, 3), text.numbers)

    def _has_volume(self, cell: list[float]) -> bool:
        if not self.lattice:
            return True
        a, b, c, d, e, f, g, h, i = cell
        volume = abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
        return volume > _FLAT * math.hypot(a, b, c) * math.hypot(d, e, f) * math.hypot(g, h, i)

    def _fields(self, rows: Array, numbers: list[int], cell: Array, given: dict[str, list[float]]) -> dict[str, Array]:
        fields = {
            "positions": rows[:, self.positions : self.positions + 3],
            "cell": cell[None],
            "pbc": self.pbc,
            "atomic_numbers": np.array(numbers, np.int64),
        }
        if self.energy:
            fields |= {"total_energy": np.array(given[self.energy]), mask_key("total_energy"): _TRUE}
        if self.forces is not None:
            fields["forces"] = rows[:, self.forces : self.forces + 3]
            fields[mask_key("forces")] = np.ones(len(rows), bool)
        if self.stress:
            value = converted(_stress(self.stress, given[self.stress]), self.convention, cell)
            fields |= {"stress": value, mask_key("stress"): _TRUE}
        return fields


_TRUE = np.ones(1, bool)
_NO_CELL = [0.0] * 9


@functools.cache
def _numbers() -> dict[str, int]:
    """Atomic number by symbol, for the symbols as they are usually written."""
    from ase.data import chemical_symbols

    return {symbol: number for number, symbol in enumerate(chemical_symbols) if number}


def _stress(key: str, given: list[float]) -> Array:
    """Six (Voigt) or nine numbers as a matrix, as ASE and ``frame_from_atoms`` read them."""
    if key in ("stress", "virial") and len(given) == 9:  # nine numbers under these keys are columns
        given = [given[index] for index in (0, 3, 6, 1, 4, 7, 2, 5, 8)]
    if key == "stress" and len(given) == 9:  # of a stress ASE keeps one half
        given = [given[index] for index in _VOIGT]
    if len(given) == 6:
        xx, yy, zz, yz, xz, xy = given
        given = [xx, xy, xz, xy, yy, yz, xz, yz, zz]
    return np.array(given).reshape(1, 3, 3)


def _plan(
    text: Text, frame: Graph, reports: Mapping[str, LabelReport], contract: LabelContract, index: int
) -> _Plan | None:
    """The plan that gives the frame of an example to the last bit, if there is one."""
    literal = dict(one for one in text.signature if isinstance(one[1], str))
    columns = _columns(literal.get("Properties", ""))
    read = {label: reports[label].source for label in reports if reports[label].source}
    if columns is None or not set(read) <= set(DEFAULT_LABELS) or set(contract) & set(OPTIONAL_INPUTS):
        return None
    keys = {label: str(source).rpartition(":")[2] for label, source in read.items()}
    energy, stress = keys.get("total_energy", ""), keys.get("stress", "")
    if any(key and key not in text.numbers for key in (energy, stress)):
        return None
    other = contract["total_energy"].force_consistent if energy else None
    if other is not None and other != energy and other in {*text.numbers, *literal}:
        return None  # which of the two energies is taken depends on their values
    if len(text.numbers.get(energy, [0.0])) != 1 or len(text.numbers.get(stress, [0.0] * 9)) not in (6, 9):
        return None
    if len(text.numbers.get("Lattice", _NO_CELL)) != 9 or (names := keys.get("forces")) not in (None, *columns):
        return None
    plan = _Plan(
        example=index,
        width=1 + sum(width for _, width in columns.values()),
        positions=columns["pos"][0],
        forces=None if names is None else columns[names][0],
        energy=energy,
        stress=stress,
        convention=contract["stress"].convention if stress else "stress",
        pbc=frame["pbc"].numpy(),
        lattice="Lattice" in text.numbers,
    )
    return plan if _same(plan.read(text), frame) else None


def _columns(properties: str) -> dict[str, tuple[int, int]] | None:
    """First column and number of columns of each name after the species; None unless all others are real numbers."""
    found, at, first = {}, 0, 0
    text = properties.strip('"')
    while at < len(text):
        column = _COLUMN.match(text, at)
        if column is None:
            return None
        name, kind, width = column.group(1), column.group(2), int(column.group(3))
        if (at == 0) != (name == "species" and kind == "S" and width == 1) or (at and kind != "R") or name in found:
            return None
        if at:
            found[name] = (first, width)
            first += width
        at = column.end()
    return found if found.get("pos", (0, 0))[1] == 3 else None


def _same(fields: Mapping[str, Array] | None, frame: Graph) -> bool:
    """Whether these are all fields of a frame, and the same to the last bit."""
    if fields is None or fields.keys() != frame.keys() - set(DERIVED):
        return False
    expected = {key: frame[key].numpy() for key in fields}
    return all(
        (one.dtype, one.shape) == (expected[key].dtype, expected[key].shape)
        and np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(expected[key]).tobytes()
        for key, one in fields.items()
    )


# ---------------------------------------------------------------------------------- files


def read_regular(
    files: Iterable[str],
    ase_args: Mapping[str, Any] | None,
    regular: RegularFrames,
    species: Mapping[Any, str] | None = None,
) -> Iterator[tuple[str, Atoms | SameButNumbers]]:
    """As ``read_placed``, but frames of extended XYZ that look like an earlier one are not made into ``Atoms``.

    Args:
        files: Paths.
        ase_args: As for ``read_atoms``; files of which only a selection of frames is read are read by ``read_placed``.
        regular: Learns of each frame that goes the whole way.
        species: As for ``read_atoms``.

    Raises:
        DataError: As for ``read_atoms``.
    """
    names = {str(name): symbol for name, symbol in (species or {}).items()}
    for file in files:
        if "index" not in (ase_args or {}) and not is_deepmd(Path(file)) and _is_extxyz(file, ase_args):
            yield from _extxyz(Path(file), regular, names)
        else:
            yield from read_placed([file], ase_args, names)


def collect_files(
    files: Iterable[str],
    contract: LabelContract,
    *,
    ase_args: Mapping[str, Any] | None = None,
    species: Mapping[Any, str] | None = None,
    mask_nan: bool = False,
    unconverged: Unconverged = "error",
    group_key: str | None = None,
) -> FrameCollection:
    """All frames of several files, read the short way where that is possible.

    Args:
        files: Paths.
        contract: Labels to read.
        ase_args: As for ``read_atoms``.
        species: As for ``read_atoms``.
        mask_nan: As for ``collect_frames``.
        unconverged: As for ``collect_frames``.
        group_key: As for ``collect_frames``.

    Raises:
        DataError: As for ``read_atoms`` and ``collect_frames``.
    """
    regular = RegularFrames(contract, literal=[] if group_key is None else [group_key])
    return collect_frames(
        read_regular(files, ase_args, regular, species),
        contract,
        mask_nan=mask_nan,
        unconverged=unconverged,
        learn=regular.learn,
        group_key=group_key,
    )


def _is_extxyz(file: str, ase_args: Mapping[str, Any] | None) -> bool:
    check_file(file)
    with reading(file), opened(Path(file)) as stream:
        return bool(((ase_args or {}).get("format") or format_of(Path(file), head_of(stream))) == "extxyz")


def _extxyz(
    file: Path, regular: RegularFrames, species: Mapping[str, str]
) -> Iterator[tuple[str, Atoms | SameButNumbers]]:
    number = 0

    def place() -> str:
        return f"{file}, frame {number} (counted from 0)"

    size = 0 if compression(file) else file.stat().st_size
    with (
        reading(place),
        opened(file) as stream,
        io.TextIOWrapper(stream, encoding="utf-8-sig") as lines,
        progress(f"reading {file.name}", size) as update,
    ):
        for number, atoms in enumerate(read_extxyz(lines, str(file), species, known=regular.match)):
            if size and number % _BETWEEN_UPDATES == 0:
                update(stream.tell())
            yield f"{file}, frame {number}", atoms
