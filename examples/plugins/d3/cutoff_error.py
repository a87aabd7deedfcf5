"""Print how much of the dispersion energy a cutoff radius leaves out, for the frames of tests/reference.json."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from equipot.data import frame_from_atoms
from equipot.model import BuildContext
from equipot.neighbors import add_neighbors
from equipot_d3.term import D3Dispersion

REFERENCE = json.loads((Path(__file__).parent / "tests/reference.json").read_text(encoding="utf-8"))


def energy(frame: dict, r_max: float, width: float = 2.0) -> float:
    """Dispersion energy of a frame, eV."""
    from ase import Atoms

    atoms = Atoms(frame["numbers"], frame["positions"], cell=frame["cell"], pbc=frame["pbc"])
    symbols = tuple(sorted(set(atoms.get_chemical_symbols())))
    graph, _ = frame_from_atoms(atoms, {}, "frame")
    graph["atom_types"] = torch.tensor([symbols.index(symbol) for symbol in atoms.get_chemical_symbols()])
    graph = add_neighbors(graph, r_max)
    context = BuildContext(
        type_names=symbols, chemical_species=symbols, r_max=3.0, cutoffs=torch.zeros(0), model_dtype=torch.float64
    )
    module = D3Dispersion(functional="pbe", r_max=r_max, switch_width=width).build(context)
    centre, neighbour = graph["edge_index"]
    images = graph["edge_cell_shift"] @ graph["cell"][0]
    lengths = (graph["positions"][neighbour] - graph["positions"][centre] + images).norm(dim=1)
    return float(module({**graph, "edge_lengths": lengths}).sum())


def main() -> None:
    """Print a line for each frame."""
    for name, frame in REFERENCE["frames"].items():
        full = energy(frame, 31.75)
        shares = ", ".join(f"{r_max} Å: {1 - energy(frame, r_max) / full:.2%}" for r_max in (8.0, 12.0, 16.0, 20.0))
        print(f"{name}: {full:.6f} eV; left out with r_max {shares}")


if __name__ == "__main__":
    main()
