"""The frames: training, validation and test files of each set, written once."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Set:
    """One set of labelled frames, split."""

    title: str
    symbols: list[str]
    r_max: float
    batch: int
    bond: float
    """A typical bond length in Å, with which radial functions of a linear ACE are scaled."""
    frames: Callable[[], dict[str, list[Any]]]


def loaders() -> Any:
    """The module that reads the public sets."""
    folder = os.environ.get("EQUIPOT_EXTRA_DATA")
    if not folder or not Path(folder, "loaders.py").exists():
        sys.exit("set EQUIPOT_EXTRA_DATA to the folder with the public data sets and their loaders.py")
    spec = importlib.util.spec_from_file_location("extra_loaders", Path(folder, "loaders.py"))
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def _split(frames: list[Any], n_val: int, n_train: int | None = None) -> dict[str, list[Any]]:
    order = np.random.default_rng(1).permutation(len(frames))
    chosen = [frames[index] for index in order[: n_val + (n_train or len(frames))]]
    return {"val": chosen[:n_val], "train": chosen[n_val:]}


def _silicon() -> dict[str, list[Any]]:
    read = loaders().mlearn
    return {**_split(read("Si", "training"), 10, 60), "test": read("Si", "test")}


def _ethanol() -> dict[str, list[Any]]:
    read = loaders().rmd17
    return {**_split(read("ethanol", "train"), 20, 200), "test": read("ethanol", "test")[:100]}


def _water() -> dict[str, list[Any]]:
    frames = loaders().water()
    chosen = _split(frames, 5, 30)
    rest = np.random.default_rng(1).permutation(len(frames))[300:320]
    return {**chosen, "test": [frames[index] for index in rest]}


SETS = {
    "silicon": Set("mlearn silicon, 60 frames", ["Si"], 5.0, 4, 2.35, _silicon),
    "ethanol": Set("rMD17 ethanol, 200 frames", ["C", "H", "O"], 4.0, 5, 1.3, _ethanol),
    "water": Set("liquid water, 30 frames of 192 atoms", ["H", "O"], 4.5, 1, 1.0, _water),
}
"""Title, types, cutoff in Å, frames in a batch, bond length; the test frames are those of the source if it has any.

The sets are small, so that the slowest models finish some epochs within a minute or two.
"""


def written(name: str, folder: Path) -> dict[str, Path]:
    """Files of the three parts, with the energy and forces of a calculator, as ASE writes them."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    paths = {part: folder / f"{part}.extxyz" for part in ("train", "val", "test")}
    if not (folder / ".done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for part, frames in SETS[name].frames().items():
            for atoms in frames:
                energy, forces = atoms.get_potential_energy(), atoms.get_forces()
                atoms.info, atoms.calc = {}, SinglePointCalculator(atoms, energy=energy, forces=forces)
            write(paths[part], frames)
        (folder / ".done").touch()
    return paths
