"""A run of molecular dynamics: steps, log, trajectory, state, and the three ways to end."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from ase import units
from pydantic import Field

from equipot.errors import ConfigError, DataError, problem
from equipot.files import write_json
from equipot_simulate._ensembles import Ensemble, Positive, conserved_energy, set_velocities
from equipot_simulate._folder import RESULTS
from equipot_simulate._md_results import draw, summary
from equipot_simulate._pacing import Pace
from equipot_simulate._state import read_state, restore_atoms, restore_dynamics, write_state
from equipot_simulate._stopping import Stopping
from equipot_simulate._trajectory import ExtxyzFile, Table, TrajFile, with_results

if TYPE_CHECKING:
    from ase import Atoms

COLUMNS = (
    "step",
    "time_ps",
    "potential_energy_ev",
    "kinetic_energy_ev",
    "total_energy_ev",
    "temperature_k",
    "conserved_energy_ev",
    "drift_mev_per_atom",
    "pressure_gpa",
    "volume_a3",
)
"""Of the log; the drift is the change of the conserved energy since the start."""

STATE = "state.npz"
_PER_ATOM = "_per_atom"
BETWEEN_SAVES = 30.0
"""Seconds."""

WARM_UP = 10
"""Calculations before the first step of an eager model: compiled kernels serve from the tenth on and round in another
way, so that without these a run that goes on would differ from an unbroken one in the last digits."""

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True)
class MdOptions(Ensemble):
    """What a run is."""

    steps: Annotated[int, Field(ge=0)]
    """All steps, those before an interruption included."""

    seed: Annotated[int, Field(ge=0)] = 1
    """Of velocities and stochastic thermostats."""

    every: Count = 100
    """Steps between frames of the trajectory."""

    log_every: Count = 10
    """Steps between rows of the log."""

    trajectory: Literal["extxyz", "traj"] = "extxyz"
    """Format."""

    keep_velocities: bool = False
    """Start with the velocities of the structure."""

    max_temperature: Positive = field(default=1e5)
    """Largest kinetic energy of an atom, as a temperature in K."""

    stop_above: dict[str, Positive] = field(default_factory=dict)
    """Results of the model, such as ``energy_std``, and the largest value of each with which the run goes on, in ASE's
    units; of values of atoms the largest counts, and ``_per_atom`` divides by the number of atoms."""

    @property
    def fixed(self) -> dict[str, Any]:
        """What must be the same when a run goes on."""
        return {name: value for name, value in asdict(self).items() if name not in ("steps", "stop_above")}


class Simulation:
    """One run.

    Args:
        atoms: The structure, with a calculator; moved.
        options: What the run is.
        folder: Of the results.
        source: What it comes from, for ``results.json``; must be the same when the run goes on.

    Raises:
        ArtifactError: If the folder holds a state that cannot be read, or files that do not belong to it.
        ConfigError: If it holds a run with other options, or the model does not give what the run is to stop at.
    """

    def __init__(self, atoms: Atoms, options: MdOptions, folder: Path, source: dict[str, Any]) -> None:
        self.atoms, self.options, self.folder, self.source = atoms, options, folder, source
        self.step = 0
        self.reason = ""
        """Why the run stopped before its end."""
        self.start_energy: float | None = None
        self._rng = np.random.default_rng(options.seed)
        self._log = Table(folder / "log.csv", COLUMNS)
        kind = ExtxyzFile if options.trajectory == "extxyz" else TrajFile
        self._frames = kind(folder / f"trajectory.{options.trajectory}")
        self._last_save = time.monotonic()
        self._prepare()

    # ------------------------------------------------------------------ start

    def _prepare(self) -> None:
        path = self.folder / STATE
        if path.exists():
            record, arrays = read_state(path)
            self._require_same(record)
            restore_atoms(self.atoms, arrays, path)
        else:
            self._require_velocities()
        self._warm_up()
        if unknown := [name for name in self.options.stop_above if _result(name) not in self.atoms.calc.results]:
            hint = f"this model gives {', '.join(sorted(self.atoms.calc.results))}"
            raise ConfigError(problem("--stop-above", f"the model has no {unknown[0]}", hint=hint))
        self.dynamics = self.options.dynamics(self.atoms, self._rng)
        if path.exists():
            restore_dynamics(self.dynamics, self._rng, record, arrays)
            self.step, self.start_energy = record["step"], record["start_energy"]
            self._log.cut(record["log"])
            self._frames.cut(record["frames"])
        else:
            self._log.cut(0)
            self._frames.cut(0)

    def _require_same(self, record: dict[str, Any]) -> None:
        now = {**self.options.fixed, **self.source}
        before = record["fixed"]
        problems = [
            problem(name.replace("_", "-"), f"was {before.get(name)!r} in the run to go on with", got=value)
            for name, value in now.items()
            if before.get(name) != value
        ]
        if problems:
            raise ConfigError([*problems, "the run goes on with the same options, or --overwrite starts again"])

    def _require_velocities(self) -> None:
        if not self.options.keep_velocities:
            set_velocities(self.atoms, self.options.temperature, self._rng)
        elif not self.atoms.has("momenta"):
            raise ConfigError(problem("--keep-velocities", "the structure has no velocities"))

    def _warm_up(self) -> None:
        """The first calculations, which may refuse the structure."""
        if getattr(self.atoms.calc, "automatic", None) and self.atoms.calc.automatic.applied:
            for _ in range(WARM_UP):
                self.atoms.calc.calculate(self.atoms)
        self.atoms.get_forces()

    # ------------------------------------------------------------------ steps

    def run(self, stop: Stopping, pace: Pace | None = None) -> str:
        """Make all steps that are left, unless a signal comes.

        Args:
            stop: Looked at before each step.
            pace: Says how far the run is.

        Returns:
            ``finished``, ``interrupted`` or ``stopped``; then ``reason`` says what was too large.

        Raises:
            DataError: If the run broke off; its folder then says so, and holds what there is.
        """
        status = "finished"
        try:
            if self.step == 0:
                self._record()
            while self.step < self.options.steps:
                if stop.number:
                    status = "interrupted"
                    break
                self._advance()
                if self._is_above():
                    status = "stopped"
                    break
                if pace is not None:
                    pace.update(self.step, self._words)
        except (DataError, ArithmeticError, np.linalg.LinAlgError) as error:
            self._finish("broken off", str(error))
            raise DataError(self._broken(error)) from None
        self.save()
        self._finish(status, self.reason)
        return status

    def _is_above(self) -> bool:
        """Whether a result is larger than ``stop_above`` allows; ``reason`` says which."""
        for name, limit in self.options.stop_above.items():
            found = float(np.max(np.abs(self.atoms.calc.results[_result(name)])))
            found /= len(self.atoms) if name.endswith(_PER_ATOM) else 1
            if not found <= limit:
                self.reason = f"{name} is {found:.4g}, above {limit:g}"
                return True
        return False

    def _advance(self) -> None:
        self.dynamics.step()
        self.atoms.get_forces()  # so that log, frames and state belong to this step
        self.step += 1
        self._record()
        if time.monotonic() - self._last_save > BETWEEN_SAVES:
            self.save()

    def _record(self) -> None:
        """Log and frame, if it is their turn."""
        if self.step % self.options.log_every == 0:
            self._log.row(self._row())
        if self.step % self.options.every == 0:
            self._frames.frame(with_results(self.atoms, step=self.step, time_ps=self._time))

    @property
    def _time(self) -> float:
        return round(self.step * self.options.timestep / 1000.0, 9)

    def _row(self) -> dict[str, Any]:
        atoms, kept = self.atoms, conserved_energy(self.dynamics)
        if self.start_energy is None:
            self.start_energy = kept
        potential, kinetic = atoms.get_potential_energy(), atoms.get_kinetic_energy()
        drift = None if kept is None or self.start_energy is None else 1e3 * (kept - self.start_energy) / len(atoms)
        row = {
            "step": self.step, "time_ps": self._time, "potential_energy_ev": potential, "kinetic_energy_ev": kinetic,
            "total_energy_ev": potential + kinetic, "temperature_k": atoms.get_temperature(),
            "conserved_energy_ev": kept, "drift_mev_per_atom": drift,
        }  # fmt: skip
        if "stress" in atoms.calc.results:
            stress = atoms.get_stress(voigt=False, include_ideal_gas=True)
            row |= {"pressure_gpa": -float(np.trace(stress)) / 3.0 / units.GPa, "volume_a3": atoms.get_volume()}
        return {name: value if value is None or isinstance(value, int) else float(value) for name, value in row.items()}

    def _words(self) -> str:
        return f"{self._time:g} ps, {self.atoms.get_temperature():.0f} K"

    # -------------------------------------------------------------------- end

    def save(self) -> None:
        """Write the state, from which the run goes on exactly."""
        record = {
            "step": self.step, "start_energy": self.start_energy, "log": self._log.position(),
            "frames": self._frames.position(), "fixed": {**self.options.fixed, **self.source},
        }  # fmt: skip
        write_state(self.folder / STATE, self.dynamics, self._rng, record)
        self._last_save = time.monotonic()

    def _broken(self, error: Exception) -> str:
        where = f"step {self.step + 1} ({(self.step + 1) * self.options.timestep / 1000:g} ps)"
        return f"{where}: {error}; what was computed is in {self.folder}"

    def _finish(self, status: str, reason: str = "") -> None:
        found = self._log.read() if self._log.path.exists() else {name: [] for name in COLUMNS}
        results = {
            "command": "md", "status": status, **({"reason": reason} if reason else {}), **self.source,
            "options": asdict(self.options), "steps": self.step, "time_ps": self._time, **summary(found),
        }  # fmt: skip
        if status != "broken off":
            ExtxyzFile(self.folder / "final.extxyz").cut(0)
            ExtxyzFile(self.folder / "final.extxyz").frame(with_results(self.atoms))
        if len(found["step"]) > 1:
            draw(found, self.folder / "md.png", f"{self.atoms.get_chemical_formula()}, {self.options.ensemble}")
        write_json(self.folder / RESULTS, results)


def _result(name: str) -> str:
    """The result of the calculator that a name in ``stop_above`` is about."""
    return name.removesuffix(_PER_ATOM)


def steps_of(steps: int | None, picoseconds: float | None, timestep: float) -> int:
    """The number of steps.

    Args:
        steps: As given.
        picoseconds: As given.
        timestep: fs.

    Raises:
        ConfigError: If neither or both are given, or a time is negative.
    """
    if (steps is None) == (picoseconds is None):
        hint = "for example --time 10 (ps) or --steps 10000"
        raise ConfigError(problem("--steps, --time", "give one of the two", hint=hint))
    if steps is not None:
        return steps
    if picoseconds is None or not 0.0 <= picoseconds < float("inf"):
        raise ConfigError(problem("--time", "must be at least 0", got=picoseconds))
    return round(1000.0 * picoseconds / timestep)


def default_timestep(frames: Iterable[Atoms]) -> float:
    """0.5 fs with hydrogen, 1 fs without."""
    return 0.5 if any(1 in atoms.numbers for atoms in frames) else 1.0
