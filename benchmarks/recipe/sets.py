"""The frames with which the recipe was found: small training sets, and test frames that no run sees."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase.io import write

Parts = dict[str, list[Any]]


def _loaders() -> Any:
    folder = os.environ.get("EQUIPOT_EXTRA_DATA")
    if not folder or not Path(folder, "loaders.py").exists():
        sys.exit("recipe: set EQUIPOT_EXTRA_DATA to the folder with the public data sets and their loaders.py")
    spec = importlib.util.spec_from_file_location("extra_loaders", Path(folder, "loaders.py"))
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def _some(frames: list[Any], count: int, seed: int = 1) -> list[Any]:
    return [frames[index] for index in np.random.default_rng(seed).permutation(len(frames))[:count]]


def _parts(frames: list[Any], n_train: int, n_val: int, test: list[Any]) -> Parts:
    chosen = _some(frames, n_train + n_val)
    return {"train": chosen[:n_train], "val": chosen[n_train:], "test": test}


def _ethanol() -> Parts:
    read = _loaders().rmd17
    return _parts(read("ethanol", "train"), 40, 10, read("ethanol", "test")[:200])


def _acac() -> Parts:
    read = _loaders().xyz
    parts = _parts(read("acac/train_300K.xyz"), 90, 10, read("acac/test_MD_300K.xyz")[::10])
    return {**parts, "train": [*parts["train"], *read("acac/isolated_atoms.xyz")]}


def _silicon() -> Parts:
    read = _loaders().mlearn
    return _parts(read("Si", "training"), 193, 21, read("Si", "test"))


def _mgo() -> Parts:
    read = _loaders().mgo
    return _parts(read("train"), 90, 10, read("test")[:25])


SETS: dict[str, Callable[[], Parts]] = {"ethanol": _ethanol, "acac": _acac, "si": _silicon, "mgo": _mgo}
"""Name to frames: 40 ethanol molecules (rMD17), 90 of acetylacetone at 300 K with isolated atoms, silicon (mlearn),
MgO."""


def files(name: str, folder: Path) -> dict[str, str]:
    """Write the frames of a set as extended XYZ.

    Returns:
        Path of each part.
    """
    paths = {part: folder / f"{part}.extxyz" for part in ("train", "val", "test")}
    parts = SETS[name]()
    for part, path in paths.items():
        write(path, parts[part])
    return {part: str(path) for part, path in paths.items()}
