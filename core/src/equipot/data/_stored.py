"""Labelled frames as they are stored: numbers by key, independent of the format of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot.data._collection import FrameCollection
from equipot.data._label_contract import LabelContract, label_contract
from equipot.data._packed import GEOMETRY, Array
from equipot.fields import FIELDS, LABELS, OPTIONAL_INPUTS, mask_key, weight_key
from equipot.graph import Graph
from equipot.units import Units

if TYPE_CHECKING:
    from ase import Atoms

GROUP, UNITS = "config_type", "units"
"""Keys of the group of a frame, and of its unit system, which readers compare with that of the config."""

_RESULTS = ("energy", "forces", "stress")
_KEYS = {"total_energy": "energy", "virial": "virial_tensor"}
_VOIGT = (0, 4, 8, 5, 2, 1)


@dataclass(frozen=True)
class StoredFrame:
    """One frame of a file: its geometry, and values by key."""

    geometry: dict[str, Array]
    frame: dict[str, Array]
    """Values of the frame, flat."""
    atoms: dict[str, Array]
    """Values with a row for each atom."""
    texts: dict[str, str]

    def to_atoms(self) -> Atoms:
        """The frame as ASE has it; results of a calculation are in ``calc.results``, all else in info and arrays."""
        from ase import Atoms
        from ase.calculators.singlepoint import SinglePointCalculator

        geometry = self.geometry
        atoms = Atoms(
            numbers=geometry["atomic_numbers"],
            positions=geometry["positions"],
            cell=geometry["cell"].reshape(3, 3),
            pbc=geometry["pbc"].ravel(),
        )
        values = {key: value.item() if value.size == 1 else value for key, value in self.frame.items()}
        atoms.info.update({key: value for key, value in values.items() if key not in _RESULTS} | self.texts)
        atoms.arrays.update({key: value for key, value in self.atoms.items() if key not in _RESULTS})
        results = {key: value for key, value in {**values, **self.atoms}.items() if key in _RESULTS}
        if results:
            atoms.calc = SinglePointCalculator(atoms, **results)
        return atoms


@dataclass(frozen=True)
class Storage:
    """Under which keys a collection of frames is stored.

    Args:
        labels: Key of each label and model input.
        weights: Key of the weights of each label.
        units: Unit system.
    """

    labels: dict[str, str]
    weights: dict[str, str]
    units: Units

    @staticmethod
    def of(collection: FrameCollection, units: Units) -> Storage:
        """The keys that keep every number: a stress with two halves that differ cannot have ASE's key."""
        there = {key for frame in collection.frames for key in frame}
        labels = {name: _KEYS.get(name, name) for name in (*LABELS, *OPTIONAL_INPUTS) if name in there}
        if "stress" in labels and not all(
            _is_symmetric(frame["stress"].numpy()) for frame in collection.frames if "stress" in frame
        ):
            labels["stress"] = "stress_tensor"
        weights = {name: weight_key(name) for name in labels if weight_key(name) in there}
        return Storage(labels, weights, units)

    def contract(self) -> LabelContract:
        """Where the labels are in the file."""
        return label_contract(dict(self.labels), units=self.units, weights=self.weights)

    def config(self) -> str:
        """What a config says so that the file is read; empty if that are the defaults."""
        usual = {name: name for name in ("forces", "stress")} | {"total_energy": "energy"}
        parts = []
        if any(usual.get(name) != key for name, key in self.labels.items()):
            parts.append(f"labels: {_mapping(self.labels)}")
        if self.weights:
            parts.append(f"weights: {_mapping(self.weights)}")
        if self.units != "metal":
            parts.append(f"units: {self.units}")
        return ", ".join(parts)

    def frames(self, collection: FrameCollection, split_key: str | None = None) -> Iterator[StoredFrame]:
        """The frames of the collection, in order."""
        for index, frame in enumerate(collection.frames):
            texts: dict[str, str] = {UNITS: self.units}
            if collection.groups and collection.groups[index]:
                texts[GROUP] = collection.groups[index]
            if split_key is not None and collection.split_keys and split_key != GROUP:
                texts |= {split_key: collection.split_keys[index]} if collection.split_keys[index] else {}
            yield self._stored(frame, texts)

    def _stored(self, frame: Graph, texts: dict[str, str]) -> StoredFrame:
        values: dict[str, dict[str, Array]] = {"frame": {}, "atom": {}}
        for name, key in self.labels.items():
            if name not in frame:
                continue
            value, held = frame[name].numpy(), values[FIELDS[name].per]
            if mask_key(name) in frame:  # rows that do not count are read as such again
                value = np.where(_rows(frame[mask_key(name)].numpy(), value), value, np.nan)
            value = value.reshape(-1)[list(_VOIGT)] if key == "stress" else value
            held[key] = value if held is values["atom"] else value.reshape(-1)
            if weight_key(name) in frame:
                held[weight_key(name)] = frame[weight_key(name)].numpy()
        return StoredFrame({key: frame[key].numpy() for key in GEOMETRY}, values["frame"], values["atom"], texts)


def _is_symmetric(stress: Array) -> bool:
    return bool((stress == stress.transpose(0, 2, 1)).all())


def _rows(mask: Array, value: Array) -> Array:
    return mask.reshape(-1, *[1] * (value.ndim - 1))


def _mapping(values: Mapping[str, Any]) -> str:
    return f"{{{', '.join(f'{key}: {value}' for key, value in values.items())}}}"
