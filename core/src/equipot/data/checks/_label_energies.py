"""Checks of energies by themselves: rounded, far from all others, of two levels of theory in two sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np

from equipot.data.checks._block import Block
from equipot.data.checks._catalogue import Check, Finding, define
from equipot.data.checks._energy_rows import EnergyRows
from equipot.data.checks._numbers import FEWEST, GAP, apart
from equipot.data.checks._survey import Asked, LabelPass
from equipot.units import UNIT_SYSTEMS

FLOAT32 = define(
    Check(
        code="energy-precision",
        severity="warning",
        title="Energies have too few digits",
        law="The last digit of a total energy is smaller than the error of a good model.",
        threshold="All energies (at least two) are numbers of single precision, whose steps at this size are larger "
        "than 0.2 meV per atom.",
        why="Errors of energy cannot fall below the step.",
        remedy="Write energies in double precision, or subtract the energies of the atoms before rounding.",
    )
)

ENERGY_FAR_OFF = define(
    Check(
        code="energy-far-off",
        severity="warning",
        title="The energy of a few frames is far from all others",
        law="Energies of frames of like composition lie together.",
        threshold="After the part that is linear in the composition is removed, and the median of each composition of "
        "at least 200 frames, at most 2 % of the frames (at least 20 in a set) are more than 20 robust standard "
        "deviations off, and 3 times as far as the next frame.",
        why="A single wrong energy can outweigh all others in a loss of squares.",
        remedy="Look at the frame: an unconverged calculation, another level of theory, or another reference.",
    )
)

SETS_LEVELS = define(
    Check(
        code="sets-levels",
        severity="warning",
        title="Energies of two sets are of different levels of theory",
        law="Frames of the same composition have about the same energy in each set.",
        threshold="The energies per atom of compositions that both sets have (or that follow from those of the first "
        "set) differ in the median by more than 0.5 eV and 8 robust standard deviations within a set (2 eV and 12 "
        "where they only follow).",
        why="Errors on the set say nothing of the model, or two levels of theory are learnt at once.",
        remedy="Compute all sets with the same program, functional and settings, and read them in the same unit.",
    )
)

_PRECISION = 2e-4
_FAR = 20.0


class Energies(LabelPass):
    """Outliers in energy, energies with too few digits, and sets of different levels of theory."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._rows: dict[str, EnergyRows] = defaultdict(EnergyRows)

    def see(self, block: Block) -> None:
        """Keep energies and compositions."""
        self._rows[block.set_name].add(block, np.isfinite(block.energies) & (block.counts > 1))

    def findings(self) -> Iterator[Finding]:
        """Of each set."""
        if not self.asked.is_used("total_energy"):
            return
        for name, rows in self._rows.items():
            if rows.places:
                yield from self._precision(name, rows)
                yield from self._outliers(name, rows)
        yield from self._levels({name: rows for name, rows in self._rows.items() if rows.places})

    def _precision(self, name: str, rows: EnergyRows) -> Iterator[Finding]:
        stored = rows.energies / self._scale
        steps = np.spacing(np.abs(stored).astype(np.float32)) * self._scale
        step = float(np.median(steps / rows.atoms))
        if len(stored) < 2 or step <= _PRECISION or not all(map(_is_single, stored.tolist())):
            return
        shown = self.asked.quantity(float(np.median(steps)))
        message = (
            f"the {len(stored)} energies of {name} are in single precision, with steps of {shown} "
            f"({1000 * step:.2g} meV/atom)"
        )
        places = tuple(rows.places)
        yield Finding(check=FLOAT32, count=len(stored), example=places[0], message=message, places=places)

    @property
    def _scale(self) -> float:
        return UNIT_SYSTEMS[self.asked.units].energy_in_ev

    def _outliers(self, name: str, rows: EnergyRows) -> Iterator[Finding]:
        if len(rows.places) < FEWEST:
            return
        off, spread = rows.deviations()
        if not (found := apart(np.abs(off) / spread, factor=GAP, least=_FAR)):
            return
        shown = self.asked.quantity(float(off[found[0]]), per="/atom")
        message = f"{len(found)} of {len(off)} energies of {name} are far from all others, the first by {shown}"
        where = tuple(rows.places[index] for index in found)
        yield Finding(check=ENERGY_FAR_OFF, count=len(found), example=where[0], message=message, places=where)

    def _levels(self, rows: Mapping[str, EnergyRows]) -> Iterator[Finding]:
        """Compare each set with the first one."""
        (first, one), *others = [*rows.items(), ("", EnergyRows())]
        for name, other in others:
            found = one.offset(other) if other.places else None
            if found is None:
                continue
            shown = self.asked.quantity(found.shift, per="/atom")
            message = (
                f"{found.frames} frames of {name} lie {shown} from frames of {first} with the same atoms: another "
                "level of theory or unit?"
            )
            yield Finding(check=SETS_LEVELS, count=found.frames, example=name, message=message, places=(first, name))


def _is_single(value: float) -> bool:
    """Whether a number has no more digits than single precision, as binary or as decimal text."""
    single = np.float32(value)
    return float(single) == value or float(str(single)) == value
