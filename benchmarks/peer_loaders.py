"""CPU time and memory of the peers until the frames of an extended XYZ file are in memory.

    python benchmarks/data_size.py make big.extxyz --frames 20000
    PEER/bin/python benchmarks/peer_loaders.py nequip big.extxyz
    MACE/bin/python benchmarks/peer_loaders.py mace big.extxyz

Run it in an environment of the peer (``nequip`` or ``mace-torch``). nequip's frames are read without neighbour lists;
what MACE reads are its configurations, and the graphs with neighbours (5 Å), which it makes of all frames before the
first step, are a second figure. ``data_size.py measure`` gives the figures of equipot.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

R_MAX = 5.0


def nequip(path: Path, stage: Callable[[str, Callable[[], Any]], Any]) -> None:
    """All frames as nequip's data set holds them."""
    from nequip.data.dataset import ASEDataset

    stage("read", lambda: ASEDataset(file_path=str(path)))


def mace(path: Path, stage: Callable[[str, Callable[[], Any]], Any]) -> None:
    """All frames as MACE's configurations, and then as its graphs."""
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # its e3nn loads tables that torch refuses
    from mace.data import AtomicData, KeySpecification, load_from_xyz
    from mace.tools import get_atomic_number_table_from_zs

    keys = KeySpecification(
        info_keys={"energy": "energy", "stress": "stress", "head": "head"}, arrays_keys={"forces": "forces"}
    )
    read = stage("read", lambda: load_from_xyz(str(path), key_specification=keys))
    configurations = read[-1]
    table = get_atomic_number_table_from_zs(z for one in configurations for z in one.atomic_numbers)
    stage("graphs", lambda: [AtomicData.from_config(one, z_table=table, cutoff=R_MAX) for one in configurations])


def main() -> None:
    """Measure one peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=["nequip", "mace"])
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    measured = {}

    def stage(name: str, function: Callable[[], Any]) -> Any:
        before = time.process_time()
        found = function()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        measured[name] = {"cpu_s": time.process_time() - before, "peak_mb": peak}
        return found

    {"nequip": nequip, "mace": mace}[given.peer](given.file, stage)
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
