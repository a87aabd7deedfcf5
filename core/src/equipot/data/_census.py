"""The census: which labels the data have; it is checked, and printed before the first step."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from equipot.data._collection import FrameCollection
from equipot.data._frames import LabelReport
from equipot.data._label_contract import LabelContract
from equipot.data._label_hints import labels_line
from equipot.data._packed import PackedFrames
from equipot.errors import problem
from equipot.fields import FIELDS, mask_key
from equipot.graph import Graph
from equipot.units import UNIT_SYSTEMS, Units, unit_in

_SHOWN = 5


@dataclass
class LabelCensus:
    """Counts of one label in one set."""

    key: str
    unit: str | None = None
    """Unit in the file, from which the numbers were converted; None: that of the data."""
    present: int = 0
    """Frames with the label."""
    missing: int = 0
    all_zero: int = 0
    """Frames of more than one atom where every value is zero."""
    zero_candidates: int = 0
    """Frames of more than one atom with the label."""
    minimum: float | None = None
    maximum: float | None = None
    sources: dict[str, int] = field(default_factory=dict)
    """Number of frames by the ``place:key`` that the label was read from."""
    instead_of: dict[str, int] = field(default_factory=dict)
    """Number of frames whose forces belong to another energy than the key's, by the key that was not taken."""
    difference: float = 0.0
    """Largest difference per atom between the two energies."""
    ignored: dict[str, int] = field(default_factory=dict)
    """Number of frames whose label is in the file but not used, by reason."""
    non_finite: list[str] = field(default_factory=list)
    """File and frame of each label that has NaN or inf."""

    @property
    def constant(self) -> bool:
        """Whether more than one frame has the label and all values are equal."""
        return self.present > 1 and self.minimum == self.maximum

    def add(self, value: torch.Tensor | None, report: LabelReport, n_atoms: int, where: str) -> None:
        """Count one frame; ``value`` holds its unmasked entries."""
        has = value is not None and value.numel()
        extremes = (float(value.min()), float(value.max())) if has else None  # type: ignore[union-attr]
        self.add_range(extremes, report, n_atoms, where)

    def add_range(self, extremes: tuple[float, float] | None, report: LabelReport, n_atoms: int, where: str) -> None:
        """Count one frame by the smallest and largest of its unmasked entries, or None."""
        if report.ignored:
            _count(self.ignored, report.ignored)
        if report.non_finite:
            self.non_finite.append(f"{where} ({report.non_finite})")
        if extremes is None:
            self.missing += 1
            return
        self.present += 1
        if report.instead_of:
            _count(self.instead_of, report.instead_of)
            self.difference = max(self.difference, report.difference)
        if report.source:
            _count(self.sources, report.source)
        low, high = extremes
        self.minimum = low if self.minimum is None else min(self.minimum, low)
        self.maximum = high if self.maximum is None else max(self.maximum, high)
        if n_atoms > 1:
            self.zero_candidates += 1
            self.all_zero += int(low == high == 0.0)


@dataclass
class SetCensus:
    """Counts of frames, atoms, elements and labels in one set."""

    frames: int = 0
    atoms: int = 0
    elements: dict[str, int] = field(default_factory=dict)
    labels: dict[str, LabelCensus] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    """Number of frames by the ``place:key`` of each numeric value found in them."""


class Census:
    """Counts of labels and elements, by set.

    Args:
        contract: The labels to count.
        units: Unit system of the data, for the table.
    """

    def __init__(self, contract: LabelContract, units: Units = "metal") -> None:
        self.contract = contract
        self.units = units
        self.sets: dict[str, SetCensus] = {}

    def add(self, set_name: str, collection: FrameCollection) -> None:
        """Count a set.

        Args:
            set_name: ``train``, ``val0``, ``test0`` ...
            collection: Its frames.
        """
        from ase.data import chemical_symbols

        counted = self.sets.setdefault(set_name, SetCensus())
        for label, source in self.contract.items():
            counted.labels.setdefault(label, LabelCensus(source.key, source.unit))
        if isinstance(collection.frames, PackedFrames):
            self._add_packed(counted, collection, collection.frames)
            return
        for frame, report, place, found in zip(
            collection.frames, collection.reports, collection.places, collection.keys, strict=True
        ):
            n_atoms = frame["positions"].shape[0]
            counted.frames += 1
            counted.atoms += n_atoms
            for number in frame["atomic_numbers"].tolist():
                _count(counted.elements, chemical_symbols[number])
            for label, rows in counted.labels.items():
                rows.add(_present(frame, label), report[label], n_atoms, place)
            for key in found:
                _count(counted.keys, key)

    def _add_packed(self, counted: SetCensus, collection: FrameCollection, frames: PackedFrames) -> None:
        """As ``add``, without a loop over the atoms."""
        from ase.data import chemical_symbols

        atoms = frames.num_atoms()
        counted.frames += len(frames)
        counted.atoms += int(atoms.sum())
        for number, (count, _) in sorted(frames.elements().items(), key=lambda one: one[1][1]):
            symbol = chemical_symbols[number]
            counted.elements[symbol] = counted.elements.get(symbol, 0) + count
        sizes = atoms.tolist()
        for label, rows in counted.labels.items():
            for has, low, high, report, n_atoms, place in zip(
                *(one.tolist() for one in frames.ranges(label)),
                collection.reports,
                sizes,
                collection.places,
                strict=True,
            ):
                rows.add_range((low, high) if has else None, report[label], n_atoms, place)
        for found in collection.keys:
            for key in found:
                _count(counted.keys, key)

    def problems(self, required: Mapping[str, str], sets: Sequence[str] = ("train",)) -> list[str]:
        """Messages on required labels that are absent or zero throughout a set, or NaN or inf anywhere.

        Args:
            required: The place in the config that needs each label, e.g. ``{"forces":
                "training_module.loss.coeffs.forces"}``.
            sets: Sets that must have the labels.
        """
        messages = []
        for label, where in required.items():
            for set_name in sets:
                if set_name in self.sets:
                    messages.extend(self._label_problems(label, where, set_name, self.sets[set_name]))
            messages.extend(self.non_finite_problems((label,), where))
        return messages

    def non_finite_problems(self, labels: Iterable[str] | None = None, where: str = "data.labels") -> list[str]:
        """Messages on labels with NaN or inf, with the first files and frames."""
        messages = []
        for label in self.contract if labels is None else labels:
            if found := [place for row in self.rows(label) for place in row.non_finite]:
                shown = ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")
                hint = "correct the data, or mask_nan_labels: true to treat NaN as missing"
                messages.append(problem(where, f"{label} is NaN or inf in {shown}", hint=hint))
        return messages

    def rows(self, label: str) -> list[LabelCensus]:
        """The counts of a label in each set."""
        return [one.labels[label] for one in self.sets.values() if label in one.labels]

    def has(self, label: str) -> bool:
        """Whether any frame has the label, even if it is not used."""
        return any(row.sources or row.ignored or row.non_finite for row in self.rows(label))

    def key_hint(self, *set_names: str, wanted: Iterable[str] = ()) -> str:
        """Advice on where labels may be: one line that names a key for each of them, and all keys of some sets.

        Args:
            *set_names: The sets.
            wanted: Labels that are missed, besides those that ASE's calculators have.
        """
        found = {key for name in set_names for key in self.sets[name].keys}
        read = {label: one.text() for label, one in self.contract.items() if self.has(label)}
        line = labels_line(found, read, wanted)
        advice = f"write {line}; " if line else ""
        names = sorted(key.split(":", 1)[1] for key in found)
        return f"{advice}keys found: {', '.join(names) or 'none'}"

    def _label_problems(self, label: str, where: str, set_name: str, counted: SetCensus) -> list[str]:
        rows = counted.labels.get(label)
        if rows is None or not rows.present:
            what = f"{label} is in none of the {counted.frames} {set_name} frames"
            if rows is None:
                hint = self.key_hint(set_name, wanted=[label])
                return [problem(where, f"{what}: data.labels does not name it", hint=hint)]
            what += "".join(f" ({count} ignored: {reason})" for reason, count in rows.ignored.items())
            hint = self.key_hint(set_name, wanted=[label])
            return [problem(where, f"{what}; read from the key {rows.key!r}", hint=hint)]
        if rows.zero_candidates and rows.all_zero == rows.zero_candidates:
            what = f"{label} is zero in all {rows.all_zero} {set_name} frames of more than one atom"
            return [problem(where, what, hint="read the label from another key, or give it no weight")]
        return []

    def to_dict(self) -> dict[str, Any]:
        """Plain containers for logs and checkpoints; the range of labels that were not found is None."""
        return {"units": self.units, "sets": {name: asdict(counted) for name, counted in self.sets.items()}}

    def __str__(self) -> str:
        from rich.console import Console
        from rich.table import Table

        text = io.StringIO()
        console = Console(file=text, width=118, color_system=None)
        table = Table(title=f"Labels in the data ({self.units} units)")
        for heading in ("set", "label", "key", "present", "missing", "all zero", "min", "max", "unit", "notes"):
            table.add_column(heading, overflow="fold")
        for name, counted in self.sets.items():
            for label, row in counted.labels.items():
                table.add_row(*self._row(name, label, row))
        console.print(table)
        for name, counted in self.sets.items():
            elements = " ".join(f"{symbol}:{count}" for symbol, count in sorted(counted.elements.items()))
            console.print(f"{name}: {counted.frames} frames, {counted.atoms} atoms ({elements})", highlight=False)
        return text.getvalue().rstrip("\n")

    def _row(self, set_name: str, label: str, row: LabelCensus) -> list[str]:
        notes = [f"{count} ignored: {reason}" for reason, count in row.ignored.items()]
        energy = UNIT_SYSTEMS[self.units].energy
        notes += [
            f"{count} in place of {key}, since forces belong to it: up to {row.difference:.3g} {energy}/atom apart"
            for key, count in row.instead_of.items()
        ]
        notes += [f"{len(row.non_finite)} with NaN or inf"] if row.non_finite else []
        notes += ["constant"] if row.constant else []
        unit = unit_in(FIELDS[label].unit, self.units)
        unit += f" (file: {row.unit})" if row.unit else ""
        counts = [str(row.present), str(row.missing), str(row.all_zero)]
        extremes = [f"{row.minimum:.6g}", f"{row.maximum:.6g}"] if row.present else ["", ""]
        return [set_name, label, ", ".join(row.sources) or row.key, *counts, *extremes, unit, "; ".join(notes)]


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def _present(frame: Graph, label: str) -> torch.Tensor | None:
    """Values of a label that are not masked out; None without the label."""
    if label not in frame:
        return None
    mask = frame.get(mask_key(label))
    return frame[label] if mask is None else frame[label][mask]
