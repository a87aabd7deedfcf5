"""Labels besides energies, forces and stress: which of them an installed plugin has a head for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from equipot.errors import EquipotError
from equipot.fields import LABELS, mask_key

if TYPE_CHECKING:
    from equipot.data import FrameCollection
    from equipot.model import GraphModel

OWN = ("total_energy", "forces", "stress", "virial", "atomic_energy")
"""Labels that any model has, or that are the same in other words."""

CHARGE = ("total_charge", "charge", "net_charge")
"""Keys of the charge of a frame."""

LEAST_PART = 0.05
"""A label that fewer of the frames have is not learnt."""


@dataclass(frozen=True)
class OtherLabel:
    """A label that the data have besides energies, forces and stress."""

    label: str
    """Its name in the table of fields."""
    key: Any
    """Where the files have it, as in ``data.labels``."""
    frames: int
    """Number of frames that have it."""
    rms: float
    """Root mean square of its components, in its unit."""
    modifier: str = ""
    """The modifier that adds a head for it; empty if it is not learnt."""
    reason: str = ""
    """Why it is not learnt."""

    @property
    def line(self) -> str:
        """What happens with it, in one line."""
        where = f"{self.label} ({_key(self.key)}, {self.frames} frames)"
        if self.modifier:
            return f"{where} is learnt, too, by the head of {self.modifier}"
        return f"{where} is left out: {self.reason}"


def wanted(keys: set[str], contract: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Other labels that files have, with where, as in ``data.labels``.

    Args:
        keys: Of the frames, as ``place:key``.
        contract: What is read already.
        given: Labels that were asked for; then no others are looked for.
    """
    from equipot.data import suggested_labels

    others = [label for label in LABELS if label not in OWN]
    if given:
        return {label: given[label] for label in others if label in given}
    kept = {label: source.key for label, source in contract.items()}
    taken = {f"{place}:{key}" for key in kept.values() for place in ("info", "arrays", "results")}
    found = suggested_labels(keys - taken, {**kept, **dict.fromkeys(OWN, "")}, others)
    return {label: key for label, key in found.items() if label in others}


def charge_key(keys: set[str]) -> str | None:
    """The key of the charges of frames; None if they have none."""
    found = {key.partition(":")[2] for key in keys if key.startswith("info:")}
    return next((key for key in CHARGE if key in found), None)


def judged(
    whole: FrameCollection, pool: Sequence[int], labels: Mapping[str, Any], periodic: str, elements: Sequence[str]
) -> tuple[OtherLabel, ...]:
    """Say of each label whether it is learnt.

    Args:
        whole: All frames, read with these labels.
        pool: Indices of frames other than isolated atoms.
        labels: Where the files have them.
        periodic: Whether frames are periodic: ``none``, ``all`` or ``mixed``.
        elements: Symbols of the data.
    """
    charged = any(bool(whole.frames[index].get("total_charge", np.zeros(1)).any()) for index in pool)
    found = []
    for label, key in labels.items():
        frames, rms = _measured(whole, pool, label)
        if not frames:
            continue
        modifier = ""
        reason = f"fewer than {100.0 * LEAST_PART:g} % of the frames have it"
        if frames >= max(2.0, LEAST_PART * len(pool)):
            modifier, reason = _head_for(label, periodic, elements, charged=charged)
        found.append(OtherLabel(label, key, frames, rms, modifier, reason))
    return tuple(found)


def _measured(whole: FrameCollection, pool: Sequence[int], label: str) -> tuple[int, float]:
    """Number of frames with a label, and the root mean square of its components."""
    frames, total, count = 0, 0.0, 0
    for index in pool:
        frame = whole.frames[index]
        if label in frame and bool(frame[mask_key(label)].any()):
            values = frame[label][frame[mask_key(label)]]
            frames, total, count = frames + 1, total + float(values.square().sum()), count + values.numel()
    return frames, float(np.sqrt(total / max(count, 1)))


def _head_for(label: str, periodic: str, elements: Sequence[str], *, charged: bool) -> tuple[str, str]:
    """The modifier with a head for a label, or an empty text and why there is none."""
    from equipot.plugins import plugins

    host = plugins()
    entries = [one.entry for one in host.available("modifiers")]
    names = [one.name for one in entries if label in getattr(one, "provides", ()) and getattr(one, "persistent", False)]
    reason = "no installed plugin has a head for it"
    for name in names:
        reason = _against(host.load("modifiers", name), name, label, periodic, elements, charged=charged)
        if not reason:
            return name, ""
    return "", reason


def _against(modifier: Any, name: str, label: str, periodic: str, elements: Sequence[str], *, charged: bool) -> str:
    """Why a modifier does not do for the data, tried on a small model; empty if it does."""
    try:
        model: GraphModel = modifier(_small(elements))
    except EquipotError as error:
        return f"{name} cannot be added without options ({error})"
    heads = [part for _, part in model.heads() if label in part.provides]
    for part in heads:
        boundary = tuple(part.boundary)
        if periodic != "none" and set(boundary) == {"molecule"}:
            return f"{name} is for molecules, and {'' if periodic == 'all' else 'some '}frames are periodic"
        if periodic == "none" and "molecule" not in boundary:
            return f"{name} is for periodic frames"
        if charged and "total_charge" not in part.requires:
            return f"frames are charged, and {name} without options takes them for neutral"
    return ""


def _small(elements: Sequence[str]) -> GraphModel:
    """A model for the elements with as few weights as possible, to try modifiers on."""
    import equipot.model

    size = {"num_layers": 1, "l_max": 1, "num_features": 2, "radial_mlp_width": 2, "avg_num_neighbors": 1.0}
    builder: Any = equipot.model.NequIPGNNModel(type_names=list(elements), r_max=4.0, **size)
    built: GraphModel = builder.build()
    return built


def _key(key: Any) -> str:
    return str(key["key"]) if isinstance(key, Mapping) else str(key)
