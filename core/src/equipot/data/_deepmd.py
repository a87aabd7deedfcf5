"""Read the folders of DeePMD-kit: ``type.raw``, ``type_map.raw`` and ``set.*`` with an NPY file for each quantity."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot._progress import track
from equipot.data._npz import read_npy
from equipot.data._streams import reading
from equipot.errors import DataError, problem
from equipot.fields import LABELS, row_shape
from equipot.files import open_regular

if TYPE_CHECKING:
    from ase import Atoms

Array = np.ndarray[Any, np.dtype[Any]]

_TYPES, _NAMES = "type.raw", "type_map.raw"
_WIDTHS = {"energy": 0, "virial": 9, "box": 9}
"""Numbers per frame; those of all other files are per atom."""
_PER_ATOM = {"coord": 3, "force": 3, "atom_ener": 1, "real_atom_types": 1}
_OWN = ("total_energy", "forces", "stress", "virial", "atomic_energy")
"""Labels that have names of DeePMD-kit's own; others have files with their own name, or that of ASE."""


def is_deepmd(path: Path) -> bool:
    """Whether a path is a folder of DeePMD-kit."""
    return path.is_dir() and (path / _TYPES).is_file()


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(one.stat().st_size for one in folder.glob("*/*.npy") if one.is_file())


def read_deepmd(folder: Path) -> Iterator[Atoms]:
    """The frames of a folder, set by set; energies and forces in eV and Å as they are, the virial as stress.

    Args:
        folder: The folder, with ``nopbc`` in it if the frames are not periodic.

    Raises:
        DataError: If files are missing, linked, or do not have the numbers that they should.
    """
    numbers = _elements(folder)
    types = _type_indices(folder, len(numbers))
    sets = sorted(folder.glob("set.*"))
    if not sets:
        raise DataError(problem(str(folder), "has no set.* folder", hint="it must be as DeePMD-kit reads it"))
    for one in sets:
        if not _no_link(one).is_dir():
            raise DataError(problem(str(one), "is not a folder"))
        arrays = _arrays(one, len(types), periodic=not (folder / "nopbc").is_file())
        for index in track(range(len(arrays["coord"])), f"reading {folder.name}/{one.name}"):
            yield _frame({name: array[index] for name, array in arrays.items()}, numbers, types, str(one))


def _elements(folder: Path) -> Array:
    """The atomic number of each type."""
    from ase.data import atomic_numbers

    names = _words(folder / _NAMES, "write the chemical symbols of the types into it, in order")
    if strange := [name for name in names if name not in atomic_numbers]:
        hint = "write chemical symbols"
        raise DataError(problem(str(folder / _NAMES), "has names that are not elements", got=strange[0], hint=hint))
    return np.array([atomic_numbers[name] for name in names], dtype=np.int64)


def _type_indices(folder: Path, count: int) -> Array:
    """The type of each atom."""
    path = folder / _TYPES
    with reading(str(path), "it must hold the type of each atom, from 0"):
        types = np.array([int(word) for word in _words(path, "")], dtype=np.int64)
    if not len(types) or types.min() < 0 or types.max() >= count:
        what = f"must have a type from 0 to {count - 1} for each atom, as {_NAMES} has {count} names"
        raise DataError(problem(str(path), what, got=sorted(set(types.tolist()))))
    return types


def _no_link(path: Path) -> Path:
    """The path of a part of the folder; one that is a link could lead to any file of the user's."""
    if path.is_symlink():
        raise DataError(problem(str(path), "is a link, which is not followed", hint="copy what it leads to"))
    return path


def _words(path: Path, hint: str) -> list[str]:
    with reading(str(path), hint), open_regular(_no_link(path), follow_links=False) as file:
        return file.read().decode("utf-8-sig").split()


def _arrays(folder: Path, n_atoms: int, *, periodic: bool) -> dict[str, Array]:
    """The arrays of a set with one row per frame, checked against each other."""
    needed = ("coord", "box") if periodic else ("coord",)
    arrays: dict[str, Array] = {}
    widths = {name: width * n_atoms for name, width in _PER_ATOM.items()} | _WIDTHS
    widths |= {name: math.prod(row_shape(label)) * (n_atoms if per == "atom" else 1) for name, label, per in _further()}
    for name, width in widths.items():
        path = _no_link(folder / f"{name}.npy")
        if name not in needed and not path.exists():
            continue
        array = read_npy(path, follow_links=False)
        rows = len(arrays["coord"]) if "coord" in arrays else array.shape[:1][0] if array.ndim else 0
        if array.size != rows * (width or 1) or not rows:
            what = f"must have {width or 1} numbers for each of {rows} frames ({n_atoms} atoms)"
            raise DataError(problem(str(path), what, got=array.shape))
        arrays[name] = array.reshape(rows, width or 1)
    if not periodic:
        arrays.pop("box", None)
    return arrays


def _frame(row: dict[str, Array], numbers: Array, types: Array, where: str) -> Atoms:
    """One frame; atoms of the type -1 fill up frames of mixed sizes and are left out."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    if (real := row.get("real_atom_types")) is not None:
        types = real.astype(np.int64)
        if types.max() >= len(numbers):
            raise DataError(problem(where, "has a type without a name in real_atom_types.npy", got=int(types.max())))
    there = types >= 0
    per_atom = {name: row[name].astype(np.float64).reshape(-1, 3)[there] for name in ("coord", "force") if name in row}
    atoms = Atoms(numbers=numbers[types[there]], positions=per_atom["coord"])
    results: dict[str, Any] = {"forces": per_atom["force"]} if "force" in row else {}
    if "energy" in row:
        results["energy"] = float(row["energy"][0])
    if "atom_ener" in row:
        results["energies"] = row["atom_ener"].astype(np.float64)[there]
    if "box" in row:
        atoms.set_cell(row["box"].astype(np.float64).reshape(3, 3))
        atoms.set_pbc(True)
        if "virial" in row and (volume := abs(np.linalg.det(atoms.cell.array))) > 0:
            virial = row["virial"].astype(np.float64).reshape(3, 3)  # minus stress times volume, in eV
            results["stress"] = (-(virial + virial.T) / 2 / volume).ravel()[[0, 4, 8, 5, 2, 1]]
    atoms.calc = SinglePointCalculator(atoms, **results)
    for name, label, per in _further():
        if name in row:
            value = row[name].astype(np.float64)
            if per == "atom":
                atoms.arrays[name] = value.reshape(-1, *row_shape(label))[there]
            else:
                atoms.info[name] = value.reshape(row_shape(label))
    return atoms


def _further() -> Iterator[tuple[str, str, str]]:
    """Names of files of other labels, each with the label and what it is per."""
    for label, field in LABELS.items():
        if label not in _OWN:
            names = dict.fromkeys((label, field.ase_property or label))
            yield from ((name, label, field.per) for name in names if name not in {**_PER_ATOM, **_WIDTHS})
