"""What this package declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot import hookimpl
from equipot.declarations import CommandEntry, PartEntry

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def equipot_commands() -> Iterator[CommandEntry]:
    """Declare the commands."""
    yield from _COMMANDS


_COMMANDS: list[CommandEntry] = [
    CommandEntry(
        name="fit",
        target="equipot_fit._command.command",
        summary="Make a potential of a file of labelled structures within a time",
    ),
    CommandEntry(
        name="new",
        target="equipot_fit._new_command.command",
        summary="Write a config for labelled data, each choice with its reason",
    ),
    CommandEntry(
        name="learning-curve",
        target="equipot_fit._learning_curve_command.command",
        summary="Say how errors fall with the number of frames, and what more would give",
    ),
    CommandEntry(
        name="compare",
        target="equipot_fit._report._compare_command.command",
        summary="Compare runs side by side",
    ),
    CommandEntry(
        name="report",
        target="equipot_fit._report._report_command.command",
        summary="Write a report about a run as one HTML file",
    ),
]


@hookimpl
def equipot_parts() -> Iterator[PartEntry]:
    """Declare everything that configs can name."""
    for kind, name, summary in (
        ("callback", "TimeBudget", "Ends a training when its time is up, with a learning rate that has come to zero"),
        ("callback", "StepBudget", "Ends a training after a number of steps, with a validation"),
        ("callback", "PackageBest", "Refits the last layer and packages the best weights at the end of a training"),
        ("callback", "StepTimer", "Measures the seconds of a training step and ends the run"),
        ("scheduler", "WarmupDecay", "Warm-up, constant learning rate and decay to zero, by steps"),
    ):
        yield PartEntry(kind=kind, target=f"equipot_fit.{name}", summary=summary)
