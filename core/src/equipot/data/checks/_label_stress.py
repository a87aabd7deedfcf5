"""Checks of stresses by themselves: larger than any solid bears."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from equipot.commands import setting
from equipot.data.checks._block import Block
from equipot.data.checks._catalogue import Check, Finding, define
from equipot.data.checks._survey import Asked, LabelPass, Places

STRESS_LARGE = define(
    Check(
        code="stress-large",
        severity="warning",
        title="The stress is larger than any solid bears",
        law="Stresses of calculations lie below some hundred GPa (1 eV/Å³ = 160 GPa).",
        threshold="A component is above 3 eV/Å³ (480 GPa).",
        why="Stress in kbar or GPa, or a virial in eV, is learnt as if it were eV/Å³.",
        remedy=lambda: (
            "Convert it: 1 GPa = 0.006242 eV/Å³, 1 kbar = 0.0006242 eV/Å³; a virial is read with "
            f"{setting('labels', {'stress': '{key: virial, convention: virial}'})}."
        ),
    )
)

_LARGEST_STRESS = 3.0


class Stresses(LabelPass):
    """Stresses that are too large to be in eV/Å³."""

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._large = Places()
        self._largest = 0.0
        self._frames = 0

    def see(self, block: Block) -> None:
        """Compare the largest component."""
        if "stress" not in block.labels:
            return
        largest = np.nan_to_num(np.abs(block.label_rows("stress")).max(axis=1), nan=0.0)
        self._frames += int((~block.missing["stress"]).sum())
        self._large.add_all(block.places, largest > _LARGEST_STRESS)
        self._largest = max(float(largest.max()), self._largest)

    def findings(self) -> Iterator[Finding]:
        """If any is too large."""
        if self._large.count and self.asked.is_used("stress"):
            shown = self.asked.quantity(self._largest, "stress")
            message = f"the stress of {self._large.count} of {self._frames} frames is up to {shown}"
            yield self._large.finding(STRESS_LARGE, message)
