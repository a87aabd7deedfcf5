"""Data fields: key, per what, shape, dtype, unit, irreps, meaning.

At run time a frame or batch is a plain ``dict[str, Tensor]`` with these keys; a frame is a batch of one. Each label
has a mask ``<label>_mask``, which is True where the label is present; masked entries are 0 and never read. Where the
data give weights, ``<label>_weight`` (float64, one per row of the mask) says how much each row counts in means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from equipot.declarations import FieldEntry, PerWhat
from equipot.plugins import fields_host

__all__ = [
    "FIELDS",
    "LABELS",
    "MODEL_INPUTS",
    "OPTIONAL_INPUTS",
    "FieldEntry",
    "PerWhat",
    "mask_key",
    "row_shape",
    "weight_key",
]


class _Rows(Mapping[str, FieldEntry]):
    """Rows that the plugin host has, which loads the plugins when they are first asked for."""

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute

    def __getitem__(self, key: str) -> FieldEntry:
        return self._rows()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows())

    def __len__(self) -> int:
        return len(self._rows())

    def __contains__(self, key: object) -> bool:
        return key in self._rows()

    def get(self, key: str, default: Any = None) -> Any:
        """The row of a key, or something else; as fast as the host's own mapping, since batches are joined with it."""
        return self._rows().get(key, default)

    def _rows(self) -> dict[str, FieldEntry]:
        found: dict[str, FieldEntry] = getattr(fields_host(), self._attribute)
        return found


FIELDS: Mapping[str, FieldEntry] = _Rows("fields")
"""The table of data fields by key: core's rows, then those of the installed plugins. Ask it, and keep no copy of it."""

LABELS: Mapping[str, FieldEntry] = _Rows("labels")
"""The fields that may be labels; the mask ``<label>_mask`` of each is per frame or per atom, as the field."""

MODEL_INPUTS: tuple[str, ...] = (
    "positions",
    "cell",
    "pbc",
    "atom_types",
    "batch",
    "num_atoms",
    "edge_index",
    "edge_cell_shift",
)
"""Fields that every GraphModel reads from a batch."""

OPTIONAL_INPUTS: tuple[str, ...] = ("total_charge", "spin_multiplicity")
"""Properties of a frame that a model may read in addition; every frame must then have them."""


def row_shape(key: str) -> tuple[int, ...]:
    """Shape of one row of a label or input: that of the field without its first axis.

    Example:
        >>> row_shape("stress"), row_shape("total_energy")
        ((3, 3), ())
    """
    return tuple(int(size) for size in FIELDS[key].shape[1:])


def mask_key(label: str) -> str:
    """Key of a label's mask.

    Example:
        >>> mask_key("forces")
        'forces_mask'
    """
    return f"{label}_mask"


def weight_key(label: str) -> str:
    """Key of a label's weights.

    Example:
        >>> weight_key("forces")
        'forces_weight'
    """
    return f"{label}_weight"
