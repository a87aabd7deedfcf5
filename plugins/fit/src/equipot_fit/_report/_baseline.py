"""What errors are compared with: a predictor that knows compositions alone, and the noise that labels show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot.fields import FIELDS, mask_key
from equipot.quantities import ENERGY, in_mev

if TYPE_CHECKING:
    from equipot.data import FrameCollection
    from equipot.evaluate import Compared, Evaluation
    from equipot.graph import Graph
    from equipot.quantities import Reported

LOOKED_AT = 2000
"""Frames of the train set from which the baseline is made."""

DIGITS = 9
"""Decimal places up to which labels may be rounded."""

SMALLEST_NET_FORCE = 1e-6
"""eV/Å: smaller sums of the forces of a frame are rounding."""


def element_energies(train: FrameCollection | None) -> dict[int, float]:
    """Energy of an atom of each element that gives the energies of the train set best, in the unit of the data.

    Least squares of the energies per atom; where the compositions do not determine it, the shortest solution. With a
    single composition, this is its mean energy.

    Args:
        train: The set; None if there is none.

    Returns:
        Atomic number to energy; empty without energies.
    """
    chosen = list(_energies(train)) if train is not None else []
    if not chosen:
        return {}
    elements = sorted({number for shares, _ in chosen for number in shares})
    matrix = np.array([[shares.get(number, 0.0) for number in elements] for shares, _ in chosen])
    solution = np.linalg.lstsq(matrix, np.array([energy for _, energy in chosen]), rcond=1e-10)[0]
    return dict(zip(elements, solution.tolist(), strict=True))


def _energies(train: FrameCollection) -> Iterable[tuple[dict[int, float], float]]:
    """Composition (shares of the elements) and energy per atom of frames with energies, without isolated atoms."""
    step = max(1, len(train.places) // LOOKED_AT)
    for index in range(0, len(train.places), step):
        counts = dict(train.composition(index))
        frame, size = train.frames[index], sum(counts.values())
        if size > 1 and not train.isolated[index] and (energy := energy_of(frame)) is not None:
            yield {number: count / size for number, count in counts.items()}, energy / size


def energy_of(frame: Graph) -> float | None:
    """The energy of a frame as read; None if it has none."""
    return float(frame["total_energy"][0]) if _is_whole(frame, "total_energy") else None


def _is_whole(frame: Graph, label: str) -> bool:
    """Whether a frame has a label, for all of its atoms if it is one of atoms."""
    mask = frame.get(mask_key(label))
    return label in frame and (mask is None or bool(mask.all()))


def trivial_errors(found: Evaluation, compared: Compared, energies: Mapping[int, float]) -> Any:
    """Errors of the trivial predictor, in the unit of the quantity; None if it cannot be made.

    Energies are those of the compositions, forces are zero, and so are stress and all other vectors and tensors.

    Args:
        found: The evaluation.
        compared: One of its quantities.
        energies: Of ``element_energies``.
    """
    labels = compared.labels.numpy()
    if compared.name != ENERGY:
        return -labels if FIELDS[compared.quantity.label].irreps not in (None, "0e") else None
    if not energies:
        return None
    factor = 1000.0 * found.energy_in_ev
    predicted = []
    for index in compared.frames.tolist():
        numbers = found.frames[index].numbers.numpy()
        predicted.append(factor * float(np.mean([energies.get(int(one), np.nan) for one in numbers])))
    errors = np.array(predicted) - labels
    return errors if np.isfinite(errors).all() else None


def not_learnt(quantity: Reported, error: float, trivial: float) -> str:
    """What users must be told of a quantity of which a model knows no more than the trivial predictor.

    Args:
        quantity: What is predicted.
        error: Mean absolute error of the model.
        trivial: The same of the trivial predictor.

    Returns:
        Two sentences; nothing if the model knows more.
    """
    if error < trivial or trivial == 0.0:
        return ""
    how = "a fit of the compositions alone" if quantity.name == ENERGY else "saying zero throughout"
    return (
        f"{quantity.title}: the mean error is {error:.3g} {quantity.unit}, that of {how} {trivial:.3g}. The model has "
        "not learnt this: it needs more time, or more frames."
    )


def label_noise(found: Evaluation, units: str) -> dict[str, dict[str, Any]]:
    """Noise that the labels themselves show, by quantity: a lower bound, since not all noise is visible.

    Forces of a frame without an outer field sum to zero: a net force of n atoms with independent errors of the size s
    has components of the size s sqrt(n). Numbers written with k decimal places have errors of 10^-k / sqrt(12).

    Args:
        found: The evaluation.
        units: Unit system of the data.

    Returns:
        For each quantity ``rms`` in its unit, and ``from``, a phrase.
    """
    noise: dict[str, dict[str, Any]] = {}
    factor = in_mev(units)  # type: ignore[arg-type]
    for field, name in (("total_energy", "per_atom_energy"), ("forces", "forces"), ("stress", "stress")):
        chosen = [one for one in found.frames if len(one.numbers) > 1 and _is_whole(one.frame, field)]
        values, sizes = [one.frame[field].numpy() for one in chosen], [len(one.numbers) for one in chosen]
        places = decimal_places(np.concatenate([one.reshape(-1) for one in values])) if values else None
        if places is not None:
            size = factor * 10.0**-places / np.sqrt(12.0)
            size /= float(np.mean(sizes)) if field == "total_energy" else 1.0
            noise[name] = {"rms": float(size), "from": f"labels are written with {places} decimal places"}
    net = [_net_force(one.frame) for one in found.frames if len(one.numbers) > 1]
    squares = np.array([one for one in net if one is not None])
    size = factor * float(np.sqrt(squares.mean())) if len(squares) else 0.0
    if size > max(factor * SMALLEST_NET_FORCE, noise.get("forces", {"rms": 0.0})["rms"]):
        noise["forces"] = {"rms": size, "from": "forces of a frame do not sum to zero"}
    return noise


def _net_force(frame: Graph) -> float | None:
    """Mean square of the components of the net force over the number of atoms; None if forces are missing."""
    if not _is_whole(frame, "forces"):
        return None
    forces = frame["forces"].numpy()
    return float((forces.sum(axis=0) ** 2).mean() / len(forces))


def decimal_places(values: Any) -> int | None:
    """Decimal places with which all values are written; None if there are more than ``DIGITS``.

    Example:
        >>> decimal_places(np.array([0.25, 1.5])), decimal_places(np.array([1 / 3]))
        (2, None)
    """
    for places in range(1, DIGITS + 1):
        if np.allclose(np.round(values, places), values, rtol=0.0, atol=1e-3 * 10.0**-places):
            return places
    return None
