"""A head for tests: charges of atoms, and the dipole moment that they and a vector of each atom make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from equipot.model import OutputHead, features_of
from equipot.nn.irreps import FeatureLayout, Irrep

if TYPE_CHECKING:
    from equipot.model import GraphModel

PLUGIN = """
from equipot import hookimpl
from equipot.declarations import FieldEntry, ModifierEntry

@hookimpl
def equipot_fields():
    yield FieldEntry(key="charges", per="atom", shape=("n_atoms",), unit="e", irreps="0e", meaning="charges of atoms",
                     label=True, ase_property="charges")
    yield FieldEntry(key="dipole", per="frame", shape=("n_frames", 3), unit="e Å", irreps="1o", meaning="dipole moment",
                     label=True, ase_property="dipole", extensive=True)
    yield FieldEntry(key="energy_std", per="frame", shape=("n_frames",), unit="eV", irreps="0e", meaning="uncertainty",
                     ase_property="energy_std", std_of="total_energy")

@hookimpl
def equipot_modifiers():
    for name in ("add_Charges", "add_Uncertainty"):
        provides = ("charges", "dipole") if name == "add_Charges" else ("energy_std",)
        yield ModifierEntry(name=name, target="equipot_test_support.heads." + name, summary="A head", persistent=True,
                            provides=provides)
"""
"""Source of the plugin that declares the fields and the modifiers."""


class Charges(OutputHead):
    """Charges from scalar features; the dipole moment from them, from positions and from vector features."""

    requires = ("node_features", "positions")
    provides = ("charges", "dipole")
    sums = ("dipole",)

    def __init__(self, layout: FeatureLayout, dtype: torch.dtype, seed: int) -> None:
        super().__init__()
        self.layout = layout
        generator = torch.Generator().manual_seed(seed)
        widths = [self.layout.mul(irrep) for irrep in (Irrep(0, 1), Irrep(1, -1))]
        self.scalars, self.vectors = (
            torch.nn.Parameter(torch.randn(width, dtype=dtype, generator=generator)) for width in widths
        )

    def forward(self, data):
        features = data["node_features"]
        charges = self.layout.view(features, self.layout.block(Irrep(0, 1)))[:, 0] @ self.scalars
        dipole = charges.unsqueeze(1) * data["positions"]
        if Irrep(1, -1) in self.layout:
            dipole = dipole + self.layout.view(features, self.layout.block(Irrep(1, -1))) @ self.vectors
        return {"charges": charges, "dipole": dipole}


class Uncertainty(OutputHead):
    """A number of a whole frame, which cannot be computed in parts."""

    requires = ("atomic_energy", "batch", "num_atoms")
    provides = ("energy_std",)

    def forward(self, data):
        energy, frames = data["atomic_energy"], torch.zeros_like(data["num_atoms"], dtype=torch.float64)
        return {"energy_std": frames.index_add(0, data["batch"], energy.square()).sqrt()}


def add_Charges(model: GraphModel, *, seed: int = 5) -> GraphModel:  # noqa: N802 - as modifiers are named
    """Add the head ``charges``.

    Args:
        model: A model whose builder has features.
        seed: Of the initial weights.
    """
    if "charges" in model.outputs:
        return model
    head = Charges(features_of(model, "add_Charges"), next(model.energy.parameters()).dtype, seed)
    return model.replace(outputs={**dict(model.heads()), "charges": head})


def add_Uncertainty(model: GraphModel) -> GraphModel:  # noqa: N802 - as modifiers are named
    """Add the head ``uncertainty``.

    Args:
        model: Any model.
    """
    if "uncertainty" in model.outputs:
        return model
    return model.replace(outputs={**dict(model.heads()), "uncertainty": Uncertainty()})
