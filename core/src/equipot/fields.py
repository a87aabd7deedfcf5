"""Data fields: key, per what, shape, dtype, unit, irreps, meaning.

At run time a frame or batch is a plain ``dict[str, Tensor]`` with these keys; a frame is a batch of one. Each label
has a mask ``<label>_mask``, which is True where the label is present; masked entries are 0 and never read. Where the
data give weights, ``<label>_weight`` (float64, one per row of the mask) says how much each row counts in means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PerWhat = Literal["frame", "atom", "edge"]


@dataclass(frozen=True)
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


_TABLE = (
    Field("positions", "atom", ("n_atoms", 3), "float64", "Å", "1o", "Cartesian positions"),
    Field("cell", "frame", ("n_frames", 3, 3), "float64", "Å", None, "cell vectors as rows; zeros where there is none"),
    Field("pbc", "frame", ("n_frames", 3), "bool", "", None, "periodic along each cell vector"),
    Field("atomic_numbers", "atom", ("n_atoms",), "int64", "", "0e", "nuclear charge Z"),
    Field("atom_types", "atom", ("n_atoms",), "int64", "", "0e", "index into the model's type_names"),
    Field("batch", "atom", ("n_atoms",), "int64", "", None, "index of the atom's frame"),
    Field("num_atoms", "frame", ("n_frames",), "int64", "", None, "number of atoms of each frame"),
    Field("owned", "atom", ("n_atoms",), "bool", "", None, "False for ghost atoms: no energy of their own"),
    Field("edge_index", "edge", (2, "n_edges"), "int64", "", None, "[0] centre, in ascending order; [1] neighbour"),
    Field("edge_cell_shift", "edge", ("n_edges", 3), "float64", "", None, "integer cell shift S of the neighbour"),
    Field("edge_vectors", "edge", ("n_edges", 3), "float64", "Å", "1o", "from the centre to the neighbour's image"),
    Field("edge_lengths", "edge", ("n_edges",), "float64", "Å", "0e", "length of edge_vectors"),
    Field("normalized_edge_lengths", "edge", ("n_edges",), "float64", "", "0e", "edge_lengths / cutoff of the types"),
    Field("total_energy", "frame", ("n_frames",), "float64", "eV", "0e", "potential energy of the frame"),
    Field("atomic_energy", "atom", ("n_atoms",), "float64", "eV", "0e", "energy assigned to the atom"),
    Field("forces", "atom", ("n_atoms", 3), "float64", "eV/Å", "1o", "-dE/d(positions)"),
    Field(
        "stress",
        "frame",
        ("n_frames", 3, 3),
        "float64",
        "eV/Å³",
        "0e + 2e",
        "dE/d(strain) / volume, positive under tension",
    ),
    Field("virial", "frame", ("n_frames", 3, 3), "float64", "eV", "0e + 2e", "-dE/d(strain) = -stress * volume"),
    Field("stress_mask", "frame", ("n_frames",), "bool", "", None, "True where the frame has a stress"),
    Field("edge_forces", "edge", ("n_edges", 3), "float64", "eV/Å", "1o", "dE/d(edge_vectors)"),
    Field(
        "node_features",
        "atom",
        ("n_atoms", "n_features"),
        "model_dtype",
        "",
        None,
        "features of atoms, whose irreps are those of EnergyModule.features",
    ),
    Field("total_charge", "frame", ("n_frames",), "float64", "e", "0e", "net charge"),
    Field("spin_multiplicity", "frame", ("n_frames",), "int64", "", "0e", "2S + 1"),
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


def weight_key(label: str) -> str:
    """Key of a label's weights.

    Example:
        >>> weight_key("forces")
        'forces_weight'
    """
    return f"{label}_weight"
