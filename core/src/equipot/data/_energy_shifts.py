"""Statistics of energies per type, which are computed of isolated atoms too.

All other statistics leave these frames out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

from equipot.data._energy_references import EnergyReferences
from equipot.data._isolated import is_isolated
from equipot.fields import LABELS, mask_key
from equipot.graph import Graph


def is_labelled(graph: Graph) -> bool:
    """Whether any label of a frame or batch counts: where all are missing or have weight 0, nothing is learnt from it.

    A label without a mask counts, and a frame without labels does too.
    """
    present = [label for label in LABELS if label in graph]
    return not present or any(mask_key(one) not in graph or bool(graph[mask_key(one)].any()) for one in present)


class ReferenceCollector(ABC):
    """Computes a statistic that also needs the frames of isolated atoms, which all other statistics leave out."""

    @abstractmethod
    def update(self, batch: Graph) -> None:
        """Add frames other than isolated atoms."""

    @abstractmethod
    def update_isolated(self, frame: Graph) -> None:
        """Add the frame of an isolated atom."""

    @abstractmethod
    def result(self) -> dict[str, float]:
        """Energy by type, or a DataError if the frames do not determine it."""


class _Energies(ReferenceCollector):
    """Collects references; derived classes say which energies follow."""

    requires = ("total_energy", "atom_types")

    def __init__(self, type_names: Sequence[str]) -> None:
        self.references = EnergyReferences(type_names)

    def update(self, batch: Graph) -> None:
        """Add frames other than isolated atoms."""
        self.references.update(batch)

    def update_isolated(self, frame: Graph) -> None:
        """Add the frame of an isolated atom."""
        self.references.update_isolated(frame)


class IsolatedAtoms(_Energies):
    """Energies by type of the frames that consist of one atom without neighbours."""

    def result(self) -> dict[str, float]:
        """Energies by type; a DataError if a type has no isolated atom, or several with different energies."""
        return self.references.isolated_atoms()


class LeastSquaresShifts(_Energies):
    """Per-type energies from least squares; it is an error if the compositions do not determine the fit."""

    def result(self) -> dict[str, float]:
        """The fitted energies by type; a DataError if the frames do not determine them."""
        return self.references.least_squares()


class NearestToMean(_Energies):
    """Per-type energies from least squares; those that compositions leave open stay close to the mean."""

    def result(self) -> dict[str, float]:
        """The fitted energies by type."""
        return self.references.nearest_to_mean()


class Shrunk(_Energies):
    """Per-type energies from least squares with a ridge towards the mean."""

    def result(self) -> dict[str, float]:
        """The fitted energies by type."""
        return self.references.ridge()


class BestShifts(_Energies):
    """Isolated atoms if complete, else least squares where determined, else the mean."""

    def result(self) -> dict[str, float]:
        """Energies by type."""
        return self.references.choose().values


def without_isolated(
    frames: Iterable[Graph], marks: Iterable[bool], references: Sequence[ReferenceCollector]
) -> Iterator[Graph]:
    """The frames other than isolated atoms, which only some collectors get, and without those that have no label.

    Args:
        frames: With edges.
        marks: True for frames that count as isolated atoms even with edges, one for each frame.
        references: Collectors that get isolated atoms.
    """
    for frame, marked in zip(frames, marks, strict=False):
        if not is_labelled(frame):
            continue
        if not marked and not is_isolated(frame):
            yield frame
            continue
        for one in references:
            one.update_isolated(frame)
