"""Runs of several processes in turns, so that all see the same load of the machine."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

ALLOCATORS: dict[str, dict[str, str]] = {
    "default": {},
    "kept": {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": "20000000000",
        "MALLOC_TOP_PAD_": "268435456",
    },
}
"""Settings of glibc's allocator, on both sides: as it is, or keeping memory instead of returning it."""


def environment(threads: int, allocator: str, python: str = sys.executable) -> dict[str, str]:
    """Variables for a side's process.

    Args:
        threads: Of the process.
        allocator: Key of ``ALLOCATORS``.
        python: Its interpreter; one of another environment does not get our PYTHONPATH.
    """
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    own = {"CUDA_VISIBLE_DEVICES": "", "OMP_WAIT_POLICY": "PASSIVE", "NEQUIP_NL": "matscipy"}
    dropped = ("MALLOC_",) if sys.executable == python else ("MALLOC_", "PYTHONPATH")
    cleared = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    return {**cleared, **limits, **own, **ALLOCATORS[allocator], "EQUIPOT_MALLOC": "default"}


class Worker:
    """One side's process."""

    def __init__(
        self, side: str, python: str, files: dict[str, Path], *, threads: int, allocator: str, log: Path
    ) -> None:
        self.side = side
        self.failed: dict[str, str] = {}
        command = [python, str(HERE / "worker.py"), side, files["case"], files["batch"], files["folder"]]
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("a"),
            text=True,
            env=environment(threads, allocator, python),
            cwd=HERE,
        )
        self.versions = self._read()["ready"]

    def ask(self, do: str, mode: str, **more: Any) -> dict[str, Any]:
        """Send one command and wait for its answer."""
        self.process.stdin.write(json.dumps({"do": do, "mode": mode, **more}) + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        while not (line := self.process.stdout.readline()).startswith("@"):
            if not line:
                sys.exit(f"the process of {self.side} ended with code {self.process.wait()}; see its log")
        return json.loads(line[1:])

    def stop(self) -> None:
        """End the process."""
        self.process.stdin.write(json.dumps({"do": "stop", "mode": ""}) + "\n")
        self.process.stdin.close()
        self.process.wait()


def in_turns(
    workers: dict[str, Worker], modes: list[tuple[str, str]], rounds: int, calls: dict[str, int]
) -> dict[str, list[dict[str, float]]]:
    """Times of every mode, one run of each in every round; the first round does not count.

    Args:
        workers: By side.
        modes: Side and mode.
        rounds: That count.
        calls: Calls averaged in one run, by ``side/mode``.
    """
    times: dict[str, list[dict[str, float]]] = {f"{side}/{mode}": [] for side, mode in modes}
    for turn in range(rounds + 1):
        for side, mode in modes:
            answer = workers[side].ask("run", mode, calls=calls[f"{side}/{mode}"])
            if turn:
                times[f"{side}/{mode}"].append(answer)
    return times


def summary(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratio(slow: list[dict[str, float]], fast: list[dict[str, float]], clock: str) -> dict[str, float]:
    """How many times faster, round by round."""
    return summary([one[clock] / other[clock] for one, other in zip(slow, fast, strict=True)])
