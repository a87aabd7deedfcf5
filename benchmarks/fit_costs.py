"""What a training step of each size of ``equipot fit`` costs, for the table of ``equipot_fit._sizes``.

    OMP_NUM_THREADS=1 python benchmarks/fit_costs.py [--seconds 1] [--rounds 3] [--family nequip allegro]

Steps are timed as ``equipot fit`` times them, but by what the processor works for this process, so that other work on
the machine disturbs little. Two data sets, a molecule and a liquid, give a fixed part and one for each edge: the median
of the rounds. Kernels are compiled in the first round, and taken from their cache then.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).with_name("one_command")))

from shared import work_clock

EXAMPLES = Path(__file__).parents[1] / "examples" / "data"
SETS = ("ethanol_pbe.extxyz", "water_gfn1.extxyz")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="of the steps that are timed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--family", nargs="+", choices=("nequip", "allegro"), default=["nequip", "allegro"])
    given = parser.parse_args()
    work_clock()

    from equipot_fit._sizes import SIZES

    for family in given.family:
        plans = [_plan(name, family) for name in SETS]
        times: dict[tuple[int, int], list[float]] = {}
        for turn in range(given.rounds + 1):
            for index, size in enumerate(SIZES[family]):
                for number, (config, _) in enumerate(plans):
                    seconds = _timed(config, dict(size.options), given.seconds)
                    if turn:
                        times.setdefault((index, number), []).append(seconds)
        (_, few), (_, many) = plans
        print(f"{family}: batches of {few:.0f} and {many:.0f} edges")
        for index, size in enumerate(SIZES[family]):
            small, large = (statistics.median(times[index, number]) for number in range(2))
            per_edge = (large - small) / (many - few)
            fixed = small - few * per_edge
            shown = ", ".join(f"{key} {value}" for key, value in size.options.items())
            both = f"{1e3 * small:.1f} and {1e3 * large:.1f} ms"
            print(f"  {shown}: {both}, fixed {1e3 * fixed:.1f} ms, {1e6 * per_edge:.1f} ms for 1000 edges", flush=True)


def _plan(name: str, family: Any) -> tuple[dict[str, Any], float]:
    """The config of a set, and the number of edges of its batches."""
    from equipot_fit._facts import gather
    from equipot_fit._plan import make_plan

    facts = gather((str(EXAMPLES / name),))
    config = dict(make_plan(facts, 15.0, family=family).config)
    r_max, batch = config["training_module"]["model"]["r_max"], config["data"]["train_dataloader"]["batch_size"]
    return config, batch * facts.edges_per_frame(r_max)


def _timed(config: dict[str, Any], options: dict[str, Any], seconds: float) -> float:
    from equipot_fit._speed import step_seconds

    made = copy.deepcopy(config)
    made["training_module"]["model"].update(options)
    return step_seconds(made, seconds=seconds).step


if __name__ == "__main__":
    main()
