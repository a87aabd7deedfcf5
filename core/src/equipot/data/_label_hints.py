"""Keys of a file that look like labels, for advice in messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from equipot.data._label_contract import DEFAULT_LABELS, is_virial
from equipot.fields import FIELDS

_WORDS = {
    "total_energy": ("energy", ("u0", "e", "etot", "toten")),
    "forces": ("force", ("f", "frc")),
    "stress": ("stress", ()),
    "virial": ("virial", ()),
    "atomic_energy": ("energies", ()),
}
"""Word in the keys of each label, and short keys that people use."""

_OTHER_QUANTITIES = re.compile(
    r"free|gibbs|helmholtz|enthalpy|zpve|thermal|kinetic|homo|lumo|fermi|gap|vdw|disp|correction|formation|atomi[sz]ation"
    r"|cohesive|per_?atom|weight|unit|cutoff|max|rms|norm|mask|std|var|uncertain|error"
)
"""Words in keys of quantities that are not the label, though its name is part of theirs."""

_REFERENCE = re.compile(r"ref|dft|qm|ccsd|dlpno|pbe|target|true|label")
"""Words in keys that reference methods leave; other prefixes may be those of another potential."""


def suggest_keys(label: str, found: Iterable[str]) -> list[str]:
    """Keys that look like a label, most likely first, e.g. ``dft_energy`` for total_energy.

    Args:
        label: Name of a label.
        found: Keys as ``place:key``; values per atom are in ``arrays``.
    """
    word, exact = _WORDS.get(label) or _own_words(label)
    per_atom = label in FIELDS and FIELDS[label].per == "atom"
    wrong = ("info",) if per_atom else ("arrays",)
    places: dict[str, str] = {}
    for one in found:
        place, _, key = one.partition(":")
        lower = key.lower()
        if place not in wrong and (lower in exact or word in lower) and not _OTHER_QUANTITIES.search(lower):
            places.setdefault(key, place)

    def likely(key: str) -> tuple[object, ...]:  # u0: the energy at 0 K among those of QM9
        lower = key.lower()
        named = lower.endswith(word) or lower in exact
        return (
            not lower.endswith("u0"),
            places[key] != "results",
            lower in exact,
            not _REFERENCE.search(lower),
            not named,
            len(key),
            key,
        )

    return sorted(places, key=likely)


def _own_words(label: str) -> tuple[str, tuple[str, ...]]:
    """The same for other labels: their names, here and in ASE."""
    field = FIELDS.get(label)
    return label.lower(), () if field is None or field.ase_property is None else (field.ase_property.lower(),)


def suggested_labels(
    found: Iterable[str], kept: Mapping[str, str] | None = None, wanted: Iterable[str] = ()
) -> dict[str, Any]:
    """A key for every label that keys of a file look like, as ``data.labels`` of a config has them.

    Args:
        found: Keys as ``place:key``.
        kept: Labels that are read already, with what the config says of them; they are not suggested.
        wanted: Labels that are looked for besides those that ASE's calculators have.

    Example:
        >>> suggested_labels(["info:REF_energy", "arrays:REF_forces"])
        {'total_energy': 'REF_energy', 'forces': 'REF_forces'}
    """
    keys = sorted(found)
    entries: dict[str, Any] = {}
    prefix = re.split(r"(?i)energy", (kept or {}).get("total_energy", ""))[0]
    for label in (one for one in dict.fromkeys((*DEFAULT_LABELS, *wanted)) if one not in (kept or {})):
        candidates = suggest_keys(label, keys)
        virials = [key for key in suggest_keys("virial", keys) if is_virial(key)] if label == "stress" else []
        if virials and not candidates:
            best = min(virials, key=lambda key: not key.startswith(prefix))
            entries[label] = {"key": best, "convention": "virial"}
        elif candidates:
            best = min(candidates, key=lambda key: not key.startswith(prefix))
            entries[label] = best
            prefix = prefix or re.split(r"(?i)energy", best)[0]
    return entries


def labels_line(found: Iterable[str], kept: Mapping[str, str] | None = None, wanted: Iterable[str] = ()) -> str:
    """``labels: {...}`` with a key for every label that keys of a file look like; empty if there is none but ``kept``.

    Args:
        found: Keys as ``place:key``.
        kept: Labels that are read already, with what the config says of them.
        wanted: As for ``suggested_labels``.

    Example:
        >>> labels_line(["info:REF_energy", "arrays:REF_forces", "info:REF_virial"])
        'labels: {total_energy: REF_energy, forces: REF_forces, stress: {key: REF_virial, convention: virial}}'
    """
    new = suggested_labels(found, kept, wanted)
    texts = {
        label: one if isinstance(one, str) else f"{{key: {one['key']}, convention: {one['convention']}}}"
        for label, one in new.items()
    }
    inside = ", ".join(f"{label}: {text}" for label, text in {**(kept or {}), **texts}.items())
    return f"labels: {{{inside}}}" if new else ""
