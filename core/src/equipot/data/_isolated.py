"""Which frames are isolated atoms: one atom without neighbours."""

from __future__ import annotations

from equipot.errors import DataError
from equipot.graph import Graph
from equipot.neighbors import add_neighbors

APART = 6.0
"""Å: where no cutoff is known, an atom whose images are farther away is isolated; the nearest neighbours in crystals of
elements are at most 5.3 Å away (caesium)."""


def is_isolated(frame: Graph) -> bool:
    """Whether a frame is one atom without neighbours within its cutoff; False if its edges are not known."""
    return frame["positions"].shape[0] == 1 and "edge_index" in frame and frame["edge_index"].shape[1] == 0


def is_alone(frame: Graph, r_max: float = APART) -> bool:
    """Whether a frame without edges is one atom without neighbours.

    Args:
        frame: As read.
        r_max: Distance within which images of the atom are neighbours, Å.
    """
    if frame["positions"].shape[0] != 1:
        return False
    if not frame["pbc"].any():
        return True
    try:
        return is_isolated(add_neighbors(frame, r_max))
    except DataError:  # a cell so small that there is no end of images
        return False
