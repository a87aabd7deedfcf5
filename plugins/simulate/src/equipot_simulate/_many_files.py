"""Files about many structures: a table, the structures, and a figure."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot.files import atomic
from equipot_simulate._figures import BLUE, panels, save

if TYPE_CHECKING:
    from ase import Atoms

_COLUMNS = (
    "index",
    "formula",
    "atoms",
    "status",
    "reason",
    "energy_ev",
    "energy_ev_per_atom",
    "largest_force_ev_per_a",
)


def write_tables(folder: Path, command: str, found: Mapping[int, dict[str, Any]], frames: Sequence[Atoms]) -> None:
    """Write table.csv, structures.extxyz and a figure of all that there is.

    Args:
        folder: Of the results.
        command: Name of the command, which the figure is called after.
        found: Records by index.
        frames: All structures.
    """
    rows = [_row(index, one, frames[index]) for index, one in sorted(found.items()) if index < len(frames)]
    with atomic(folder / "table.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    structures = [made for index, one in sorted(found.items()) if (made := _structure(index, one, frames)) is not None]
    if structures:
        from ase.io import write

        with atomic(folder / "structures.extxyz") as temporary:
            write(temporary, structures, format="extxyz")
    drawn = [row for row in rows if row.get("energy_ev_per_atom") is not None]
    if drawn:
        _draw(drawn, folder / f"{command}.png")


def _row(index: int, record: Mapping[str, Any], atoms: Atoms) -> dict[str, Any]:
    row = {"index": index, "formula": atoms.get_chemical_formula(), "atoms": len(atoms), "status": record["status"]}
    row["reason"] = record.get("reason", "")
    results, structure = record["results"], record.get("structure", {})
    energy = structure.get("energy", results.get("energy"))
    if energy is None and "averages" in results:
        energy = results["averages"]["potential_energy_ev"]["mean"]
    if energy is not None:
        row |= {"energy_ev": energy, "energy_ev_per_atom": energy / len(atoms)}
    forces = structure.get("forces", results.get("forces"))
    if forces is not None:
        row["largest_force_ev_per_a"] = float(np.linalg.norm(np.asarray(forces), axis=1).max())
    return row


def _structure(index: int, record: Mapping[str, Any], frames: Sequence[Atoms]) -> Atoms | None:
    """The structure of a record with its energy and forces; None if there is none."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    results = record.get("structure") or (record["results"] if "energy" in record["results"] else None)
    if results is None or index >= len(frames):
        return None
    atoms = frames[index].copy()
    if "positions" in results:
        atoms = Atoms(results["numbers"], results["positions"], cell=results["cell"], pbc=results["pbc"])
    atoms.info["source_frame"] = index
    kept = {key: np.asarray(results[key]) for key in ("energies", "forces", "stress") if key in results}
    atoms.calc = SinglePointCalculator(atoms, energy=results["energy"], **kept)
    return atoms


def _draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Energy of each structure, and the largest force where there is one."""
    indices = [row["index"] for row in rows]
    forces = [row.get("largest_force_ev_per_a") for row in rows]
    figure, axes = panels(2 if all(one is not None for one in forces) else 1)
    axes[0].plot(indices, [row["energy_ev_per_atom"] for row in rows], ".", color=BLUE)
    axes[0].set_ylabel("energy, eV/atom")
    if len(axes) > 1:
        axes[1].semilogy(indices, np.maximum(np.asarray(forces, dtype=float), 1e-12), ".", color=BLUE)
        axes[1].set_ylabel("largest force, eV/Å")
    for one in axes:
        one.set_xlabel("frame")
    save(figure, path)
