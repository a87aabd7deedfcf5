"""Writes ``data/format_<N>.*``: small artifacts of the current format, kept forever and loaded by a test.

Run it once for every new format version, with the conftest's model; never overwrite a released file. Packages and
checkpoints have versions of their own.
"""

from __future__ import annotations

from pathlib import Path

import torch

from equipot.artifacts import _checkpoint as checkpoint
from equipot.artifacts import _manifest as manifests
from equipot.artifacts import write_package
from equipot.model import InvariantModel
from equipot.pair_potentials import ZBL


def main() -> None:
    """Write a package and a checkpoint of one small model."""
    folder = Path(__file__).parent / "data"
    model = InvariantModel(
        type_names=["C", "H", "O"],
        r_max=4.0,
        model_dtype="float64",
        num_radial=4,
        num_channels=2,
        avg_num_neighbors=12.0,
        per_type_energy_shifts={"C": -1027.6, "H": -13.6, "O": -2041.8},
        per_edge_type_cutoff={"H": 3.0, "C": {"H": 3.4}},
        pair_potential=ZBL(units="metal"),
    ).build()
    write_package(model, folder / f"format_{manifests.FORMAT_VERSION}.equipot.zip")
    state = {f"{kind}.{name}": value for kind in ("model", "ema") for name, value in model.state_dict().items()}
    record = checkpoint.checkpoint_record(model, "ema", {"run": ["train"]}, {})
    content = {"epoch": 1, "global_step": 10, "state_dict": state, "equipot": record}
    torch.save(content, folder / f"format_{checkpoint.FORMAT_VERSION}.ckpt")


if __name__ == "__main__":
    main()
