"""Run ``equipot`` by a clock that goes FACTOR times as fast as its processor works: a machine shared with other jobs.

    python benchmarks/one_command/shared.py FACTOR fit DATA --minutes N --output RUN

The times that it prints and writes depend on the work alone, and not on what the machine does otherwise.
"""

from __future__ import annotations

import os
import sys
import time


def main() -> int:
    """Change the clock, then run the command."""
    factor, began = float(sys.argv[1]), time.monotonic()
    # Before anything keeps the other one. Of the times of the system, only those of children move in steps of 10 ms.
    time.monotonic = lambda: began + factor * (time.process_time() + sum(os.times()[2:4]))
    from equipot._cli.main import main as equipot

    code = equipot(sys.argv[2:])
    print(f"the whole command: {time.monotonic() - began:.1f} s by this clock")
    return code


if __name__ == "__main__":
    sys.exit(main())
