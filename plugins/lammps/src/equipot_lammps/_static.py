"""Energies, forces and virials of given structures, computed by LAMMPS with pair_style equipot.

A cell may have any orientation: LAMMPS' is turned, and so are the results, back to that of the structure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from equipot_lammps._programs import run_script

Array = npt.NDArray[np.float64]

_MARGIN = 8.0
"""Å between atoms and the walls of a box that is not periodic."""

_VOIGT = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
"""LAMMPS' order of the components of a symmetric tensor."""

PRESSURE = {"metal": 1.6021765e6, "real": 68568.415}
"""LAMMPS' unit of pressure times Å³ in its unit of energy (``force->nktv2p``)."""


@dataclass(frozen=True)
class Structure:
    """Atoms in a box."""

    positions: Array
    """Å, shape [n_atoms, 3]."""
    cell: Array
    """Cell vectors as rows, Å, shape [3, 3]; not used along directions that are not periodic."""
    pbc: tuple[bool, bool, bool]
    types: Sequence[int]
    """From 0, shape [n_atoms]."""


@dataclass(frozen=True)
class Result:
    """What LAMMPS gave, in its unit of energy and Å."""

    energy: float
    energies: Array
    """Shape [n_atoms]."""
    forces: Array
    """Shape [n_atoms, 3]."""
    virial: Array
    """-dE/d(strain), shape [3, 3]."""
    virials: Array
    """Of each atom, shape [n_atoms, 3, 3]."""


@dataclass(frozen=True)
class _Placed:
    """A structure as LAMMPS wants it: a restricted triclinic cell, all atoms in the box."""

    positions: Array
    low: Array
    cell: Array
    rotation: Array
    """A row vector v of the structure is ``v @ rotation`` in LAMMPS."""


def evaluate(
    model: Path,
    type_names: Sequence[str],
    structures: Mapping[str, Structure],
    folder: Path,
    *,
    units: str = "metal",
    ranks: int = 1,
    plugins: Path | None = None,
    options: str = "",
) -> dict[str, Result]:
    """Evaluate structures by one start of LAMMPS.

    Args:
        model: A file compiled for LAMMPS.
        type_names: The model's types, in the order of ``Structure.types``.
        structures: By name, which must be a word.
        folder: For scripts, data and results.
        units: LAMMPS' units, ``metal`` or ``real``.
        ranks: Number of MPI processes.
        plugins: Folder of the pair style, if LAMMPS does not find it by itself.
        options: Of the pair style, e.g. ``ghosts layers allow_native yes``.

    Returns:
        The results by name, in the order of atoms and the orientation of the structures.

    Raises:
        LammpsError: With LAMMPS' message.
    """
    placed = {name: _place(one) for name, one in structures.items()}
    script = []
    for name, one in structures.items():
        write_data(folder / f"{name}.data", one, len(type_names))
        script.append(_script(name, one, model, type_names, units, options))
    printed = run_script("clear\n".join(script), folder, ranks=ranks, plugins=plugins)
    numbers = [line.split()[1:] for line in printed.splitlines() if line.startswith("equipot-static ")]
    values = [[float(word) for word in words] for words in numbers]
    return {
        name: _result(folder / f"{name}.dump", row, placed[name].rotation, PRESSURE[units])
        for name, row in zip(structures, values, strict=True)
    }


def write_data(path: Path, structure: Structure, n_types: int) -> None:
    """Write a data file for ``read_data``; masses are 1.

    Args:
        path: The file.
        structure: Atoms and box.
        n_types: Number of atom types.
    """
    placed = _place(structure)
    low, cell = placed.low, placed.cell
    lines = ["equipot", "", f"{len(placed.positions)} atoms", f"{n_types} atom types", ""]
    for axis, letter in enumerate("xyz"):
        lines.append(f"{low[axis]:.17g} {low[axis] + cell[axis, axis]:.17g} {letter}lo {letter}hi")
    lines += [f"{cell[1, 0]:.17g} {cell[2, 0]:.17g} {cell[2, 1]:.17g} xy xz yz", "", "Masses", ""]
    lines += [f"{kind} 1.0" for kind in range(1, n_types + 1)]
    lines += ["", "Atoms # atomic", ""]
    for index, (kind, (x, y, z)) in enumerate(zip(structure.types, placed.positions, strict=True), start=1):
        lines.append(f"{index} {kind + 1} {x:.17g} {y:.17g} {z:.17g}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def header(structure: Structure, units: str) -> str:
    """The first lines of a script for a structure, before ``read_data``."""
    boundary = " ".join("p" if periodic else "f" for periodic in structure.pbc)
    # an atom map is not needed, and atoms may be in any order
    return f"units {units}\natom_style atomic\nboundary {boundary}\nbox tilt large\n"


def _script(name: str, structure: Structure, model: Path, type_names: Sequence[str], units: str, options: str) -> str:
    fields = "id type x y z fx fy fz c_e " + " ".join(f"c_s[{k}]" for k in range(1, 7))
    pressure = " ".join(f"$(c_p[{k}]*vol:%.17g)" for k in range(1, 7))
    return f"""{header(structure, units)}read_data {name}.data
pair_style equipot max_force none {options}
pair_coeff * * {model} {" ".join(type_names)}
compute e all pe/atom
compute s all stress/atom NULL
compute p all pressure NULL virial
thermo_style custom step pe vol c_p[1]
dump d all custom 1 {name}.dump {fields}
dump_modify d sort id format float %.17g
run 0
print "equipot-static $(pe:%.17g) {pressure}"
"""


def _place(structure: Structure) -> _Placed:
    """Turn the cell so that it is lower triangular, and complete it where it is not periodic.

    A left-handed cell is mirrored with its atoms, which changes no energy.
    """
    positions = np.asarray(structure.positions, np.float64)
    cell = np.array(structure.cell, np.float64)
    pbc = np.asarray(structure.pbc)
    if not pbc.any():
        low = positions.min(axis=0) - _MARGIN
        return _Placed(positions, low, np.diag(np.ptp(positions, axis=0) + 2 * _MARGIN), np.eye(3))
    q, r = np.linalg.qr(cell.T)
    signs = np.sign(np.diag(r))
    triangular, rotation = (r * signs[:, None]).T, q * signs
    turned = positions @ rotation
    low = np.zeros(3)
    for axis in np.flatnonzero(~pbc):
        low[axis] = turned[:, axis].min() - _MARGIN
        triangular[axis] = 0.0
        triangular[axis, axis] = np.ptp(turned[:, axis]) + 2 * _MARGIN
    fractional = (turned - low) @ np.linalg.inv(triangular)
    fractional[:, pbc] -= np.floor(fractional[:, pbc])
    return _Placed(fractional @ triangular + low, low, triangular, rotation)


def _result(dump: Path, row: Sequence[float], rotation: Array, pressure: float) -> Result:
    lines = dump.read_text(encoding="utf-8").splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("ITEM: ATOMS")) + 1
    table = np.array([[float(word) for word in line.split()] for line in lines[start:]])
    table = table[np.argsort(table[:, 0])]
    return Result(
        energy=row[0],
        energies=table[:, 8],
        forces=table[:, 5:8] @ rotation.T,
        virial=_turned(np.array([row[1:]]) / pressure, rotation)[0],
        virials=_turned(-table[:, 9:15] / pressure, rotation),
    )


def _turned(voigt: Array, rotation: Array) -> Array:
    """Tensors of LAMMPS, shape [n, 6], in the orientation of the structure, shape [n, 3, 3]."""
    tensors = np.zeros((len(voigt), 3, 3))
    for k, (i, j) in enumerate(_VOIGT):
        tensors[:, i, j] = tensors[:, j, i] = voigt[:, k]
    return np.asarray(rotation @ tensors @ rotation.T)
