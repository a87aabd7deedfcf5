"""A model as a force of LAMMPS' Python object, through ``fix external``: no compiler, but one process."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import ase.units
import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

from equipot.artifacts import load
from equipot.ase import EquipotCalculator
from equipot.errors import problem, unknown
from equipot.units import KCAL_PER_MOL_IN_EV, Units
from equipot_lammps._errors import LammpsError

if TYPE_CHECKING:
    from equipot.artifacts import CompiledModel
    from equipot.model import GraphModel, ModelInfo

Array = npt.NDArray[np.float64]
PerAtom = Literal[False, True, "energies"]
"""What single atoms get: nothing, energies and virials, or energies."""

_WHERE = "equipot_lammps.attach"
_EV: dict[Units, float] = {"metal": 1.0, "real": KCAL_PER_MOL_IN_EV}
"""LAMMPS' units of energy in eV."""
_TIME: dict[Units, float] = {"metal": 1000.0 * ase.units.fs, "real": ase.units.fs}
"""LAMMPS' units of time in ASE's."""
_VOIGT = ((0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2))
"""LAMMPS' order of the components of a symmetric tensor."""
_RUNNERS = ("command", "commands_list", "commands_string", "file")
"""Methods of LAMMPS' object that may start a run."""
_numbers = itertools.count(1)


@dataclass
class Attached:
    """A model at work in a LAMMPS object; it ends with that object, or with ``detach``."""

    lmp: Any
    calculator: EquipotCalculator
    """What computes the forces; ``calculator.model`` is the model."""
    fix: str
    """ID of the fix."""
    symbols: tuple[str, ...]
    """Chemical element of each of LAMMPS' atom types."""
    units: Units
    per_atom: PerAtom
    error: Exception | None = None
    """Why a run was stopped, until ``raise_error``."""
    _step: int = 0

    def detach(self) -> None:
        """Remove the model's forces from LAMMPS."""
        self.lmp.command(f"unfix {self.fix}")
        self.lmp.callback.pop(self.fix, None)

    def raise_error(self) -> None:
        """Raise the error that stopped a run, once; ``lmp.command`` and its like do so by themselves.

        Raises:
            LammpsError: With the step and the model's message.
        """
        if self.error is not None:
            error, self.error = self.error, None
            self.lmp.command("timer timeout off")  # else LAMMPS would skip all further runs
            raise LammpsError(f"{_WHERE}: step {self._step}: {str(error) or type(error).__name__}") from error

    def _called(self, caller: object, step: int, n_local: int, tag: Any, x: Any, f: Any) -> None:
        """What LAMMPS calls at every step.

        A Python error cannot pass through LAMMPS, which would go on without forces: it is kept, every run ends before
        its next step, and the command that started it raises the error.
        """
        if self.error is None:
            try:
                self._compute(n_local, np.asarray(tag), np.asarray(x), f)
            except Exception as error:  # noqa: BLE001 - the run must not go on after any error
                self.error, self._step = error, step
        if self.error is not None:
            f[:] = 0.0
            self.lmp.fix_external_set_energy_global(self.fix, float("nan"))
            self.lmp.force_timeout()

    def _compute(self, n_local: int, tag: Array, x: Array, f: Array) -> None:
        order = np.argsort(tag)  # LAMMPS changes the order of its atoms from time to time
        atoms = self._atoms(n_local, x, order)
        ev = _EV[self.units]
        wanted = ["energy", "forces", *(["stresses"] if self.per_atom is True else [])]
        self.calculator.calculate(atoms, wanted)
        results = self.calculator.results
        if missing := set(wanted) - results.keys():
            what = f"{', '.join(missing)} of atoms need a periodic box"
            raise LammpsError(f"{what}; per_atom='energies' gives energies alone")
        f[order] = results["forces"] / ev
        self.lmp.fix_external_set_energy_global(self.fix, results["energy"] / ev)
        virial = _virial(atoms, results) / ev
        self.lmp.fix_external_set_virial_global(self.fix, [float(virial[i, j]) for i, j in zip(*_VOIGT, strict=True)])
        if self.per_atom:
            self._set_per_atom(atoms, results, order)

    def _atoms(self, n_local: int, x: Array, order: npt.NDArray[np.int64]) -> Atoms:
        """LAMMPS' atoms by ascending ID, with its box and velocities."""
        low, high, xy, yz, xz, periodic, _ = self.lmp.extract_box()
        lengths = np.subtract(high, low)
        cell = np.diag(lengths)
        cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
        types = self.lmp.numpy.extract_atom("type")[:n_local].reshape(-1)[order]
        atoms = Atoms([self.symbols[kind - 1] for kind in types], positions=x[order] - low, cell=cell, pbc=periodic)
        by_type, by_atom = self.lmp.numpy.extract_atom("mass"), self.lmp.numpy.extract_atom("rmass")
        masses = by_atom[:n_local].reshape(-1)[order] if by_atom is not None else by_type.reshape(-1)[types]
        atoms.set_masses(masses)
        atoms.set_velocities(self.lmp.numpy.extract_atom("v")[:n_local][order] / _TIME[self.units])
        return atoms

    def _set_per_atom(self, atoms: Atoms, results: dict[str, Any], order: npt.NDArray[np.int64]) -> None:
        ev = _EV[self.units]
        energies = np.empty(len(order))
        energies[order] = results["energies"] / ev
        self.lmp.fix_external_set_energy_peratom(self.fix, energies.tolist())
        if self.per_atom is True:
            virials = np.empty((len(order), 6))
            # ASE's order is xx yy zz yz xz xy
            virials[order] = -results["stresses"][:, [0, 1, 2, 5, 4, 3]] * atoms.get_volume() / ev
            self.lmp.fix_external_set_virial_peratom(self.fix, virials.tolist())


def attach(
    lmp: Any,
    model: str | Path | GraphModel | CompiledModel | EquipotCalculator,
    types: Sequence[str],
    *,
    per_atom: PerAtom = False,
    **options: Any,
) -> Attached:
    """Let a model give the forces of a LAMMPS object, for dynamics, minimisation and ``fix box/relax``.

    It works like a pair style whose energy and virial count in ``pe`` and ``press``, with any kind of model, global
    ones included, but in one process. Give it after the box exists; a ``pair_style`` is needed if LAMMPS asks for
    one (``pair_style zero 5.0`` and ``pair_coeff * *``).

    If the model fails, or its numbers run away, the run is stopped at that step and ``lmp.command`` raises.

    Args:
        lmp: A ``lammps.lammps`` object (``equipot_lammps.new_lammps`` makes one) with ``units metal`` or ``real``.
        model: A ``.ckpt``, ``.equipot.zip`` or ``.equipot.pt2`` file, a model, or a calculator.
        types: The model's type for each of LAMMPS' atom types, as in ``pair_coeff``: type names or chemical elements.
        per_atom: Also give energies and virials of single atoms, for ``compute pe/atom`` and ``stress/atom``;
            ``energies`` gives energies alone, also of a model or in a box that has no virials of atoms.
        **options: Of ``EquipotCalculator``: ``device``, ``skin``, ``weights``, ``allow_native``, ``max_force``, …

    Returns:
        The model at work, with ``detach``.

    Raises:
        LammpsError: If LAMMPS has several MPI processes, other units, a type is unknown, or the model has no forces,
            no stress for a periodic box, or no virials of atoms if they are asked for.
        ArtifactError: If the file cannot be used.

    Example::

        lmp = equipot_lammps.new_lammps()
        lmp.file("water.in")
        equipot_lammps.attach(lmp, "water.equipot.zip", ["O", "H"])
        lmp.command("run 1000")
    """
    if lmp.extract_setting("world_size") > 1:
        hint = "on several, use pair_style equipot (equipot lammps build)"
        raise LammpsError(problem(_WHERE, "works on one MPI process", got=lmp.extract_setting("world_size"), hint=hint))
    units: Any = lmp.extract_global("units")
    if units not in _EV:
        raise LammpsError(problem(_WHERE, "needs units metal or real", got=units))
    if lmp.extract_global("ntypes") != len(types):
        what = f"must have one name for each of LAMMPS' {lmp.extract_global('ntypes')} atom types"
        raise LammpsError(problem(f"{_WHERE}.types", what, got=list(types)))
    calculator = _calculator(model, types, options)
    _check_outputs(calculator, per_atom, periodic=any(lmp.extract_box()[5]))
    symbols = tuple(_symbol_of(name, calculator.info) for name in types)
    attached = Attached(lmp, calculator, f"equipot_{next(_numbers)}", symbols, units, per_atom)
    lmp.command(f"fix {attached.fix} all external pf/callback 1 1")
    lmp.command(f"fix_modify {attached.fix} energy yes virial yes")
    lmp.set_fix_external_callback(attached.fix, attached._called, None)  # noqa: SLF001 - of this module
    for name in _RUNNERS:
        setattr(lmp, name, _raising(getattr(lmp, name), attached))
    return attached


def _check_outputs(calculator: EquipotCalculator, per_atom: PerAtom, *, periodic: bool) -> None:
    """Refuse a model that lacks what LAMMPS would otherwise take as zero."""
    needed = ["forces", *(["stress"] if periodic else []), *(["stresses"] if per_atom is True else [])]
    for name in needed:
        if name not in calculator.implemented_properties:
            try:
                calculator.get_property(name, Atoms())
            except PropertyNotImplementedError as error:
                hint = "; per_atom='energies' gives energies of atoms alone" if name == "stresses" else ""
                raise LammpsError(f"{_WHERE}: {error}{hint}") from None


def _raising(method: Callable[..., Any], attached: Attached) -> Callable[..., Any]:
    """A method of LAMMPS' object that raises what went wrong in the model meanwhile."""

    @functools.wraps(method)
    def call(*arguments: Any) -> Any:
        result = method(*arguments)
        attached.raise_error()
        return result

    return call


def _calculator(
    model: str | Path | GraphModel | CompiledModel | EquipotCalculator, types: Sequence[str], options: dict[str, Any]
) -> EquipotCalculator:
    if isinstance(model, EquipotCalculator):
        return model
    if isinstance(model, (str, Path)):
        loading = {key: options.pop(key) for key in ("weights", "allow_native") if key in options}
        model = load(model, options.get("device", "cpu"), **loading)
    chosen: dict[str, str] = {}
    for name in types:
        symbol = _symbol_of(name, model.info)
        type_name = name if name in model.info.type_names else _only_type(symbol, model.info)
        if chosen.setdefault(symbol, type_name) != type_name:
            what = f"two types of one element ({symbol}) need the pair style"
            raise LammpsError(problem(f"{_WHERE}.types", what, got=list(types), hint="run: equipot lammps build"))
    return EquipotCalculator(model, types=chosen, **options)


def _symbol_of(name: str, info: ModelInfo) -> str:
    """The chemical element of a type name, or of an element that has a type."""
    species = info.chemical_species
    if species is None:
        hint = "use the pair style: equipot lammps build"
        raise LammpsError(problem(_WHERE, "the types of the model are not chemical elements", hint=hint))
    if name in info.type_names:
        return species[info.type_names.index(name)]
    if name in species:
        return name
    raise LammpsError(unknown(f"{_WHERE}.types", name, [*info.type_names], "type of the model"))


def _only_type(symbol: str, info: ModelInfo) -> str:
    found = [name for name, one in zip(info.type_names, info.chemical_species or (), strict=True) if one == symbol]
    if len(found) > 1:
        what = f"several types of the model are {symbol}"
        raise LammpsError(problem(f"{_WHERE}.types", what, got=found, hint="give the name of one of them"))
    return found[0]


def _virial(atoms: Atoms, results: dict[str, Any]) -> Array:
    """-dE/d(strain) in eV, shape [3, 3]; of a frame without a cell, from positions and forces."""
    if "stress" in results:
        xx, yy, zz, yz, xz, xy = -results["stress"] * atoms.get_volume()
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return np.asarray(atoms.positions.T @ results["forces"])
