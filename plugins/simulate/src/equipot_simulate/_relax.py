"""Relaxation of a structure by ASE's optimizers."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from ase import units
from pydantic import Field

from equipot.errors import ConfigError, problem
from equipot.options import Options
from equipot_simulate._ensembles import Positive
from equipot_simulate._setup import needs
from equipot_simulate._stopping import Stopping

if TYPE_CHECKING:
    from ase import Atoms

Cell = Literal["fixed", "free", "isotropic", "constant-volume"]


@dataclass(frozen=True, kw_only=True)
class RelaxOptions(Options):
    """What is relaxed, and how far."""

    fmax: Positive = 0.01
    """Largest force in eV/Å at which it ends; of cells also the gradient along the strain, in eV per atom's share."""

    steps: Annotated[int, Field(ge=0)] = 500
    """At most."""

    cell: Cell = "fixed"
    """What changes of the cell: nothing, all, its volume alone, or its shape alone."""

    pressure: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    """GPa."""

    keep_symmetry: bool = False
    """Keep the space group that the structure has within ``symprec``."""

    symprec: Positive = 0.01
    """Å."""

    optimizer: Literal["lbfgs", "bfgs", "fire"] = "lbfgs"
    """Algorithm."""

    def problems(self) -> Iterable[str]:
        """A pressure on a cell that does not change."""
        yield from super().problems()
        if self.pressure and self.cell in ("fixed", "constant-volume"):
            yield problem("pressure", "needs a cell whose volume changes", hint="--cell free or --cell isotropic")

    @property
    def needed(self) -> tuple[str, ...]:
        """What the model must have."""
        return ("forces",) if self.cell == "fixed" else ("forces", "stress")


class Relaxation:
    """One relaxation.

    Args:
        atoms: The structure, with a calculator; moved.
        options: What is relaxed.

    Raises:
        ConfigError: If the cell is to change and there is none.
    """

    def __init__(self, atoms: Atoms, options: RelaxOptions) -> None:
        if options.cell != "fixed" and (not atoms.pbc.all() or atoms.cell.rank < 3):
            raise ConfigError(problem("--cell", "needs a structure that is periodic in all three directions"))
        self.atoms, self.options = atoms, options
        self.history: list[dict[str, float]] = []
        self._kept = list(atoms.constraints)

    def run(self, stop: Stopping | None = None, each: Callable[[], object] | None = None) -> dict[str, Any]:
        """Relax, at most so many steps.

        Args:
            stop: Looked at after each step.
            each: Called at the start and after each step.

        Returns:
            Whether it converged, steps, energies, largest force, pressure and volume, as plain containers.

        Raises:
            DataError: If the model fails.
            ConfigError: If symmetry is to be kept and spglib is missing.
        """
        if self.options.keep_symmetry:
            self._fix_symmetry()
        optimizer = self._optimizer()
        converged = False
        for converged in optimizer.irun(fmax=self.options.fmax, steps=self.options.steps):  # noqa: B007 - the last one counts
            self.history.append(self._facts())
            if each is not None:
                each()
            if stop is not None and stop.number:
                break
        self.atoms.set_constraint(self._kept)
        first, last = self.history[0], self.history[-1]
        return {
            "converged": bool(converged), "steps": int(optimizer.nsteps), **last,
            "energy_change_ev": last["energy_ev"] - first["energy_ev"],
        }  # fmt: skip

    def _fix_symmetry(self) -> None:
        from ase.constraints import FixSymmetry

        try:
            import spglib  # noqa: F401
        except ImportError:
            raise needs("spglib", "phonons", "--keep-symmetry") from None
        with _quiet():
            self.atoms.set_constraint([*self._kept, FixSymmetry(self.atoms, symprec=self.options.symprec)])

    def _optimizer(self) -> Any:
        from ase.optimize import BFGS, FIRE, LBFGS

        kind = {"lbfgs": LBFGS, "bfgs": BFGS, "fire": FIRE}[self.options.optimizer]
        return kind(self._moved(), logfile=None)

    def _moved(self) -> Any:
        """The atoms, or atoms and cell."""
        from ase.filters import FrechetCellFilter

        if self.options.cell == "fixed":
            return self.atoms
        return FrechetCellFilter(
            self.atoms,
            hydrostatic_strain=self.options.cell == "isotropic",
            constant_volume=self.options.cell == "constant-volume",
            scalar_pressure=self.options.pressure * units.GPa,
        )

    def _facts(self) -> dict[str, float]:
        atoms = self.atoms
        facts = {
            "energy_ev": float(atoms.get_potential_energy()),
            "largest_force_ev_per_a": float(np.linalg.norm(atoms.get_forces(), axis=1).max()),
        }
        if "stress" in atoms.calc.results:
            stress = atoms.calc.results["stress"] / units.GPa
            facts["pressure_gpa"] = -float(stress[:3].mean())
            facts["largest_shear_gpa"] = float(np.abs(stress[3:]).max())
            facts["volume_a3"] = float(atoms.get_volume())
        return facts


def space_group(atoms: Atoms, symprec: float) -> str:
    """Name and number of the space group, empty if spglib is missing or the structure is not periodic."""
    try:
        import spglib
    except ImportError:
        return ""
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        return ""
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    with _quiet():
        return str(spglib.get_spacegroup(cell, symprec=symprec) or "")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes of spglib about its own future."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def start_relaxed(atoms: Atoms, what: Literal["none", "positions", "cell"], fmax: float) -> dict[str, Any]:
    """Relax a crystal before something is computed about it; its symmetry stays where spglib can tell it.

    Args:
        atoms: With a calculator; moved.
        what: Nothing, the positions, or positions and cell.
        fmax: eV/Å.

    Returns:
        As ``Relaxation.run``.

    Raises:
        ConfigError: If it does not converge.
    """
    relaxed = Relaxation(
        atoms,
        RelaxOptions(
            fmax=fmax,
            steps=0 if what == "none" else 1000,
            cell="free" if what == "cell" else "fixed",
            keep_symmetry=what != "none" and bool(space_group(atoms, 0.01)),
        ),
    ).run()
    if what != "none" and not relaxed["converged"]:
        hint = "relax it with: equipot relax, then give --relax none"
        raise ConfigError(problem("--relax", f"did not come below {fmax:g} eV/Å in 1000 steps", hint=hint))
    return relaxed
