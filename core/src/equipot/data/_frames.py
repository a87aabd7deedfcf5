"""Convert ``ase.Atoms`` to a frame, with labels read by explicit key.

Labels are read from ``atoms.calc.results``, ``atoms.info`` and ``atoms.arrays`` only. No method of a
calculator is called, so that ASE's constraints never change a force.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from equipot.data._label_contract import (
    DEFAULT_LABELS,
    LabelContract,
    LabelSource,
    label_contract,
    without_force_consistent,
)
from equipot.data._label_hints import suggest_keys
from equipot.data._remarks import check_unit_tags, unused_weights
from equipot.data._streams import reading
from equipot.errors import DataError, problem
from equipot.fields import FIELDS, OPTIONAL_INPUTS, mask_key, row_shape, weight_key
from equipot.graph import Graph

if TYPE_CHECKING:
    from ase import Atoms

__all__ = [
    "DEFAULT_LABELS",
    "LabelContract",
    "LabelReport",
    "LabelSource",
    "finite_positions",
    "frame_from_atoms",
    "frame_remarks",
    "keys_found",
    "label_contract",
    "suggest_keys",
    "without_force_consistent",
]

Array = np.ndarray[Any, np.dtype[Any]]

_NOT_FINITE = "positions or cell contain NaN or inf"
HEAVIEST = 118
"""Largest atomic number."""

_EQUAL = 1e-9
"""Energies per atom that differ by less are one energy, printed twice."""
_PLACES = ("results", "info", "arrays")


@dataclass
class LabelReport:
    """How one label of one frame was read."""

    source: str | None = None
    """``results:KEY``, ``info:KEY`` or ``arrays:KEY``; None if absent."""
    instead_of: str | None = None
    """Key of the energy that was not taken, because forces belong to another."""
    difference: float = 0.0
    """By how much the two energies differ, per atom."""
    ignored: str | None = None
    """Why a label in the file is not used."""
    non_finite: str | None = None
    """``nan`` or ``inf`` if the label contains any."""
    weight_keys: list[str] = field(default_factory=list)
    """Keys of weights that the frame has."""
    rows: int = 0
    """Number of rows (one, or one for each atom) that have the label."""
    weight_sum: float = 0.0
    """Sum of the weights of these rows."""
    zero_weights: int = 0
    """Number of rows whose weight is 0, which are left out."""


def frame_from_atoms(
    atoms: Atoms, contract: LabelContract, where: str = "atoms", *, mask_nan: bool = False
) -> tuple[Graph, dict[str, LabelReport]]:
    """Convert ``ase.Atoms`` to a frame with its labels.

    Args:
        atoms: The structure; its constraints are ignored.
        contract: Labels to read.
        where: File and frame, for messages.
        mask_nan: Treat NaN in a label as missing instead of reporting it.

    Returns:
        The frame and a report per label. Keys of labels that are not found are absent; transforms add
        atom types and edges.

    Raises:
        DataError: If there are no atoms, positions or cell are not finite, a periodic direction has no
            cell vector, a label has the wrong shape, or a model input is missing.
    """
    with reading(where):  # what a file keeps under the key of a label can be anything
        return _labelled(atoms, contract, where, mask_nan=mask_nan)


def _labelled(
    atoms: Atoms, contract: LabelContract, where: str, *, mask_nan: bool
) -> tuple[Graph, dict[str, LabelReport]]:
    if len(atoms) == 0:
        raise DataError(problem(where, "has no atoms"))
    frame = _geometry(atoms, where)
    reports = {label: LabelReport() for label in contract}
    for label, source in contract.items():
        found = _find(atoms, source.key, where)
        if found is None:
            if label in OPTIONAL_INPUTS:
                what = f"{label} is in the label contract but {source.key!r} is not in the frame"
                raise DataError(problem(where, what))
            continue
        reports[label].source = f"{found[0]}:{source.key.split(':')[-1]}"
        value = _shaped(label, found[1], len(atoms), f"{where}, {source.key}")
        if source.force_consistent is not None and "forces" in contract:
            value = _force_consistent(atoms, value, contract, reports[label], where)
        if label in OPTIONAL_INPUTS:
            frame[label] = torch.as_tensor(value).to(getattr(torch, FIELDS[label].dtype))
            continue
        if label in ("stress", "virial"):
            if reason := _no_stress(atoms):
                reports[label].ignored = reason
                continue
            value = converted(value, source.convention, atoms.cell.array)
        if source.factor != 1.0:
            value = value * source.factor
        weights = _weights(atoms, label, source.weights, value.shape[0], where, reports[label])
        _store(frame, label, value, reports[label], mask_nan=mask_nan, weights=weights)
    return frame, reports


def _weights(atoms: Atoms, label: str, keys: Sequence[str], rows: int, where: str, report: LabelReport) -> Array | None:
    """Weight of each row of a label, the product of those that the frame has; None if the contract names none."""
    if not keys:
        return None
    weights = np.ones(rows)
    found = {key: one for key in keys if (one := _find(atoms, key, where)) is not None}
    report.weight_keys = list(found)
    for key, (_, value) in found.items():
        try:
            array = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise DataError(problem(f"{where}, {key}", "is not a number, as weights must be", got=value)) from None
        if array.size != 1 and array.shape != (rows,):
            what = f"weights of {label} must be one number" + (f" or one for each of the {rows} atoms" * (rows > 1))
            raise DataError(problem(f"{where}, {key}", what, got=array.shape))
        if not np.isfinite(array).all() or (array < 0).any():
            raise DataError(problem(f"{where}, {key}", "weights must be 0 or greater", got=float(array.min())))
        weights = weights * array.reshape(-1)
    return weights


def _force_consistent(atoms: Atoms, energy: Array, contract: LabelContract, report: LabelReport, where: str) -> Array:
    """The energy whose derivatives the forces are, where a calculation gave both; else the energy itself.

    Only calc.results count: columns of databases with such a name hold other free energies, e.g. Gibbs' in QM9.
    """
    key = contract["total_energy"].force_consistent or ""
    other = _held(atoms)["results"].get(key)
    if other is None or _find(atoms, contract["forces"].key, where) is None:
        return energy
    free = _shaped("total_energy", other, len(atoms), f"{where}, {key}")
    difference = float(np.abs(free - energy).max()) / len(atoms)
    if not difference > _EQUAL:  # also if one of them is NaN
        return energy
    report.source, report.instead_of, report.difference = f"results:{key}", contract["total_energy"].key, difference
    return free


def _geometry(atoms: Atoms, where: str) -> Graph:
    positions = finite_positions(atoms, where)
    numbers = np.array(atoms.numbers, dtype=np.int64)
    if strange := numbers[(numbers < 0) | (numbers > HEAVIEST)].tolist():
        raise DataError(problem(where, f"atomic numbers must be from 0 to {HEAVIEST}", got=strange[0]))
    cell = np.array(atoms.cell.array, dtype=np.float64)
    pbc = np.array(atoms.pbc, dtype=np.bool_)
    if not np.isfinite(cell).all():
        raise DataError(problem(where, _NOT_FINITE))
    if pbc.any() and np.linalg.matrix_rank(cell[pbc]) < pbc.sum():
        what = f"periodic ({pbc.tolist()}) but the cell has no volume there"
        raise DataError(problem(where, what, got=cell.tolist(), hint="set pbc to F or give the cell"))
    n = len(atoms)
    return {
        "positions": positions,
        "cell": torch.from_numpy(cell).reshape(1, 3, 3),
        "pbc": torch.from_numpy(pbc).reshape(1, 3),
        "atomic_numbers": torch.from_numpy(numbers),
        "batch": torch.zeros(n, dtype=torch.int64),
        "num_atoms": torch.tensor([n], dtype=torch.int64),
    }


def finite_positions(atoms: Atoms, where: str) -> torch.Tensor:
    """A copy of the positions in Å, float64, shape [n_atoms, 3]; NaN and infinity raise a DataError."""
    positions = np.array(atoms.positions, dtype=np.float64)
    if not np.isfinite(positions).all():
        raise DataError(problem(where, _NOT_FINITE))
    return torch.from_numpy(positions)


def _find(atoms: Atoms, key: str, where: str) -> tuple[str, Any] | None:
    place, _, name = key.partition(":")
    places: tuple[str, ...] = (place,)
    if not name or place not in _PLACES:
        places, name = _PLACES, key
    held = _held(atoms)
    found = [(one, held[one][name]) for one in places if held[one].get(name) is not None]
    for other in found[1:]:
        if not np.array_equal(np.ravel(found[0][1]), np.ravel(other[1])):
            what = f"{name!r} has different values in calc.{found[0][0]} and {other[0]}"
            raise DataError(problem(where, what, hint=f"say which one: '{other[0]}:{name}'"))
    return found[0] if found else None


def _held(atoms: Atoms) -> dict[str, Mapping[str, Any]]:
    """All values of a structure, by place."""
    results = getattr(atoms.calc, "results", None) or {}
    return {"results": results, "info": info_of(atoms), "arrays": atoms.arrays}


def info_of(atoms: Atoms) -> dict[str, Any]:
    """All values in ``info``; ASE databases keep their columns one level down in it."""
    columns = (atoms.info.get(name) for name in ("data", "key_value_pairs"))
    return dict(itertools.chain(*(one.items() for one in (*columns, atoms.info) if isinstance(one, Mapping))))


def keys_found(atoms: Atoms) -> dict[str, tuple[int, ...]]:
    """Shapes of all numeric values of a structure except its geometry, by ``place:key``."""
    geometry = ("arrays:numbers", "arrays:positions")
    found = {f"{place}:{key}": value for place, held in _held(atoms).items() for key, value in held.items()}
    arrays = {key: _numbers(value) for key, value in found.items() if key not in geometry}
    return {key: array.shape for key, array in arrays.items() if array is not None}


def frame_remarks(atoms: Atoms, contract: LabelContract, where: str) -> list[tuple[str, str]]:
    """Notes, as code and text, on what a structure holds besides its labels: units and weights.

    Raises:
        DataError: If it states a unit that differs from the one its labels are read in.
    """
    held = _held(atoms)
    return [*check_unit_tags(held, contract, where), *unused_weights(held, contract)]


def _numbers(value: Any) -> Array | None:
    """A value as an array, if it consists of numbers."""
    if isinstance(value, (str, bytes, bool, dict)):
        return None
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        return None
    return array if array.dtype.kind in "fi" else None


def _shaped(label: str, value: Any, n_atoms: int, where: str) -> Array:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(problem(where, f"is not a number, as {label} must be", got=value)) from None
    if label in ("stress", "virial"):
        from ase.stress import voigt_6_to_full_3x3_stress

        if array.size not in (6, 9):
            raise DataError(problem(where, f"{label} must have 6 (Voigt), 9 or 3x3 numbers", got=array.shape))
        return (array if array.size == 9 else voigt_6_to_full_3x3_stress(array.ravel())).reshape(1, 3, 3)
    per_atom, row = FIELDS[label].per == "atom", row_shape(label)
    shape = (n_atoms if per_atom else 1, *row)
    flat = (shape[0], math.prod(row))  # files of text have all numbers of an atom or frame in one row
    alike = {shape, flat} if per_atom else {shape, flat, row, flat[1:]}
    if array.shape in alike or (shape == (1,) and array.size == 1):
        return array.reshape(shape)
    raise DataError(
        problem(where, f"{label} must have the shape {row if row and not per_atom else shape}", got=array.shape)
    )


def _no_stress(atoms: Atoms) -> str | None:
    """Why the stress of a structure has no meaning, if so: no periodicity, or no volume."""
    if not atoms.pbc.any():
        return "not periodic"
    return None if abs(np.linalg.det(atoms.cell.array)) > 1e-12 else "partly periodic without a cell volume"


def converted(value: Array, convention: str, cell: Array) -> Array:
    """A label as a stress, from what the file has by the convention; ``cell`` has vectors as rows, Å, shape [3, 3]."""
    if convention == "negative_stress":
        return -value
    return -value / abs(np.linalg.det(cell)) if convention == "virial" else value


def _store(
    frame: Graph, label: str, value: Array, report: LabelReport, *, mask_nan: bool, weights: Array | None
) -> None:
    rows = value.reshape(value.shape[0], -1)
    counts = np.ones(rows.shape[0], dtype=np.bool_) if weights is None else weights > 0.0
    report.zero_weights = int((~counts).sum())
    if np.isinf(rows[counts]).any():
        report.non_finite = "inf"
    elif np.isnan(rows[counts]).any() and not mask_nan:
        report.non_finite = "nan"
    present = np.isfinite(rows).all(axis=1) & counts
    if not present.any() and report.non_finite is None:
        report.ignored = "nan" if counts.any() else "weight 0"
        return
    value = np.where(present.reshape(-1, *[1] * (value.ndim - 1)), value, 0.0)
    frame[label] = torch.from_numpy(np.array(value, dtype=np.float64))
    frame[mask_key(label)] = torch.from_numpy(present)
    if weights is not None:
        frame[weight_key(label)] = torch.from_numpy(weights)
        report.rows, report.weight_sum = int(present.sum()), float(weights[present].sum())
