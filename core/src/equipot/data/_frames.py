"""One ``ase.Atoms`` to one frame, with labels read by explicit key.

Labels come from ``atoms.calc.results``, ``atoms.info`` or ``atoms.arrays`` and nowhere else: no
method of a calculator is called, so that ASE's constraints never change a force.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch

from equipot.errors import ConfigError, DataError, did_you_mean, problem
from equipot.fields import FIELDS, LABELS, mask_key
from equipot.graph import Graph

if TYPE_CHECKING:
    from ase import Atoms

Convention = Literal["stress", "negative_stress", "virial"]
"""What a tensor labelled ``stress`` is in the file: ASE's stress (eV/Å³, positive under tension), its
negative, or the virial ``-stress * volume`` (eV, as in QUIP)."""

INPUTS: tuple[str, ...] = ("total_charge", "spin_multiplicity")
"""Inputs of a model that the contract may name; every frame must have them."""

DEFAULT_LABELS: dict[str, str] = {"total_energy": "energy", "forces": "forces", "stress": "stress"}
"""Labels as in ASE's ``SinglePointCalculator``."""

_NOT_FINITE = "positions or cell contain NaN or inf"
_PLACES = ("results", "info", "arrays")
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True)
class LabelSource:
    """Where a label is found in the files."""

    key: str
    """Key in calc.results, info or arrays; ``info:KEY`` looks in one of them only."""

    convention: Convention = "stress"
    """Meaning of a tensor that is read as stress."""


LabelContract = dict[str, LabelSource]


@dataclass
class LabelReport:
    """What became of one label in one frame."""

    source: str | None = None
    """``results:KEY``, ``info:KEY`` or ``arrays:KEY``; None if absent."""
    ignored: str | None = None
    """Why a label in the file is not used."""
    non_finite: str | None = None
    """``nan`` or ``inf`` if the label contains any."""


def label_contract(labels: Mapping[str, str | Mapping[str, str]] | None, where: str = "data.labels") -> LabelContract:
    """The checked contract.

    Args:
        labels: Label to key, or to ``{"key": ..., "convention": "stress" | "negative_stress" |
            "virial"}`` for the label ``stress``; None for the keys of ASE's calculators.
        where: Dotted path that messages start with.

    Raises:
        ConfigError: With all problems.
    """
    contract: LabelContract = {}
    problems = []
    allowed = (*LABELS, *INPUTS)
    for label, given in (DEFAULT_LABELS if labels is None else labels).items():
        place = f"{where}.{label}"
        if label not in allowed:
            hint = did_you_mean(label, allowed) or f"labels: {', '.join(allowed)}"
            problems.append(problem(place, "unknown label", hint=hint))
            continue
        if not isinstance(given, (str, Mapping)):
            problems.append(problem(place, "must be a string or a mapping", got=given))
            continue
        options = {"key": given} if isinstance(given, str) else dict(given)
        if found := _source_problems(label, options, place):
            problems.extend(found)
        else:
            contract[label] = LabelSource(**options)  # type: ignore[arg-type]
    if not problems and not set(contract) & set(LABELS):
        problems.append(problem(where, "names no label", hint="write {total_energy: KEY, ...}"))
    if problems:
        raise ConfigError(problems)
    return contract


def _source_problems(label: str, options: dict[str, Any], place: str) -> list[str]:
    problems = []
    if unknown := sorted(set(options) - {"key", "convention"}):
        problems.append(problem(place, f"unknown options {unknown}", hint="options: key, convention"))
    if not isinstance(options.get("key"), str) or not options["key"]:
        problems.append(problem(f"{place}.key", "must be a string", got=options.get("key")))
    convention = options.get("convention", "stress")
    if convention not in get_args(Convention):
        problems.append(
            problem(
                f"{place}.convention", "unknown", got=convention, hint=f"choose one of {list(get_args(Convention))}"
            )
        )
    elif convention != "stress" and label != "stress":
        problems.append(problem(f"{place}.convention", "is for the label stress only", got=convention))
    return problems


def frame_from_atoms(
    atoms: Atoms, contract: LabelContract, where: str = "atoms", *, mask_nan: bool = False
) -> tuple[Graph, dict[str, LabelReport]]:
    """One frame with its labels; absent labels are absent keys.

    Args:
        atoms: The frame; its constraints are ignored.
        contract: Labels to read.
        where: File and frame, for messages.
        mask_nan: Treat NaN in a label as missing instead of reporting it.

    Returns:
        The frame (atom types and edges are added by transforms) and a report per label.

    Raises:
        DataError: On no atoms, positions or cell that are not finite, a periodic direction without a
            cell vector, a label of the wrong shape, or a missing model input.
    """
    if len(atoms) == 0:
        raise DataError(problem(where, "has no atoms"))
    frame = _geometry(atoms, where)
    reports = {label: LabelReport() for label in contract}
    for label, source in contract.items():
        found = _find(atoms, source.key, where)
        if found is None:
            if label in INPUTS:
                raise DataError(
                    problem(where, f"{label} is in the label contract but {source.key!r} is not in the frame")
                )
            continue
        reports[label].source = f"{found[0]}:{source.key.split(':')[-1]}"
        value = _shaped(label, found[1], len(atoms), f"{where}, {source.key}")
        if label in INPUTS:
            frame[label] = torch.as_tensor(value).to(getattr(torch, FIELDS[label].dtype))
            continue
        if label in ("stress", "virial"):
            if reason := _no_stress(atoms):
                reports[label].ignored = reason
                continue
            value = _converted(value, source.convention, atoms)
        _store(frame, label, value, reports[label], mask_nan=mask_nan)
    return frame, reports


def _geometry(atoms: Atoms, where: str) -> Graph:
    positions = finite_positions(atoms, where)
    cell = np.array(atoms.cell.array, dtype=np.float64)
    pbc = np.array(atoms.pbc, dtype=np.bool_)
    if not np.isfinite(cell).all():
        raise DataError(problem(where, _NOT_FINITE))
    if pbc.any() and np.linalg.matrix_rank(cell[pbc]) < pbc.sum():
        raise DataError(
            problem(
                where,
                f"periodic ({pbc.tolist()}) but the cell has no volume there",
                got=cell.tolist(),
                hint="set pbc to F or give the cell",
            )
        )
    n = len(atoms)
    return {
        "positions": positions,
        "cell": torch.from_numpy(cell).reshape(1, 3, 3),
        "pbc": torch.from_numpy(pbc).reshape(1, 3),
        "atomic_numbers": torch.from_numpy(np.array(atoms.numbers, dtype=np.int64)),
        "batch": torch.zeros(n, dtype=torch.int64),
        "num_atoms": torch.tensor([n], dtype=torch.int64),
    }


def finite_positions(atoms: Atoms, where: str) -> torch.Tensor:
    """A copy of the positions in Å, float64, shape [n_atoms, 3].

    Raises:
        DataError: If there is NaN or infinity in them.
    """
    positions = np.array(atoms.positions, dtype=np.float64)
    if not np.isfinite(positions).all():
        raise DataError(problem(where, _NOT_FINITE))
    return torch.from_numpy(positions)


def _find(atoms: Atoms, key: str, where: str) -> tuple[str, Any] | None:
    place, _, name = key.partition(":")
    places: tuple[str, ...] = _PLACES
    if name and place in _PLACES:
        places = (place,)
    else:
        name = key
    found = [(one, held[name]) for one, held in _held(atoms).items() if one in places and held.get(name) is not None]
    for other in found[1:]:
        if not np.array_equal(np.ravel(found[0][1]), np.ravel(other[1])):
            raise DataError(
                problem(
                    where,
                    f"{name!r} has different values in calc.{found[0][0]} and {other[0]}",
                    hint=f"say which one: '{other[0]}:{name}'",
                )
            )
    return found[0] if found else None


def _held(atoms: Atoms) -> dict[str, Mapping[str, Any]]:
    """What a frame holds by place; ASE databases keep their columns one level down in info."""
    info = {**atoms.info.get("data", {}), **atoms.info.get("key_value_pairs", {}), **atoms.info}
    results = getattr(atoms.calc, "results", None) or {}
    return {"results": results, "info": info, "arrays": atoms.arrays}


def keys_found(atoms: Atoms) -> dict[str, tuple[int, ...]]:
    """Shape of everything numeric that a frame holds besides its geometry, as ``place:key``."""
    found = {}
    for place, held in _held(atoms).items():
        for key, value in held.items():
            if (place, key) in (("arrays", "numbers"), ("arrays", "positions")) or isinstance(
                value, (str, bytes, bool, dict)
            ):
                continue
            array = np.asarray(value)
            if array.dtype.kind in "fi":
                found[f"{place}:{key}"] = array.shape
    return found


def suggest_keys(label: str, found: Iterable[str]) -> list[str]:
    """Keys among those found that look like the label, e.g. ``dft_energy`` for total_energy."""
    words = {
        "total_energy": "energy",
        "forces": "force",
        "stress": "stress",
        "virial": "virial",
        "atomic_energy": "energies",
    }
    word = words.get(label, label)
    hits = sorted({key.split(":", 1)[1] for key in found if word in key.lower()})
    return sorted(hits, key=lambda key: (not key.lower().endswith(word), len(key)))


def _shaped(label: str, value: Any, n_atoms: int, where: str) -> np.ndarray[Any, np.dtype[Any]]:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(problem(where, f"is no number, so no {label}", got=value)) from None
    if label in ("stress", "virial"):
        if array.size not in (6, 9):
            raise DataError(problem(where, f"{label} must have 6 (Voigt), 9 or 3x3 numbers", got=array.shape))
        return _full_tensor(array.ravel())[None]
    shapes: dict[str, tuple[int, ...]] = {"forces": (n_atoms, 3), "atomic_energy": (n_atoms,)}
    shape = shapes.get(label, (1,))
    if array.shape == shape or (shape == (1,) and array.size == 1):
        return array.reshape(shape)
    raise DataError(problem(where, f"{label} must have the shape {shape}", got=array.shape))


def _full_tensor(values: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
    if values.size == 9:
        return values.reshape(3, 3)
    full = np.empty((3, 3))
    for value, (row, column) in zip(values, _VOIGT, strict=True):
        full[row, column] = full[column, row] = value
    return full


def _no_stress(atoms: Atoms) -> str | None:
    """Why a frame has no stress: pbc decides, then the volume of the user's cell."""
    if not atoms.pbc.any():
        return "not periodic"
    return None if abs(np.linalg.det(atoms.cell.array)) > 1e-12 else "partly periodic without a cell volume"


def _converted(
    value: np.ndarray[Any, np.dtype[Any]], convention: Convention, atoms: Atoms
) -> np.ndarray[Any, np.dtype[Any]]:
    if convention == "negative_stress":
        return -value
    return -value / abs(np.linalg.det(atoms.cell.array)) if convention == "virial" else value


def _store(
    frame: Graph, label: str, value: np.ndarray[Any, np.dtype[Any]], report: LabelReport, *, mask_nan: bool
) -> None:
    rows = value.reshape(value.shape[0], -1)
    if np.isinf(rows).any():
        report.non_finite = "inf"
    elif np.isnan(rows).any() and not mask_nan:
        report.non_finite = "nan"
    present = np.isfinite(rows).all(axis=1)
    if not present.any() and report.non_finite is None:
        report.ignored = "nan"
        return
    value = np.where(present.reshape(-1, *[1] * (value.ndim - 1)), value, 0.0)
    frame[label] = torch.from_numpy(np.array(value, dtype=np.float64))
    frame[mask_key(label)] = torch.from_numpy(present)
