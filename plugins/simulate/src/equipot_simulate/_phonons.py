"""Phonons of a crystal by phonopy."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from equipot.errors import problem
from equipot.files import atomic
from equipot.options import Options
from equipot_simulate._ensembles import Positive
from equipot_simulate._figures import BLACK, BLUE, panels, save
from equipot_simulate._pacing import Pace
from equipot_simulate._setup import needs

if TYPE_CHECKING:
    from ase import Atoms

    Array = np.ndarray[Any, np.dtype[np.float64]]

_LENGTH = 10.0
"""Å that every vector of the supercell has at least, by default."""

_THERMAL = ("temperatures", "free_energy", "entropy", "heat_capacity")
"""Attributes of phonopy's thermal properties."""

_SLOWEST = 1e-3
"""THz; slower modes, the motions of the whole crystal among them, have no part in the thermal properties."""


@dataclass(frozen=True, kw_only=True)
class PhononOptions(Options):
    """Supercell, displacements, and what is computed."""

    supercell: tuple[int, int, int]
    """Repetitions of the cell."""

    displacement: Positive = 0.01
    """Å."""

    mesh: Positive = 60.0
    """Density of the mesh of wave vectors: length in Å, phonopy's."""

    temperatures: tuple[float, float, float] = (0.0, 1000.0, 10.0)
    """First, last and step, K."""

    relax: Literal["none", "positions", "cell"] = "positions"
    """What is relaxed before."""

    fmax: Positive = 1e-4
    """Largest force of that relaxation, eV/Å."""

    points: Annotated[int, Field(ge=2)] = 200
    """Wave vectors along the path."""

    def problems(self) -> Iterable[str]:
        """Numbers that cannot be."""
        yield from super().problems()
        if min(self.supercell) < 1:
            yield problem("supercell", "must be three numbers of at least 1", got=self.supercell)
        first, last, step = self.temperatures
        if not (0.0 <= first <= last < float("inf") and step > 0.0):
            yield problem("temperatures", "must be FIRST LAST STEP, not negative", got=self.temperatures)


def default_supercell(atoms: Atoms) -> tuple[int, int, int]:
    """Repetitions with which every vector is at least 10 Å long."""
    first, second, third = (max(1, int(np.ceil(_LENGTH / length))) for length in atoms.cell.lengths())
    return first, second, third


@dataclass(frozen=True)
class Phonons:
    """What was found."""

    phonopy: Any
    """With force constants that obey the sum rule."""
    broken_sum_rule: float
    """Largest element of the sums of force constants over one of the two atoms before symmetrising, eV/Å²."""
    path: Any
    """ASE's path through the Brillouin zone of the primitive cell."""
    bands: Array
    """THz, imaginary ones negative, shape [n_points, n_bands]."""
    density: tuple[Array, Array]
    """Frequencies in THz and states per THz and primitive cell."""
    thermal: dict[str, Array]
    """Temperatures in K, free energy in kJ/mol, entropy and heat capacity in J/(K mol), per mole of primitive cells."""
    lowest: float
    """Lowest frequency of the mesh and the path, THz."""


def phonons_of(atoms: Atoms, options: PhononOptions) -> Phonons:
    """Displace atoms, compute forces, and solve.

    Args:
        atoms: A relaxed crystal with a calculator.
        options: Supercell, displacement, mesh.

    Raises:
        ConfigError: If phonopy is not installed.
        DataError: If the model fails.
    """
    phonopy = _with_forces(atoms, options)
    phonopy.produce_force_constants(show_drift=False)
    before = _broken_sum_rule(phonopy)
    phonopy.symmetrize_force_constants(show_drift=False)
    path, bands = _bands(phonopy, options.points)
    phonopy.run_mesh(options.mesh)
    phonopy.run_total_dos()
    density = phonopy.total_dos
    first, last, step = options.temperatures
    phonopy.run_thermal_properties(t_min=first, t_max=last, t_step=step, cutoff_frequency=_SLOWEST)
    thermal = {name: np.asarray(getattr(phonopy.thermal_properties, name)) for name in _THERMAL}
    lowest = float(min(bands.min(), np.min(phonopy.mesh.frequencies)))
    states = (np.asarray(density.frequency_points), np.asarray(density.dos))
    return Phonons(phonopy, before, path, bands, states, thermal, lowest)


def _with_forces(atoms: Atoms, options: PhononOptions) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from phonopy import Phonopy
            from phonopy.structure.atoms import PhonopyAtoms
    except ImportError:
        raise needs("phonopy", "phonons", "equipot phonons") from None
    cell = PhonopyAtoms(
        numbers=atoms.numbers,
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says which primitive cell it chose
        phonopy = Phonopy(cell, supercell_matrix=np.diag(options.supercell), primitive_matrix="auto")
    phonopy.generate_displacements(distance=options.displacement)
    supercells = phonopy.supercells_with_displacements or []
    pace, forces = Pace("phonons: displacement", len(supercells)), []
    for index, one in enumerate(supercells):
        forces.append(_forces(one, atoms.calc))
        pace.update(index + 1)
    phonopy.forces = forces
    return phonopy


def _forces(cell: Any, calculator: Any) -> Array:
    """Forces in a supercell, eV/Å, without their mean."""
    from ase import Atoms

    atoms = Atoms(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)
    atoms.calc = calculator
    forces: Array = atoms.get_forces()
    return forces - forces.mean(axis=0)


def _broken_sum_rule(phonopy: Any) -> float:
    constants = np.asarray(phonopy.force_constants)
    return float(np.abs(constants.sum(axis=1)).max())


def sum_rule(phonopy: Any) -> float:
    """Largest element of the sums of force constants over either atom, eV/Å²: 0 for a crystal that can move freely."""
    constants = np.asarray(phonopy.force_constants)
    return float(max(np.abs(constants.sum(axis=0)).max(), np.abs(constants.sum(axis=1)).max()))


def _bands(phonopy: Any, points: int) -> tuple[Any, Array]:
    """ASE's path, and the frequencies along it."""
    from ase.cell import Cell

    path = Cell(np.asarray(phonopy.primitive.cell)).bandpath(npoints=points)
    phonopy.run_qpoints(path.kpts)
    return path, np.asarray(phonopy.qpoints.frequencies, dtype=np.float64)


def record(found: Phonons) -> dict[str, Any]:
    """As plain containers: frequencies at Γ, zero-point energy, thermal properties near 300 K, sum rules.

    Args:
        found: Of ``phonons_of``.
    """
    found.phonopy.run_qpoints([[0.0, 0.0, 0.0]])
    gamma = np.asarray(found.phonopy.qpoints.frequencies)[0]
    thermal, atoms = found.thermal, len(found.phonopy.primitive)
    near = int(np.abs(thermal["temperatures"] - 300.0).argmin())
    at = {name: float(values[near]) for name, values in thermal.items()}
    return {
        "primitive_atoms": atoms, "supercell_atoms": len(found.phonopy.supercell),
        "displacements": len(found.phonopy.supercells_with_displacements),
        "gamma_frequencies_thz": gamma.tolist(), "lowest_frequency_thz": found.lowest,
        "highest_frequency_thz": float(found.bands.max()), "stable": found.lowest > -0.05,
        "acoustic_sum_rule_ev_per_a2": {"before": found.broken_sum_rule, "after": sum_rule(found.phonopy)},
        "thermal": {
            "temperature_k": at["temperatures"], "free_energy_kj_per_mol": at["free_energy"],
            "entropy_j_per_k_mol": at["entropy"], "heat_capacity_j_per_k_mol": at["heat_capacity"],
            "heat_capacity_over_3r": at["heat_capacity"] / (3.0 * 8.31446261815324 * atoms),
        },
    }  # fmt: skip


def write_tables(found: Phonons, folder: Path) -> None:
    """Write bands.csv, dos.csv, thermal.csv, and phonopy.yaml for further work with phonopy.

    Args:
        found: Of ``phonons_of``.
        folder: Where.
    """
    along, _, _ = found.path.get_linear_kpoint_axis()
    bands = ["distance", "qx", "qy", "qz", *(f"band_{index}_thz" for index in range(found.bands.shape[1]))]
    _table(folder / "bands.csv", bands, zip(along, *found.path.kpts.T, *found.bands.T, strict=True))
    _table(folder / "dos.csv", ["frequency_thz", "states_per_thz"], zip(*found.density, strict=True))
    names = {
        "temperatures": "temperature_k", "free_energy": "free_energy_kj_per_mol", "entropy": "entropy_j_per_k_mol",
        "heat_capacity": "heat_capacity_j_per_k_mol",
    }  # fmt: skip
    rows = zip(*(found.thermal[name] for name in names), strict=True)
    _table(folder / "thermal.csv", list(names.values()), rows)
    with atomic(folder / "phonopy.yaml") as temporary:
        found.phonopy.save(temporary, settings={"force_constants": True})


def _table(path: Path, columns: list[str], rows: Iterable[Iterable[float]]) -> None:
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([f"{float(value):.10g}" for value in row] for row in rows)


def draw(found: Phonons, path: Path, title: str) -> None:
    """Bands, density of states, and the heat capacity.

    Args:
        found: Of ``phonons_of``.
        path: PNG to write.
        title: Of the figure.
    """
    along, ticks, labels = found.path.get_linear_kpoint_axis()
    figure, (bands, states, heat) = panels(3, width=4.0, width_ratios=[2.4, 1.0, 1.6])
    bands.plot(along, found.bands, color=BLUE, linewidth=0.9)
    bands.set_xticks(ticks, [label.replace("G", "Γ") for label in labels])
    bands.set_xlim(along[0], along[-1])
    bands.axhline(0.0, color=BLACK, linewidth=0.7)
    bands.set_ylabel("frequency, THz (imaginary ones below 0)")
    states.plot(found.density[1], found.density[0], color=BLUE)
    states.set_ylim(*bands.get_ylim())
    states.set_xlabel("states per THz")
    heat.plot(found.thermal["temperatures"], found.thermal["heat_capacity"], color=BLUE)
    heat.set_xlabel("temperature, K")
    heat.set_ylabel("heat capacity, J/(K mol)")
    figure.suptitle(title)
    save(figure, path)
