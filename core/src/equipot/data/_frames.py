"""Convert ``ase.Atoms`` to a frame, with labels read by explicit key.

Labels are read from ``atoms.calc.results``, ``atoms.info`` and ``atoms.arrays`` only. No method of a
calculator is called, so that ASE's constraints never change a force.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from equipot.data._streams import reading
from equipot.errors import ConfigError, DataError, problem, unknown
from equipot.fields import FIELDS, LABELS, OPTIONAL_INPUTS, mask_key
from equipot.graph import Graph
from equipot.options import Options, from_mapping

if TYPE_CHECKING:
    from ase import Atoms

Array = np.ndarray[Any, np.dtype[Any]]

DEFAULT_LABELS: dict[str, str] = {"total_energy": "energy", "forces": "forces", "stress": "stress"}
"""Labels by the names of ASE's ``SinglePointCalculator``."""

_NOT_FINITE = "positions or cell contain NaN or inf"
_HEAVIEST = 118
_PLACES = ("results", "info", "arrays")


@dataclass(frozen=True, kw_only=True)
class LabelSource(Options):
    """Where a label is found in the files."""

    key: str = field(kw_only=False)
    """Key in calc.results, info or arrays; ``info:KEY`` looks in one of them only."""

    convention: Literal["stress", "negative_stress", "virial"] = "stress"
    """What the file stores under the label ``stress``: ASE's stress (eV/Å³, positive under tension), its negative, or
    the virial ``-stress * volume`` (eV, as in QUIP)."""

    def problems(self) -> Iterator[str]:
        """The key must not be empty."""
        if not self.key:
            yield problem("key", "must not be empty")


LabelContract = dict[str, LabelSource]


@dataclass
class LabelReport:
    """How one label of one frame was read."""

    source: str | None = None
    """``results:KEY``, ``info:KEY`` or ``arrays:KEY``; None if absent."""
    ignored: str | None = None
    """Why a label in the file is not used."""
    non_finite: str | None = None
    """``nan`` or ``inf`` if the label contains any."""


def label_contract(labels: Mapping[str, str | Mapping[str, str]] | None, where: str = "data.labels") -> LabelContract:
    """Check labels given as ``{label: key}`` or ``{label: {key: ..., convention: ...}}``; None: ``DEFAULT_LABELS``."""
    contract: LabelContract = {}
    problems: list[str] = []
    for label, given in (DEFAULT_LABELS if labels is None else labels).items():
        try:
            contract[label] = _label_source(label, given, f"{where}.{label}")
        except ConfigError as error:
            problems.extend(error.problems)
    if not problems and not set(contract) & set(LABELS):
        problems.append(problem(where, "names no label", hint="write {total_energy: KEY, ...}"))
    if problems:
        raise ConfigError(problems)
    return contract


def _label_source(label: str, given: object, where: str) -> LabelSource:
    allowed = (*LABELS, *OPTIONAL_INPUTS)
    if label not in allowed:
        raise ConfigError(unknown(where, label, allowed, "label"))
    if not isinstance(given, (str, Mapping)):
        raise ConfigError(problem(where, "must be a string or a mapping", got=given))
    source = from_mapping(LabelSource, {"key": given} if isinstance(given, str) else given, where)
    if source.convention != "stress" and label != "stress":
        raise ConfigError(problem(f"{where}.convention", "is for the label stress only", got=source.convention))
    return source


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
        if label in OPTIONAL_INPUTS:
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
    numbers = np.array(atoms.numbers, dtype=np.int64)
    if strange := numbers[(numbers < 0) | (numbers > _HEAVIEST)].tolist():
        raise DataError(problem(where, f"atomic numbers must be from 0 to {_HEAVIEST}", got=strange[0]))
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


def _numbers(value: Any) -> Array | None:
    """A value as an array, if it consists of numbers."""
    if isinstance(value, (str, bytes, bool, dict)):
        return None
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        return None
    return array if array.dtype.kind in "fi" else None


def suggest_keys(label: str, found: Iterable[str]) -> list[str]:
    """Keys that look like a label, most likely first, e.g. ``dft_energy`` for total_energy."""
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
    shape = (n_atoms if FIELDS[label].per == "atom" else 1, *FIELDS[label].shape[1:])
    if array.shape == shape or (shape == (1,) and array.size == 1):
        return array.reshape(shape)
    raise DataError(problem(where, f"{label} must have the shape {shape}", got=array.shape))


def _no_stress(atoms: Atoms) -> str | None:
    """Why the stress of a structure has no meaning, if so: no periodicity, or no volume."""
    if not atoms.pbc.any():
        return "not periodic"
    return None if abs(np.linalg.det(atoms.cell.array)) > 1e-12 else "partly periodic without a cell volume"


def _converted(value: Array, convention: str, atoms: Atoms) -> Array:
    if convention == "negative_stress":
        return -value
    return -value / abs(np.linalg.det(atoms.cell.array)) if convention == "virial" else value


def _store(frame: Graph, label: str, value: Array, report: LabelReport, *, mask_nan: bool) -> None:
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
