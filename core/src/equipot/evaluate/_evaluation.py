"""What an evaluation found, and its errors by element, group, file and frame."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from equipot.data._frames import LabelContract, LabelReport
from equipot.evaluate._uncertainties import Uncertainties, uncertainties_of
from equipot.fields import FIELDS
from equipot.graph import Graph
from equipot.quantities import ENERGY, Reported
from equipot.units import UNIT_SYSTEMS, Units

WORST = 5
"""Frames that are listed for each quantity."""


@dataclass(frozen=True)
class Compared:
    """Labels and predictions of one quantity over a data set."""

    quantity: Reported
    """The quantity and its unit."""
    labels: torch.Tensor
    """Flat, float64, in the unit of the quantity."""
    predictions: torch.Tensor
    """In the same order and unit as ``labels``."""
    frames: torch.Tensor
    """Index of the frame of each value, int64."""
    atoms: torch.Tensor | None = None
    """Index of the atom in its frame for each value, int64; None if the quantity is per frame."""
    elements: torch.Tensor | None = None
    """Atomic number of the atom of each value, int64; None if the quantity is per frame."""
    weights: torch.Tensor | None = None
    """Weight of each value in the data, float64; None if there are none, or all are equal."""

    @property
    def name(self) -> str:
        """``per_atom_energy``, ``forces``, ``stress``, or another label."""
        return self.quantity.name

    def errors(self) -> dict[str, float | int | str]:
        """Root mean square, mean absolute and largest error, with unit and number of values.

        With weights w there are also ``weighted_rmse`` and ``weighted_mae``: the means of metrics in training,
        ``sum(w x) / sum(w)``. Largest errors have no weights.
        """
        errors = self.predictions - self.labels
        return {**error_numbers(errors), **_weighted_numbers(errors, self.weights), "unit": self.quantity.unit}

    def select(self, chosen: torch.Tensor) -> Compared | None:
        """The values where ``chosen`` (bool, one entry per value) is True; None if there are none."""
        if not bool(chosen.any()):
            return None
        parts = (self.labels, self.predictions, self.frames, self.atoms, self.elements, self.weights)
        return Compared(self.quantity, *(None if part is None else part[chosen] for part in parts))  # type: ignore[arg-type]


def error_numbers(differences: torch.Tensor) -> dict[str, float | int]:
    """``rmse``, ``mae``, ``max`` and the number of ``values`` of errors, in their unit."""
    size = differences.abs()
    return {
        "rmse": float(size.square().mean().sqrt()),
        "mae": float(size.mean()),
        "max": float(size.max()),
        "values": size.numel(),
    }


def _weighted_numbers(differences: torch.Tensor, weights: torch.Tensor | None) -> dict[str, float]:
    if weights is None:
        return {}
    total = weights.sum()
    return {
        "weighted_rmse": float(((weights * differences.square()).sum() / total).sqrt()),
        "weighted_mae": float((weights * differences.abs()).sum() / total),
    }


@dataclass(frozen=True)
class EvaluatedFrame:
    """One frame with its labels and what the model says of it."""

    place: str
    """``FILE, frame INDEX``."""
    file: str
    """Its file, as given."""
    index: int
    """Number of the frame in its file, from 0."""
    group: str
    """``config_type`` of the frame; empty without."""
    isolated: bool
    """Marked as an isolated atom."""
    frame: Graph = field(repr=False)
    """Geometry, labels and masks, in the units of the model."""
    predictions: Graph = field(repr=False)
    """``total_energy``, ``forces``, ``stress``, ``stress_mask`` and other labels that were looked for, as far as the
    model predicts them."""
    reports: Mapping[str, LabelReport] = field(repr=False)
    """How each label was read."""

    @property
    def numbers(self) -> torch.Tensor:
        """Atomic numbers, int64, shape [n_atoms]."""
        return self.frame["atomic_numbers"]


@dataclass(frozen=True)
class Group:
    """Errors of some of the values: those of an element, a config type or a file."""

    n_frames: int
    """Frames that have any of the values."""
    errors: dict[str, dict[str, float | int | str]]
    """As of ``Compared.errors``, by quantity."""


@dataclass(frozen=True)
class Worst:
    """The largest error of one quantity in one frame."""

    place: str
    """File and index of the frame."""
    error: float
    """Prediction minus label of the value with the largest error, in the unit of the quantity."""
    atom: int | None
    """Index of the atom, from 0, if the quantity is per atom."""


@dataclass(frozen=True)
class WithoutComposition:
    """Errors of the energy after the part that depends on the composition alone is taken away.

    The offsets e_Z are those that minimise ``sum over frames of ((ΔE - sum_Z n_Z e_Z) / n)²``, with the error ΔE of the
    energy, the number n_Z of atoms of the element Z and the number n of all atoms; of several solutions, the shortest.
    """

    errors: dict[str, float | int | str]
    """``rmse``, ``mae``, ``max``, ``values`` and ``unit`` of what is left, per atom."""
    offsets: dict[str, float]
    """e_Z by element in the unit of the errors per atom."""
    rank: int
    """Number of offsets that the compositions determine; less than that of the elements, only combinations count."""


@dataclass(frozen=True)
class Evaluation:
    """Errors of a model on a data set."""

    n_frames: int
    compared: tuple[Compared, ...]
    """One entry for each quantity that has both labels and predictions. Isolated atoms are left out, unless there is
    nothing else."""
    frames: tuple[EvaluatedFrame, ...] = ()
    """All frames, in the order of the files."""
    contract: LabelContract = field(default_factory=dict)
    """Where the labels were looked for."""
    outputs: tuple[str, ...] = ()
    """What the model predicts."""
    units: Units = "metal"
    """Of the model."""
    warnings: tuple[str, ...] = ()
    """What is strange about the labels, a sentence each."""

    @property
    def energy_in_ev(self) -> float:
        """The model's unit of energy in eV."""
        return UNIT_SYSTEMS[self.units].energy_in_ev

    def factor(self, one: Compared) -> float:
        """What numbers of the model are multiplied with, to be in the unit of the quantity."""
        return one.quantity.factor(self.units)

    def to_dict(self) -> dict[str, Any]:
        """Errors under names such as ``forces_mae_mev_per_angstrom``, and all details, as plain containers."""
        plain: dict[str, Any] = {"n_frames": self.n_frames}
        for one in self.compared:
            errors = one.errors()
            kinds = ("rmse", "mae", "max", "weighted_rmse", "weighted_mae")
            plain |= {one.quantity.number(kind): errors[kind] for kind in kinds if kind in errors}
            plain[f"{one.name}_values"] = errors["values"]
        if not self.frames:
            return plain
        left = self.without_composition
        return plain | {
            "units": {one.name: one.quantity.unit for one in self.compared},
            "labels": self.labels(),
            "without_composition": None if left is None else vars(left),
            "by_element": {name: vars(group) for name, group in self.by_element().items()},
            "by_config_type": {name: vars(group) for name, group in self.by_config_type().items()},
            "by_file": {name: vars(group) for name, group in self.by_file().items()},
            "worst": {name: [vars(one) for one in found] for name, found in self.worst().items()},
            "isolated_atoms": self.isolated_atoms(),
            **({} if self.uncertainties is None else {"uncertainties": self.uncertainties.to_dict()}),
            "warnings": list(self.warnings),
        }

    # ---------------------------------------------------------------- labels

    def labels(self) -> dict[str, dict[str, Any]]:
        """Of each label: its key and convention, the places it was read from, and the frames that have it.

        ``sources`` and ``ignored`` hold numbers of frames, ``compared`` whether there are errors of it. ``weights`` has
        the number of frames with each key of weights, ``zero_weights`` that of frames or atoms of weight 0, which are
        part of no error.
        """
        compared = {one.quantity.label for one in self.compared}
        found = {}
        for label in sorted(self.contract, key=list(FIELDS).index):
            source = self.contract[label]
            reports = [frame.reports[label] for frame in self.frames if label in frame.reports]
            ignored = _counts(one.ignored for one in reports if one.ignored)
            found[label] = {
                "key": source.key,
                "convention": source.convention,
                "sources": _counts(one.source for one in reports if one.source),
                "frames": sum(bool(one.source) and not one.ignored for one in reports),
                "ignored": ignored,
                "weights": _counts(key for one in reports for key in one.weight_keys),
                "zero_weights": sum(one.zero_weights for one in reports),
                "compared": label in compared,
            }
        return found

    # ---------------------------------------------------------------- groups

    def by_element(self) -> dict[str, Group]:
        """Errors of forces and other labels of atoms by element."""
        from ase.data import chemical_symbols

        of_atoms = [one for one in self.compared if one.elements is not None]
        numbers = sorted({int(number) for one in of_atoms for number in one.elements.unique()})  # type: ignore[union-attr]
        return {
            chemical_symbols[number]: _group([(one, one.elements == number) for one in of_atoms])  # type: ignore[misc]
            for number in numbers
        }

    def by_config_type(self) -> dict[str, Group]:
        """Errors by ``config_type``; frames without one are under an empty name."""
        return self._by(lambda frame: frame.group)

    def by_file(self) -> dict[str, Group]:
        """Errors by file."""
        return self._by(lambda frame: frame.file)

    def _by(self, name_of: Callable[[EvaluatedFrame], str]) -> dict[str, Group]:
        names = list(dict.fromkeys(name_of(frame) for frame in self.frames))
        index = {name: number for number, name in enumerate(names)}
        group_of = torch.tensor([index[name_of(frame)] for frame in self.frames], dtype=torch.int64)
        groups = {
            name: _group([(one, group_of[one.frames] == number) for one in self.compared])
            for name, number in index.items()
        }
        return {name: group for name, group in groups.items() if group.errors}

    # ---------------------------------------------------------------- frames

    def worst(self, count: int = WORST) -> dict[str, list[Worst]]:
        """The frames with the largest error, by quantity, the worst first.

        Args:
            count: Frames of each quantity.
        """
        return {one.name: self._worst(one, count) for one in self.compared}

    def _worst(self, one: Compared, count: int) -> list[Worst]:
        errors = (one.predictions - one.labels).numpy()
        order = np.lexsort((-np.abs(errors), one.frames.numpy()))
        frames = one.frames.numpy()[order]
        first = order[np.concatenate([[True], frames[1:] != frames[:-1]])]  # the largest error of each frame
        chosen = first[np.argsort(-np.abs(errors[first]), kind="stable")][:count]
        atoms = None if one.atoms is None else one.atoms.numpy()
        return [
            Worst(self.frames[frame].place, float(errors[at]), None if atoms is None else int(atoms[at]))
            for at, frame in zip(chosen.tolist(), one.frames.numpy()[chosen].tolist(), strict=True)
        ]

    def isolated_atoms(self) -> list[dict[str, Any]]:
        """Element, label and prediction (eV) of each isolated atom."""
        from ase.data import chemical_symbols

        return [
            {
                "element": chemical_symbols[int(one.numbers[0])],
                "label_ev": float(one.frame["total_energy"][0]) * self.energy_in_ev,
                "prediction_ev": float(one.predictions["total_energy"][0]) * self.energy_in_ev,
                "place": one.place,
            }
            for one in self.frames
            if one.isolated and "total_energy" in one.frame and "total_energy" in one.predictions
        ]

    # --------------------------------------------------------- uncertainties

    @functools.cached_property
    def uncertainties(self) -> Uncertainties | None:
        """What the standard deviations that the model predicts are worth; None if it predicts none."""
        return uncertainties_of(self)

    # ---------------------------------------------------------- compositions

    @functools.cached_property
    def without_composition(self) -> WithoutComposition | None:
        """Errors of the energy without the part of the composition; None without energies or with too few frames."""
        found = self._left_over()
        if found is None:
            return None
        energies, left, offsets, rank = found
        if len(left) <= rank:
            return None
        errors = {**error_numbers(torch.from_numpy(left)), "unit": energies.quantity.unit}
        return WithoutComposition(errors, offsets, rank)

    def _left_over(self) -> tuple[Compared, Any, dict[str, float], int] | None:
        """The energies, their errors without the composition, the offset of each element, and the rank of the fit."""
        from ase.data import chemical_symbols

        energies = next((one for one in self.compared if one.name == ENERGY), None)
        if energies is None or not self.frames:
            return None
        numbers = [self.frames[index].numbers.numpy() for index in energies.frames.tolist()]
        elements = np.unique(np.concatenate(numbers))
        shares = np.stack([np.bincount(np.searchsorted(elements, one), minlength=len(elements)) for one in numbers])
        shares = shares / shares.sum(axis=1, keepdims=True)
        errors = (energies.predictions - energies.labels).numpy()
        offsets, _, rank, _ = np.linalg.lstsq(shares, errors, rcond=1e-10)
        by_symbol = {chemical_symbols[number]: float(one) for number, one in zip(elements, offsets, strict=True)}
        return energies, errors - shares @ offsets, by_symbol, int(rank)

    def energy_left_over(self) -> dict[int, float]:
        """Error of the energy per atom without the part of the composition, by index of the frame; maybe empty."""
        if self.without_composition is None or (found := self._left_over()) is None:
            return {}
        return dict(zip(found[0].frames.tolist(), found[1].tolist(), strict=True))


def _group(chosen: Iterable[tuple[Compared, torch.Tensor]]) -> Group:
    """Errors of the chosen values of each quantity."""
    parts = [part for one, which in chosen if (part := one.select(which)) is not None]
    frames = torch.cat([part.frames for part in parts]).unique() if parts else ()
    return Group(len(frames), {part.name: part.errors() for part in parts})


def _counts(names: Any) -> dict[str, int]:
    counted: dict[str, int] = {}
    for name in names:
        counted[name] = counted.get(name, 0) + 1
    return counted
