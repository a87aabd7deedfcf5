"""A process that holds one side's models and answers one command a line; runs in the side's environment.

    PYTHON worker.py SIDE CASE.json BATCH.npz FOLDER

Commands are JSON on the standard input: ``{"do": "prepare" | "run" | "ops" | "outputs" | "stop", "mode": NAME}``.
Answers are JSON lines that start with ``@``, since libraries print too.
"""

from __future__ import annotations

import collections
import importlib
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIDES = {"equipot": "side_equipot", "nequip": "side_nequip", "mace": "side_mace", "sevenn": "side_sevenn"}


def timed(call: Callable[[], Any], calls: int) -> dict[str, float]:
    """CPU and wall time of one call in ms, averaged over some."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(calls):
        call()
    return {
        "cpu": 1e3 * (time.process_time() - cpu) / calls,
        "wall": 1e3 * (time.perf_counter() - wall) / calls,
    }


def count_ops(call: Callable[[], Any]) -> dict[str, Any]:
    """How many torch ops one call runs, backward passes included, and the most frequent ones.

    Ops that call others count as these. The profiler sees them without changing how a call is computed.
    """
    import torch

    call()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        call()
    ops = [event for event in profile.events() if "::" in event.name and not event.name.startswith("autograd::")]
    callers = {id(event.cpu_parent) for event in ops if event.cpu_parent is not None}
    names = collections.Counter(event.name for event in ops if id(event) not in callers)
    return {"ops": names.total(), "names": dict(names.most_common(12))}


class Server:
    """Prepares modes on demand and runs them."""

    def __init__(self, side: Any) -> None:
        self.side = side
        self.ready: dict[str, Callable[[], Any]] = {}

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what a command says."""
        mode = command["mode"]
        if command["do"] == "prepare":
            start, cpu = time.perf_counter(), time.process_time()
            self.ready[mode] = self.side.prepare(mode)
            self.ready[mode]()
            return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
        if command["do"] == "outputs":
            found = self.ready[mode]()
            np.savez(command["path"], **{key: np.asarray(value) for key, value in found.items()})
            return {}
        if command["do"] == "ops":
            return count_ops(self.ready[mode])
        times = timed(self.ready[mode], command["calls"])
        steps = getattr(self.ready[mode], "steps", 1)
        return {clock: value / steps for clock, value in times.items()}


def main() -> None:
    """Answer until ``stop``."""
    side_name, case, batch, folder = sys.argv[1:5]
    module = importlib.import_module(SIDES[side_name])
    side = module.Side(json.loads(Path(case).read_text()), dict(np.load(batch)), Path(folder))
    server = Server(side)
    print("@" + json.dumps({"ready": side.versions()}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "stop":
            return
        try:
            answer = server.answer(command)
        except Exception as error:  # noqa: BLE001 - the driver decides what a failure means
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print("@" + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
