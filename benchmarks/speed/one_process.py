"""Run one mode at one size in a process of its own; print its memory and times as JSON.

``PYTHON one_process.py SIDE CASE.json BATCH.npz FOLDER MODE CALLS``
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np
from worker import SIDES


def memory_mb(name: str) -> float:
    """``VmRSS`` (now) or ``VmHWM`` (peak) of this process in MB; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def main() -> None:
    """Measure and print."""
    side_name, case, batch, folder, mode, calls = sys.argv[1:7]
    module = importlib.import_module(SIDES[side_name])
    side = module.Side(json.loads(Path(case).read_text()), dict(np.load(batch)), Path(folder))
    run = side.prepare(mode)
    before = memory_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of imports and compilation
    run()
    times = []
    for _ in range(int(calls)):
        cpu, wall = time.process_time(), time.perf_counter()
        run()
        times.append([1e3 * (time.process_time() - cpu), 1e3 * (time.perf_counter() - wall)])
    found = {"before_mb": before, "peak_mb": memory_mb("VmHWM"), "times_ms": times}
    print("@" + json.dumps(found))


if __name__ == "__main__":
    main()
