"""What a section of the report is: first its numbers, then their picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipot_fit._report._subject import Subject

Data = dict[str, Any]
"""Plain containers, as written to ``report.json``."""


class NotShownError(Exception):
    """A section makes no sense for a run; the message says why, as a sentence."""


@dataclass(frozen=True)
class Section:
    """One section."""

    name: str
    """Key in ``report.json`` and anchor in the page."""
    title: str
    data: Callable[[Subject], Data]
    """Its numbers; raises NotShownError where it makes no sense."""
    draw: Callable[[Data], str]
    """HTML made of the numbers alone."""
    can_wait: bool = False
    """Whether it is left out where time is short."""
    fills_time: bool = False
    """Whether it takes all the time that is left, if a time is set."""
