"""Frames of equal composition from arrays whose first axis is the frame."""

from __future__ import annotations

from collections.abc import Mapping

from equipot.data import ArrayFrames
from equipot_toolbox._frame_source import FrameSource

HDF5_KEYS = {"pos": "positions", "coordinates": "positions", "species": "atomic_numbers", "energies": "energy"}
"""Usual names of arrays in HDF5 files."""

_SYNONYMS = {"pos": "positions", "total_energy": "energy"}
"""Synonyms that users may write."""


def names_of(given: Mapping[str, str] | None, default: Mapping[str, str]) -> dict[str, str]:
    """What each array is, by its name, without synonyms.

    Args:
        given: Names given by the user, or None.
        default: Used for all other names.

    Example:
        >>> names_of({"E": "total_energy"}, {"R": "pos"})
        {'R': 'positions', 'E': 'energy'}
    """
    return {name: _SYNONYMS.get(what, what) for name, what in {**default, **(given or {})}.items()}


class FrameArrays(ArrayFrames, FrameSource):
    """Frames of equal composition as a data set."""

    def paths(self) -> list[str]:
        """The file."""
        return [self.path]
