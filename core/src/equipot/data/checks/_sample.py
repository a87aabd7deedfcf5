"""A sample of a set of frames, as arrays, for the checks of consistency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from equipot.data._collection import FrameCollection
from equipot.data.checks._probe import Basis, Features, FloatArray, IntArray, Structure
from equipot.data.checks._probe_fit import ForceFit, JointFit, JointProbe, fit_forces
from equipot.errors import DataError
from equipot.fields import mask_key
from equipot.graph import Graph
from equipot.neighbors import neighbor_list
from equipot.units import UNIT_SYSTEMS, Units

MOST_FRAMES = 300
MOST_ATOMS = 9_000
FEWEST_FRAMES = 20
MOST_ELEMENTS = 4
_TOUCHING = 0.3
"""Å: a search with a radius much smaller than a bond takes longer, not shorter."""
ROWS_PER_FUNCTION = 20
"""Components of forces for each function of the basis; with fewer a fit says little about other frames."""


def chosen_indices(collection: FrameCollection, most_atoms: int = MOST_ATOMS) -> list[int]:
    """Indices of a sample: evenly spread, as many frames as their atoms allow, isolated atoms left out."""
    bulk = [index for index, isolated in enumerate(collection.isolated) if not isolated]
    few = [bulk[(2 * k + 1) * len(bulk) // (2 * min(len(bulk), 50))] for k in range(min(len(bulk), 50))]
    mean = sum(len(collection.frames[index]["atomic_numbers"]) for index in few) / max(len(few), 1)
    most = min(len(bulk), MOST_FRAMES, max(FEWEST_FRAMES, int(most_atoms / max(mean, 1.0))))
    return [bulk[(2 * k + 1) * len(bulk) // (2 * most)] for k in range(most)]


def structure_of(frame: Graph, place: str, units: Units) -> Structure:
    """A frame as arrays in eV and Å; labels that are partly masked are left out."""
    ev = UNIT_SYSTEMS[units].energy_in_ev
    labels = {name: _whole(frame, name) for name in ("total_energy", "forces", "stress")}
    energy, forces, stress = labels["total_energy"], labels["forces"], labels["stress"]
    return Structure(
        numbers=frame["atomic_numbers"].cpu().numpy().astype(np.int64),
        positions=frame["positions"].cpu().numpy().astype(np.float64),
        cell=frame["cell"][0].cpu().numpy().astype(np.float64),
        pbc=frame["pbc"][0].cpu().numpy(),
        energy=None if energy is None else float(energy.ravel()[0]) * ev,
        forces=None if forces is None else forces.reshape(-1, 3) * ev,
        stress=None if stress is None else stress.reshape(9)[[0, 4, 8, 5, 2, 1]] * ev,
        place=place,
    )


def _separate(structure: Structure) -> bool:
    """Whether no atoms are at the same place, where other checks say so."""
    try:
        neighbor_list(structure.positions, structure.cell, structure.pbc, _TOUCHING)
    except DataError:
        return False
    return True


def _whole(frame: Graph, label: str) -> FloatArray | None:
    if label not in frame:
        return None
    value = frame[label].detach().cpu().numpy().astype(np.float64)
    mask = frame.get(mask_key(label))
    if (mask is not None and not bool(mask.all())) or not np.isfinite(value).all():
        return None
    return value


@dataclass(frozen=True)
class Sample:
    """Sampled frames of one set that have more than one atom."""

    name: str
    """Of the set."""
    collection: FrameCollection
    indices: Sequence[int]
    structures: Sequence[Structure]
    units: Units = "metal"

    @classmethod
    def of(cls, name: str, collection: FrameCollection, units: Units, most_atoms: int = MOST_ATOMS) -> Sample:
        """The sample of a set."""
        pairs = [
            (index, structure_of(collection.frames[index], collection.places[index], units))
            for index in chosen_indices(collection, most_atoms)
        ]
        pairs = [(index, one) for index, one in pairs if len(one.numbers) > 1 and _separate(one)]
        return cls(name, collection, [index for index, _ in pairs], [one for _, one in pairs], units)

    @cached_property
    def elements(self) -> IntArray:
        """Atomic numbers in the sample, sorted."""
        every = [one.numbers for one in self.structures]
        return np.unique(np.concatenate(every)) if every else np.zeros(0, np.int64)

    @cached_property
    def basis(self) -> Basis:
        """Functions for these elements."""
        return Basis(self.elements.tolist())

    @cached_property
    def with_forces(self) -> list[Structure]:
        """Frames with forces."""
        return [one for one in self.structures if one.forces is not None]

    @cached_property
    def forces(self) -> list[FloatArray]:
        """Forces of ``with_forces``, eV/Å."""
        return [one.forces for one in self.structures if one.forces is not None]

    @cached_property
    def features(self) -> list[Features]:
        """Of ``with_forces``."""
        return [self.basis.features(one) for one in self.with_forces]

    @cached_property
    def force_fit(self) -> ForceFit:
        """Fit to the forces alone."""
        return fit_forces(self.features, self.forces)

    @cached_property
    def with_energy(self) -> list[Structure]:
        """Frames with energy and forces."""
        return [one for one in self.with_forces if one.energy is not None]

    @cached_property
    def joint(self) -> JointProbe:
        """Fits to the energies and forces of ``with_energy``."""
        return JointProbe(self._joint_features, self.with_energy, self.elements)

    @cached_property
    def _joint_features(self) -> list[Features]:
        pairs = zip(self.features, self.with_forces, strict=True)
        return [one for one, structure in pairs if structure.energy is not None]

    @cached_property
    def joint_times_size(self) -> JointProbe | None:
        """The same with energies times the number of atoms, where sizes differ."""
        if len({len(one.numbers) for one in self.with_energy}) < 2:
            return None
        larger = [replace(one, energy=(one.energy or 0.0) * len(one.numbers)) for one in self.with_energy]
        return JointProbe(self._joint_features, larger, self.elements)

    @cached_property
    def joint_fit(self) -> JointFit:
        """Fit to energies and forces as they are, in which the energies weigh more: their residuals are judged."""
        return self.joint.fit(energy_weight=30.0)

    def why_no_fit(self) -> str | None:
        """Why the probe says nothing about this set, if so."""
        if not self.with_forces:
            return "no forces"
        if len(self.with_forces) < FEWEST_FRAMES:
            return f"fewer than {FEWEST_FRAMES} frames with forces"
        if len(self.elements) > MOST_ELEMENTS:
            return f"more than {MOST_ELEMENTS} elements"
        if sum(one.size for one in self.forces) < ROWS_PER_FUNCTION * self.basis.size:
            return f"too few forces for {len(self.elements)} elements"
        return None if any((one != 0).any() for one in self.forces) else "all forces are zero"
