"""Energies per type: of isolated atoms, from a least-squares fit to compositions, or the mean energy per atom.

Frames of isolated atoms are kept apart from all others: their energies lack the bonding of the others, so that a mean
or a fit over both describes neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from equipot.data._ridge import Floats, ridge_energies
from equipot.data._statistics import Mean
from equipot.errors import DataError
from equipot.fields import mask_key, weight_key
from equipot.graph import Graph
from equipot.quantities import FieldValues, PerAtomModifier, Values

if TYPE_CHECKING:
    from equipot.data.transforms import ChemicalSpeciesToAtomTypeMapper

Rule = Literal["isolated atoms", "least squares", "mean"]

AUTO = "per_type_energy_shifts_auto"
"""The statistic that takes the best of the rules that the data allow."""

MEAN = "per_atom_energy_mean"
"""The statistic of the last of them."""

SAME_ENERGY = 1e-6
"""Energies of isolated atoms of one type that differ by more than this (in the data's unit) contradict each other."""

_ENERGY = "total_energy"


@dataclass
class _Seen:
    """Energies of the frames of one composition: number, weighted mean and squared deviations (Welford, West)."""

    number: int = 0
    weight: float = 0.0
    """Sum of the weights of the frames."""
    mean: float = 0.0
    squares: float = 0.0

    def add(self, energy: float, weight: float) -> None:
        self.number += 1
        self.weight += weight
        step = energy - self.mean
        self.mean += step * weight / self.weight
        self.squares += weight * step * (energy - self.mean)


@dataclass(frozen=True)
class _Fit:
    """Least squares over frames; where compositions leave a choice, the energies are as close to the mean as they can.

    The smallest deviation from the mean, rather than from zero, does not depend on where the energy scale begins.
    """

    energies: Floats
    """By type."""
    rank: int
    """Number of combinations of energies that the compositions determine."""
    undetermined: list[int]
    """Types whose energy they leave open."""
    frames: int
    compositions: int
    residual: float
    """Root of the weighted mean square over frames of the residual per atom."""


@dataclass(frozen=True)
class ChosenEnergies:
    """Energies per type, and why they are these."""

    values: dict[str, float]
    rule: Rule
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain containers."""
        return asdict(self)


class EnergyReferences:
    """Everything that energies per type follow from: compositions with energies, and isolated atoms.

    Energies are in the unit of the data. Where these give weights of the energy, frames count by them in the fit and in
    the mean; frames of weight 0 have no energy, also those of isolated atoms, which else count with any weight.
    Memory grows with the number of different compositions, not of frames.

    Args:
        type_names: The types.
    """

    requires = ("total_energy", "atom_types")

    def __init__(self, type_names: Sequence[str]) -> None:
        self.type_names = list(type_names)
        self._neutral: dict[bytes, _Seen] = {}
        self._charged: dict[bytes, _Seen] = {}
        self._mean = Mean()
        self._isolated: dict[str, set[float]] = {}
        self.ions = 0
        """Isolated atoms with a charge, whose energies say nothing of the atom."""

    def update(self, batch: Graph) -> None:
        """Add compositions and energies of frames that are not isolated atoms."""
        found, per_atom = FieldValues(_ENERGY).values(batch), PerAtomModifier(_ENERGY).values(batch)
        if found is None or per_atom is None:
            return
        self._mean.update(per_atom.rows[per_atom.present], per_atom.weights_of(per_atom.present))
        n_frames, n_types = found.rows.shape[0], len(self.type_names)
        flat = batch["batch"] * n_types + batch["atom_types"]
        counts = torch.bincount(flat, minlength=n_frames * n_types).reshape(n_frames, n_types)
        charges = _charges(batch, n_frames)
        weights = [1.0] * n_frames if found.weights is None else found.weights.tolist()
        for frame in torch.where(found.present)[0].tolist():
            kind = self._charged if charges[frame] else self._neutral
            key = counts[frame].numpy().astype(np.int64).tobytes()
            kind.setdefault(key, _Seen()).add(float(found.rows[frame]), weights[frame])

    def update_isolated(self, frame: Graph) -> None:
        """Add the frame of an isolated atom."""
        found = FieldValues(_ENERGY).values(frame)
        if found is None or not bool(found.present[0]):
            return
        if _charges(frame, 1)[0]:
            self.ions += 1
            return
        name = self.type_names[int(frame["atom_types"][0])]
        self._isolated.setdefault(name, set()).add(float(found.rows[0]))

    @property
    def isolated(self) -> dict[str, float]:
        """Energy of the isolated atom of each type that has one; of several, the lowest."""
        return {name: min(self._isolated[name]) for name in self.type_names if name in self._isolated}

    def add(
        self, frame: Graph, mapper: ChemicalSpeciesToAtomTypeMapper, *, isolated: bool
    ) -> Iterator[tuple[float, float]]:
        """Add a single frame as read.

        Args:
            frame: Neither types nor edges are needed.
            mapper: Gives the types.
            isolated: Whether it is an isolated atom.

        Yields:
            The energy per atom and its weight, if it counts in the mean.
        """
        energy, mask = frame.get("total_energy"), frame.get(mask_key("total_energy"))
        if energy is None or (mask is not None and not mask[0]):
            return
        types = mapper.types(frame["atomic_numbers"])
        if isolated:
            self.update_isolated({**frame, "atom_types": types})
            return
        key = np.bincount(types.numpy(), minlength=len(self.type_names)).astype(np.int64).tobytes()
        kind = self._charged if _charges(frame, 1)[0] else self._neutral
        weight = float(frame[weight_key("total_energy")][0]) if weight_key("total_energy") in frame else 1.0
        kind.setdefault(key, _Seen()).add(value := float(energy[0]), weight)
        yield value / len(types), weight

    def add_to_mean(self, per_atom: Sequence[tuple[float, float]]) -> None:
        """Add energies per atom with their weights to the mean."""
        energies, weights = torch.tensor(per_atom, dtype=torch.float64).reshape(-1, 2).T
        every = torch.ones(len(energies), dtype=torch.bool)
        self._mean.update(energies, Values(energies, every, weights).weights_of(every))

    def contradictions(self) -> dict[str, list[float]]:
        """Energies of the isolated atoms of each type that has several different ones, sorted."""
        return {
            name: sorted(energies)
            for name, energies in self._isolated.items()
            if max(energies) - min(energies) > SAME_ENERGY
        }

    @property
    def mean(self) -> float | None:
        """Weighted mean over frames of energy / number of atoms, without isolated atoms; None without such frames."""
        mean = self._mean.compute()
        return None if np.isnan(mean) else mean

    def isolated_atoms(self) -> dict[str, float]:
        """Energies of isolated atoms.

        Raises:
            DataError: If a type has no isolated atom, or several with different energies.
        """
        for name, energies in self.contradictions().items():
            raise DataError(f"isolated atoms of type {name!r} have different energies: {energies}")
        if absent := [name for name in self.type_names if name not in self._isolated]:
            ions = f" ({self.ions} have a charge and do not count)" if self.ions else ""
            raise DataError(
                "the train set has no isolated atom (a frame of one atom without neighbours, with total_energy) "
                f"of the types {absent}{ions}"
            )
        return self.isolated

    def least_squares(self) -> dict[str, float]:
        """Energies e_t that minimise ``sum over frames of w (E - sum_t n_t e_t)^2`` with the weights w of the data.

        Raises:
            DataError: If the compositions do not determine them.
        """
        if (fit := self.fit()) is None:
            raise DataError("the train set has no total_energy (besides that of isolated atoms)")
        if absent := self.absent():
            raise DataError(f"the train set has no atoms of the types {absent} (besides isolated ones)")
        if fit.undetermined:
            raise DataError(
                f"compositions are rank deficient: they determine {fit.rank} of {len(self.type_names)} per-type "
                f"energies, and leave open those of {self._named(fit.undetermined)} (e.g. all frames have one "
                "stoichiometry); use isolated_atom_energies, per_type_energy_shifts_min_norm, "
                "per_atom_energy_mean or numbers, or add frames of other compositions"
            )
        return self._by_type(fit.energies)

    def nearest_to_mean(self) -> dict[str, float]:
        """As ``least_squares``; of all solutions, the one with the smallest ``sum_t (e_t - mean)^2``.

        Raises:
            DataError: Without any energy.
        """
        if (fit := self.fit()) is None:
            raise DataError("the train set has no total_energy (besides that of isolated atoms)")
        return self._by_type(fit.energies)

    def ridge(self) -> dict[str, float]:
        """Energies e_t that minimise ``sum over frames of w ((E - sum_t n_t e_t) / n)^2 + k sum_t (e_t - mean)^2``.

        The strength k is the most likely one of ``RIDGES`` if energies of elements differ from the mean and frames from
        the fit by normal random numbers, of which k is the ratio of the variances. So an element of few frames stays
        close to the mean, as far as they cannot tell.

        Raises:
            DataError: Without any energy.
        """
        if (seen := self._determining()) is None:
            raise DataError("the train set has no total_energy (besides that of isolated atoms)")
        return self._by_type(
            ridge_energies(*self._arrays(seen), sum(one.number for one in seen.values()), self.mean or 0.0)
        )

    def choose(self) -> ChosenEnergies:
        """Energies of isolated atoms if there is one of each type, else least squares if determined, else the mean.

        Raises:
            DataError: Without any energy.
        """
        try:
            return ChosenEnergies(self.isolated_atoms(), "isolated atoms", "each type has one in the training set")
        except DataError as error:
            reason = f"{error}"
        if (fit := self.fit()) is None or self.mean is None:
            raise DataError(f"{reason}; and no other frames with total_energy")
        if not fit.undetermined:
            over = f"{fit.frames} frames of {fit.compositions} compositions"
            reason = f"{reason}; over {over}, the rms residual is {fit.residual:.3g} per atom"
            return ChosenEnergies(self._by_type(fit.energies), "least squares", reason)
        reason = (
            f"{reason}; and compositions determine {fit.rank} of {len(self.type_names)} per-type energies, "
            f"not those of {self._named(fit.undetermined)}"
        )
        return ChosenEnergies(dict.fromkeys(self.type_names, self.mean), "mean", reason)

    def absent(self) -> list[str]:
        """Types without an atom in the frames that are not isolated atoms."""
        counts = self._arrays({**self._neutral, **self._charged})[0]
        return [name for name, column in zip(self.type_names, counts.T, strict=True) if not column.any()]

    def fit(self) -> _Fit | None:
        """Least squares over neutral frames, and over all if charged ones determine more; None without frames."""
        seen = self._determining()
        return None if seen is None else self._fit(seen)

    def _determining(self) -> dict[bytes, _Seen] | None:
        """Neutral frames, or all if charged ones determine more; None without frames."""
        if not self._neutral and not self._charged:
            return None
        everything = {**self._neutral}
        for key, seen in self._charged.items():
            everything[key] = _joined(everything[key], seen) if key in everything else seen
        if (
            self._neutral
            and _null_space(self._arrays(self._neutral)[0])[0] == _null_space(self._arrays(everything)[0])[0]
        ):
            return self._neutral
        return everything

    def _fit(self, seen: dict[bytes, _Seen]) -> _Fit:
        counts, weights, energies, squares = self._arrays(seen)
        rank, undetermined = _null_space(counts)
        sizes, start = counts.sum(axis=1), self.mean or 0.0
        roots = np.sqrt(weights)
        left, right = counts * roots[:, None], (energies - start * sizes) * roots
        solved = start + np.linalg.lstsq(left, right, rcond=None)[0]
        residuals = weights * (energies - counts @ solved) ** 2 + squares
        residual = float(np.sqrt((residuals / sizes**2).sum() / weights.sum()))
        frames = sum(one.number for one in seen.values())
        return _Fit(solved, rank, undetermined, frames, len(counts), residual)

    def residuals(self, shifts: Sequence[float]) -> Floats:
        """Mean energy per atom that is left of each composition after subtracting shifts, once for each frame.

        Args:
            shifts: Energy of each type.
        """
        seen = {**self._charged, **self._neutral}
        counts, _, energies, _ = self._arrays(seen)
        left = (energies - counts @ np.array(shifts, dtype=np.float64)) / np.maximum(counts.sum(axis=1), 1.0)
        return np.repeat(left, [one.number for one in seen.values()])

    def _arrays(self, seen: dict[bytes, _Seen]) -> tuple[Floats, Floats, Floats, Floats]:
        """Atoms of each type [n, n_types], weights, mean energies and sums of squares [n] of compositions."""
        rows = [np.frombuffer(key, dtype=np.int64) for key in seen]
        counts = np.array(rows, dtype=np.float64).reshape(len(rows), len(self.type_names))
        numbers = np.array([[one.weight, one.mean, one.squares] for one in seen.values()]).reshape(-1, 3)
        return counts, numbers[:, 0], numbers[:, 1], numbers[:, 2]

    def _named(self, indices: Iterable[int]) -> list[str]:
        return [self.type_names[index] for index in indices]

    def _by_type(self, energies: Floats) -> dict[str, float]:
        return dict(zip(self.type_names, energies.tolist(), strict=True))


def _charges(batch: Graph, n_frames: int) -> list[float]:
    """Charge of each frame in e; 0 where the data have none."""
    charges = batch.get("total_charge")
    return [0.0] * n_frames if charges is None else charges.reshape(-1).tolist()


def _joined(one: _Seen, other: _Seen) -> _Seen:
    """The same as if all energies had been added to one of them."""
    weight = one.weight + other.weight
    step = other.mean - one.mean
    squares = one.squares + other.squares + step**2 * one.weight * other.weight / weight
    return _Seen(one.number + other.number, weight, one.mean + step * other.weight / weight, squares)


def _null_space(counts: Floats) -> tuple[int, list[int]]:
    """Rank of compositions, and the types (columns) whose energy they leave open."""
    triangle = np.linalg.qr(counts, mode="r")  # of the same row space, and small
    _, sizes, rows = np.linalg.svd(triangle)
    rank = int((sizes > max(counts.shape) * np.finfo(np.float64).eps * sizes.max(initial=0.0)).sum())
    free = np.abs(rows[rank:]).max(axis=0, initial=0.0)
    return rank, np.flatnonzero(free > 1e-8).tolist()


def collect_references(
    frames: Iterable[tuple[Graph, bool]], mapper: ChemicalSpeciesToAtomTypeMapper
) -> EnergyReferences:
    """References of single frames as read, each with whether it is an isolated atom.

    Args:
        frames: Neither types nor edges are needed.
        mapper: Gives the types; all elements must have one.
    """
    references = EnergyReferences(mapper.model_type_names)
    per_atom = [one for frame, isolated in frames for one in references.add(frame, mapper, isolated=isolated)]
    references.add_to_mean(per_atom)
    return references
