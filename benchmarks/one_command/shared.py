"""Run ``equipot`` by a clock that goes FACTOR times as fast as its processor works: a machine shared with other jobs.

    python benchmarks/one_command/shared.py FACTOR fit DATA --minutes N --output RUN

The times that it prints and writes depend on the work alone, and not on what the machine does otherwise.
"""

from __future__ import annotations

import os
import sys
import time


def work_clock(factor: float = 1.0) -> float:
    """Let ``time.monotonic`` go by what the processor works for this process and its children; what it said before.

    Args:
        factor: How many times as fast it goes.
    """
    began = time.monotonic()
    # Of the times of the system, only those of children move in steps of 10 ms.
    time.monotonic = lambda: began + factor * (time.process_time() + sum(os.times()[2:4]))
    return began


def main() -> int:
    """Change the clock, then run the command."""
    began = work_clock(float(sys.argv[1]))  # before anything keeps the other one
    from equipot._cli.main import main as equipot

    code = equipot(sys.argv[2:])
    print(f"the whole command: {time.monotonic() - began:.1f} s by this clock")
    return code


if __name__ == "__main__":
    sys.exit(main())
