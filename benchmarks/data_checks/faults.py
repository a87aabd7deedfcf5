"""Faults that data sets have, planted in sound frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator

Generator = np.random.Generator
KCAL, KJ, GPA = units.kcal / units.mol, units.kJ / units.mol, units.GPa
ZEROS = {1: -0.05, 6: -0.9, 7: -1.2, 8: -1.6}
"""Difference of two levels of theory by element, eV; 0.03 eV times the atomic number for others."""


class Planted(NamedTuple):
    """Frames with a fault, and what should be said of them."""

    frames: list[Atoms]
    codes: tuple[str, ...]
    """Any of these codes finds it."""
    hint: str = ""
    """Text that the message must contain to count as named."""
    indices: tuple[int, ...] = ()
    """The frames that are wrong, where it is not all of them."""


def copy(atoms: Atoms, **changes: Any) -> Atoms:
    """A frame with some of positions, cell, pbc, numbers, energy, forces, stress replaced; None leaves a label out."""
    made = Atoms(
        numbers=changes.get("numbers", atoms.numbers),
        positions=changes.get("positions", atoms.positions),
        cell=changes.get("cell", atoms.cell.array),
        pbc=changes.get("pbc", atoms.pbc),
    )
    labels = {**atoms.calc.results, **{key: changes[key] for key in ("energy", "forces", "stress") if key in changes}}
    made.calc = SinglePointCalculator(made, **{key: value for key, value in labels.items() if value is not None})
    made.info.update({key: atoms.info[key] for key in ("config_type", "group") if key in atoms.info})
    return made


def energy(atoms: Atoms) -> float:
    """Energy label."""
    return float(atoms.calc.results["energy"])


def forces(atoms: Atoms) -> np.ndarray:
    """Force label."""
    return np.array(atoms.calc.results["forces"], float)


def stress(atoms: Atoms) -> np.ndarray:
    """Stress label; zero without."""
    return np.array(atoms.calc.results["stress"], float)


def _scaled(energy_unit: float = 1.0, force_unit: float = 1.0) -> Callable[[list[Atoms], Generator], list[Atoms]]:
    """Labels written in other units (in eV, eV/Å)."""
    return lambda frames, _: [copy(a, energy=energy(a) / energy_unit, forces=forces(a) / force_unit) for a in frames]


def _stressed(change: Callable[[Atoms], np.ndarray]) -> Callable[[list[Atoms], Generator], list[Atoms] | None]:
    def plant(frames: list[Atoms], _: Generator) -> list[Atoms] | None:
        having = [a for a in frames if "stress" in a.calc.results]
        if len(having) < 20:
            return None
        return [copy(a, stress=change(a)) if "stress" in a.calc.results else a for a in frames]

    return plant


def _levels(frames: list[Atoms], _: Generator) -> list[Atoms]:
    offsets = [sum(ZEROS.get(z, 0.03 * z) for z in a.numbers) for a in frames]
    return [
        copy(a, energy=energy(a) + (offset if index % 2 else 0.0))
        for index, (a, offset) in enumerate(zip(frames, offsets, strict=True))
    ]


def _previous(frames: list[Atoms], _: Generator) -> list[Atoms] | None:
    if len({a.get_chemical_formula("reduce") for a in frames}) > 1:
        return None
    return [copy(a, forces=forces(frames[index - 1])) for index, a in enumerate(frames)]


def _sorted(frames: list[Atoms], _: Generator) -> list[Atoms] | None:
    """Forces in the order of sorted elements, in frames whose atoms are in another order."""
    orders = [np.argsort(a.numbers, kind="stable") for a in frames]
    if all((order == np.arange(len(order))).all() for order in orders):
        return None
    return [copy(a, forces=forces(a)[order]) for a, order in zip(frames, orders, strict=True)]


def _shuffled(frames: list[Atoms], rng: Generator) -> list[Atoms]:
    return [copy(a, forces=forces(a)[rng.permutation(len(a))]) for a in frames]


def _rotated(frames: list[Atoms], rng: Generator) -> list[Atoms]:
    turns = [np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in frames]
    return [copy(a, forces=forces(a) @ (turn * np.linalg.det(turn))) for a, turn in zip(frames, turns, strict=True)]


def _lower_half(frames: list[Atoms], _: Generator) -> list[Atoms]:
    fixed = [a.positions[:, 2] < np.median(a.positions[:, 2]) for a in frames]
    return [copy(a, forces=np.where(one[:, None], 0.0, forces(a))) for a, one in zip(frames, fixed, strict=True)]


def _transposed(frames: list[Atoms], _: Generator) -> list[Atoms] | None:
    if not all(a.pbc.all() for a in frames):
        return None
    skew = [np.abs(a.cell.array - a.cell.array.T).max() / np.abs(a.cell.array).max() for a in frames]
    if np.median(skew) < 0.05:
        return None
    return [copy(a, cell=a.cell.array.T) for a in frames]


def _without_cell(frames: list[Atoms], _: Generator) -> list[Atoms] | None:
    if not all(a.pbc.all() for a in frames):
        return None
    return [copy(a, cell=np.zeros((3, 3)), pbc=False, stress=None) for a in frames]


def _not_periodic(frames: list[Atoms], _: Generator) -> list[Atoms] | None:
    if not all(a.pbc.all() for a in frames):
        return None
    return [copy(a, pbc=False, stress=None) for a in frames]


def _fractional(frames: list[Atoms], _: Generator) -> list[Atoms] | None:
    if not all(a.pbc.all() for a in frames):
        return None
    return [copy(a, positions=a.get_scaled_positions(wrap=False)) for a in frames]


def _per_atom(frames: list[Atoms], _: Generator) -> list[Atoms]:
    return [copy(a, energy=energy(a) / len(a)) for a in frames]


WHOLE: dict[str, tuple[Callable[[list[Atoms], Generator], list[Atoms] | None], tuple[str, ...], str]] = {
    "forces in Hartree/Bohr": (
        _scaled(1, units.Hartree / units.Bohr),
        ("forces-unit", "stress-unit"),
        "forces look like Hartree/Bohr",
    ),
    "forces in Rydberg/Bohr": (
        _scaled(1, units.Rydberg / units.Bohr),
        ("forces-unit", "stress-unit"),
        "forces look like Rydberg/Bohr",
    ),
    "forces in kcal/mol/Å": (_scaled(1, KCAL), ("forces-unit", "stress-unit"), "forces look like kcal/mol/Å"),
    "forces in kJ/mol/nm": (_scaled(1, KJ / 10), ("forces-unit", "stress-unit"), "forces look like kJ/mol/nm"),
    "forces in eV/nm": (_scaled(1, 0.1), ("forces-unit", "stress-unit"), "forces look like eV/nm"),
    "energies in kcal/mol": (_scaled(KCAL, 1), ("forces-unit", "energy-unit"), "energies look like kcal/mol"),
    "energies in kJ/mol": (_scaled(KJ, 1), ("forces-unit", "energy-unit"), "energies look like kJ/mol"),
    "energies in Hartree": (_scaled(units.Hartree, 1), ("forces-unit", "energy-unit"), "energies look like Hartree"),
    "energies in Rydberg": (_scaled(units.Rydberg, 1), ("forces-unit", "energy-unit"), "energies look like Rydberg"),
    "all in kcal/mol": (_scaled(KCAL, KCAL), ("forces-unit", "energy-unit", "stress-unit"), "kcal/mol"),
    "all in kJ/mol": (_scaled(KJ, KJ), ("forces-unit", "energy-unit", "stress-unit"), "kJ/mol"),
    "all in Hartree, Bohr": (
        _scaled(units.Hartree, units.Hartree / units.Bohr),
        ("forces-unit", "energy-unit", "stress-unit"),
        "Hartree",
    ),
    "sign of the forces": (lambda frames, _: [copy(a, forces=-forces(a)) for a in frames], ("forces-sign",), ""),
    "sign of the energies": (lambda frames, _: [copy(a, energy=-energy(a)) for a in frames], ("forces-sign",), ""),
    "energies per atom": (_per_atom, ("energy-per-atom", "energy-size", "forces-unit"), "per atom"),
    "two levels of theory": (_levels, ("energy-levels",), ""),
    "forces of the previous frame": (_previous, ("forces-unrelated",), "previous frame"),
    "forces sorted by element": (_sorted, ("forces-unrelated", "forces-torque"), "order of"),
    "forces shuffled": (_shuffled, ("forces-unrelated", "forces-torque"), ""),
    "forces rotated": (_rotated, ("forces-unrelated", "forces-torque"), ""),
    "forces of half the atoms zero": (_lower_half, ("forces-zeroed", "forces-of-fixed-atoms"), ""),
    "positions in Bohr": (
        lambda frames, _: [copy(a, positions=a.positions / units.Bohr, cell=a.cell.array / units.Bohr) for a in frames],
        ("positions-unit", "positions-too-far"),
        "Bohr",
    ),
    "fractional positions": (_fractional, ("positions-unit",), "fractions"),
    "cells transposed": (_transposed, ("cell-transposed", "cell-overlap", "forces-unrelated"), "column"),
    "cells lost": (_without_cell, ("cell-lost",), ""),
    "cells not periodic": (_not_periodic, ("pbc-missing",), ""),
    "sign of the stress": (_stressed(lambda a: -stress(a)), ("stress-sign",), ""),
    "stress in kbar": (_stressed(lambda a: stress(a) / GPA * 10), ("stress-unit",), "kbar"),
    "stress in kbar, of VASP": (_stressed(lambda a: -stress(a) / GPA * 10), ("stress-unit",), "kbar and positive"),
    "stress in GPa": (_stressed(lambda a: stress(a) / GPA), ("stress-unit",), "GPa"),
    "stress in Hartree/Bohr³": (
        _stressed(lambda a: stress(a) / units.Hartree * units.Bohr**3),
        ("stress-unit",),
        "Hartree/Bohr³",
    ),
    "virial as stress": (_stressed(lambda a: -stress(a) * a.get_volume()), ("stress-unit",), "virial"),
    "stress times volume": (_stressed(lambda a: stress(a) * a.get_volume()), ("stress-unit",), "volume"),
    "stress as xx yy zz xy yz zx": (_stressed(lambda a: stress(a)[[0, 1, 2, 5, 3, 4]]), ("stress-order",), "xy yz xz"),
    "stress as xx yy zz xy xz yz": (_stressed(lambda a: stress(a)[[0, 1, 2, 5, 4, 3]]), ("stress-order",), "xy xz yz"),
}
"""Faults of whole sets: how to plant them, which codes find them, and what the message should say."""


def _one(frames: list[Atoms], index: int, **changes: Any) -> list[Atoms]:
    return [*frames[:index], copy(frames[index], **changes), *frames[index + 1 :]]


def _lively(frames: list[Atoms], rng: Generator) -> int:
    """A frame whose forces are not small and not all of one kind."""
    sizes = np.array([np.sqrt((forces(a) ** 2).mean()) if len(a) > 3 else 0.0 for a in frames])
    return int(rng.choice(np.flatnonzero(sizes >= 0.5 * np.median(sizes[sizes > 0]))))


def _shuffled_one(frames: list[Atoms], index: int, rng: Generator) -> list[Atoms]:
    return _one(frames, index, forces=forces(frames[index])[rng.permutation(len(frames[index]))])


def _other_one(frames: list[Atoms], index: int, _: Generator) -> list[Atoms] | None:
    same = [
        a
        for a in frames
        if a is not frames[index] and (len(a) == len(frames[index])) and (a.numbers == frames[index].numbers).all()
    ]
    return _one(frames, index, forces=forces(same[len(same) // 2])) if same else None


def _turned_one(frames: list[Atoms], index: int, _: Generator) -> list[Atoms]:
    """The largest force of a frame points the other way."""
    wrong = forces(frames[index])
    atom = int(np.linalg.norm(wrong, axis=1).argmax())
    wrong[atom] = -wrong[atom]
    return _one(frames, index, forces=wrong)


def _outlier(frames: list[Atoms], index: int, _: Generator) -> list[Atoms]:
    return _one(frames, index, energy=energy(frames[index]) + 10.0)


def _cohesive_one(frames: list[Atoms], index: int, _: Generator) -> list[Atoms]:
    return _one(frames, index, energy=-4.0 * len(frames[index]))


def _element_one(frames: list[Atoms], index: int, _: Generator) -> list[Atoms] | None:
    numbers = frames[index].numbers.copy()
    kinds = np.unique(np.concatenate([a.numbers for a in frames]))
    if len(kinds) < 2 or len({a.get_chemical_formula() for a in frames}) > 3:
        return None
    numbers[0] = kinds[kinds != numbers[0]][0]
    return _one(frames, index, numbers=numbers)


SINGLE: dict[str, tuple[Callable[[list[Atoms], int, Generator], list[Atoms] | None], tuple[str, ...]]] = {
    "one frame: forces shuffled": (_shuffled_one, ("forces-misplaced", "forces-torque")),
    "one frame: one force turned": (_turned_one, ("forces-sum", "forces-misplaced", "forces-torque")),
    "one frame: forces of another": (_other_one, ("forces-misplaced", "forces-torque")),
    "one frame: energy off by 10 eV": (_outlier, ("energy-outlier", "energy-far-off")),
    "one frame: cohesive energy": (_cohesive_one, ("energy-outlier", "energy-far-off")),
    "one frame: an element mislabelled": (_element_one, ("element-label",)),
}
"""Faults of one frame: how to plant them and which codes find them."""


def _unconverged(frames: list[Atoms], rng: Generator) -> Planted:
    wrong = tuple(range(4, len(frames), 20))
    made = [
        copy(a, energy=energy(a) + (rng.uniform(0.2, 3.0) if index in wrong else 0.0)) for index, a in enumerate(frames)
    ]
    return Planted(made, ("energy-raised", "energy-outlier"), indices=wrong)


def _from_other_method(frames: list[Atoms]) -> dict[str, Planted]:
    """A true fault of frames that have the energies of two methods."""
    planted = {}
    if all("other_energy" in a.info for a in frames):
        made = [copy(a, energy=a.info["other_energy"]) if index % 2 else a for index, a in enumerate(frames)]
        planted["half of the energies of another method"] = Planted(made, ("energy-levels",))
    return planted


def plant(frames: list[Atoms], rng: Generator) -> dict[str, Planted]:
    """Every fault that the frames can have, by its name."""
    frames = [a for a in frames if len(a) > 1]
    planted = {}
    for name, (make, codes, hint) in WHOLE.items():
        if (made := make(frames, rng)) is not None:
            planted[name] = Planted(made, codes, hint)
    for name, (change, codes) in SINGLE.items():
        index = _lively(frames, rng)
        if (made := change(frames, index, rng)) is not None:
            planted[name] = Planted(made, codes, indices=(index,))
    planted["1 in 20 energies not converged"] = _unconverged(frames, rng)
    return planted | _from_other_method(frames)
