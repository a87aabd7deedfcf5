"""Core's own declarations, made on the same path as any plugin's: no privileged code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot.declarations import ModifierEntry, StatsManagerEntry
from equipot.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_modifiers() -> Iterator[ModifierEntry]:
    """Core's modifiers."""
    yield ModifierEntry(
        name="modify_PerTypeScaleShift",
        target="equipot.modifiers.modify_PerTypeScaleShift",
        summary="Change scales and shifts of the atomic energies",
        persistent=True,
    )


@hookimpl
def equipot_stats_managers() -> Iterator[StatsManagerEntry]:
    """Core's statistics managers."""
    for name, summary in (
        ("CommonDataStatisticsManager", "Neighbours, mean energy per atom and force rms"),
        ("EnergyOnlyDataStatisticsManager", "Neighbours and energy statistics, no forces"),
        ("DataStatisticsManager", "Statistics named by the user"),
    ):
        yield StatsManagerEntry(name=name, target=f"equipot.data.{name}", summary=summary)
