"""Frames with what the census counts of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from equipot.data._frames import LabelContract, LabelReport, frame_from_atoms, keys_found
from equipot.data._lazy import LazyFrames
from equipot.errors import DataError, problem

if TYPE_CHECKING:
    from ase import Atoms

    from equipot.graph import Graph

_SHOWN = 5


@dataclass
class FrameCollection:
    """Frames and what is known of each: sequences of equal length, one entry per frame."""

    frames: Sequence[Graph] = field(default_factory=list)
    reports: list[dict[str, LabelReport]] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    """``FILE, frame INDEX`` (counted from 0)."""
    keys: list[tuple[str, ...]] = field(default_factory=list)
    """Numeric values of the frame besides its geometry, as ``place:key``."""
    isolated: list[bool] = field(default_factory=list)
    """Marked with ``config_type=IsolatedAtom``."""

    def subset(self, indices: Sequence[int]) -> FrameCollection:
        """Some of the frames, in the given order."""
        frames = self.frames
        return FrameCollection(
            frames=frames.subset(indices) if isinstance(frames, LazyFrames) else [frames[index] for index in indices],
            reports=[self.reports[index] for index in indices],
            places=[self.places[index] for index in indices],
            keys=[self.keys[index] for index in indices],
            isolated=[self.isolated[index] for index in indices],
        )

    @property
    def labels(self) -> set[str]:
        """Labels that at least one of the frames has."""
        return {label for report in self.reports for label, one in report.items() if one.source and not one.ignored}


def collect_frames(
    atoms_by_place: Iterable[tuple[str, Atoms]],
    contract: LabelContract,
    *,
    mask_nan: bool = False,
    keep: bool = True,
) -> FrameCollection:
    """Convert ``ase.Atoms`` to frames, with what the census counts of each.

    Args:
        atoms_by_place: The place of each structure (for messages) and the structure.
        contract: Labels to read.
        mask_nan: Treat NaN in a label as missing.
        keep: False leaves ``frames`` empty, for the caller to fill in.

    Raises:
        DataError: With the first few frames that cannot be used.
    """
    frames: list[Graph] = []
    collection = FrameCollection(frames)
    problems: list[str] = []
    for where, atoms in atoms_by_place:
        try:
            frame, reports = frame_from_atoms(atoms, contract, where, mask_nan=mask_nan)
        except DataError as error:
            problems.append(str(error))
            continue
        if keep:
            frames.append(frame)
        collection.reports.append(reports)
        collection.places.append(where)
        collection.keys.append(tuple(keys_found(atoms)))
        collection.isolated.append(_is_isolated(atoms, where, problems))
    if problems:
        more = [f"and {len(problems) - _SHOWN} more frames"] if len(problems) > _SHOWN else []
        raise DataError("\n".join([*problems[:_SHOWN], *more]))
    return collection


def _is_isolated(atoms: Atoms, where: str, problems: list[str]) -> bool:
    marked = str(atoms.info.get("config_type", "")).replace("_", "").lower() == "isolatedatom"
    if marked and len(atoms) != 1:
        problems.append(problem(where, f"config_type is IsolatedAtom but the frame has {len(atoms)} atoms"))
    return marked
