"""Data fields: key, per what, shape, dtype, unit, irreps, meaning.

At run time a frame or batch is a plain ``dict[str, Tensor]`` with these keys; a frame is a batch of one. Each label
has a mask ``<label>_mask``, which is True where the label is present; masked entries are 0 and never read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PerWhat = Literal["frame", "atom", "edge"]


@dataclass(frozen=True, kw_only=True)
class Field:
    """One row of the table."""

    key: str
    per: PerWhat
    shape: tuple[str | int, ...]
    """Shape, with the symbols n_frames, n_atoms and n_edges."""
    dtype: Literal["float64", "model_dtype", "int64", "bool"]
    unit: str
    irreps: str | None
    """e3nn irreps of a physical tensor, None for indices and flags."""
    meaning: str


def _field(
    key: str, per: PerWhat, tail: tuple[int, ...], dtype: str, unit: str, irreps: str | None, meaning: str
) -> Field:
    shape: tuple[str | int, ...] = (f"n_{per}s", *tail)
    return Field(key=key, per=per, shape=shape, dtype=dtype, unit=unit, irreps=irreps, meaning=meaning)  # type: ignore[arg-type]


_TABLE = (
    _field("positions", "atom", (3,), "float64", "Å", "1o", "Cartesian positions"),
    _field("cell", "frame", (3, 3), "float64", "Å", None, "cell vectors as rows; zeros where there is none"),
    _field("pbc", "frame", (3,), "bool", "", None, "periodic along each cell vector"),
    _field("atomic_numbers", "atom", (), "int64", "", "0e", "nuclear charge Z"),
    _field("atom_types", "atom", (), "int64", "", "0e", "index into the model's type_names"),
    _field("batch", "atom", (), "int64", "", None, "index of the atom's frame"),
    _field("num_atoms", "frame", (), "int64", "", None, "number of atoms of each frame"),
    _field("owned", "atom", (), "bool", "", None, "False for ghost atoms: no energy of their own"),
    Field(
        key="edge_index",
        per="edge",
        shape=(2, "n_edges"),
        dtype="int64",
        unit="",
        irreps=None,
        meaning="[0] centre (receives), never descending along the edges; [1] neighbour",
    ),
    _field("edge_cell_shift", "edge", (3,), "float64", "", None, "integer cell shift S of the neighbour's image"),
    _field("edge_vectors", "edge", (3,), "float64", "Å", "1o", "positions[neighbour] + S @ cell - positions[centre]"),
    _field("edge_lengths", "edge", (), "float64", "Å", "0e", "length of edge_vectors"),
    _field(
        "normalized_edge_lengths", "edge", (), "float64", "", "0e", "edge_lengths / cutoff[centre type, neighbour type]"
    ),
    _field("total_energy", "frame", (), "float64", "eV", "0e", "potential energy of the frame"),
    _field("atomic_energy", "atom", (), "float64", "eV", "0e", "energy assigned to the atom"),
    _field("forces", "atom", (3,), "float64", "eV/Å", "1o", "-dE/d(positions)"),
    _field("stress", "frame", (3, 3), "float64", "eV/Å³", "0e + 2e", "(dE/d strain) / volume, positive under tension"),
    _field("virial", "frame", (3, 3), "float64", "eV", "0e + 2e", "-dE/d(strain) = -stress * volume"),
    _field("stress_mask", "frame", (), "bool", "", None, "True where the frame has a stress"),
    _field("edge_forces", "edge", (3,), "float64", "eV/Å", "1o", "dE/d(edge_vectors)"),
    _field("total_charge", "frame", (), "float64", "e", "0e", "net charge"),
    _field("spin_multiplicity", "frame", (), "int64", "", "0e", "2S + 1"),
)

FIELDS: dict[str, Field] = {field.key: field for field in _TABLE}

LABELS: tuple[str, ...] = ("total_energy", "forces", "stress", "atomic_energy", "virial")
"""Fields that may be labels; the mask ``<label>_mask`` of each is per frame or per atom, as the field."""

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


def mask_key(label: str) -> str:
    """Key of a label's mask.

    Example:
        >>> mask_key("forces")
        'forces_mask'
    """
    return f"{label}_mask"
