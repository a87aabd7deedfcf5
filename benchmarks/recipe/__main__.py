"""Which settings of training give small errors in little time: the experiments behind the defaults of ``equipot fit``.

    python benchmarks/recipe run [STUDY ...]
    python benchmarks/recipe one data=si lr=0.003 model='{"num_features": 32}'
    python benchmarks/recipe tables

``run`` trains what is not in ``benchmarks/results/recipe.json`` yet, all studies if none is named; ``one`` trains with
any settings (``settings.py``) and stores nothing; ``tables`` writes those of docs/explanation/recipe.md. Time is CPU
time of one thread, so that other work on the machine disturbs it little. The frames are public sets from the folder in
``EQUIPOT_EXTRA_DATA``.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from runs import RUNS, missing, settings_of, stored, table
from studies import STUDIES

from equipot.files import write_json

DOCS = Path(__file__).parents[2] / "docs" / "results" / "recipe"


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["run", "one", "tables"])
    parser.add_argument("words", nargs="*", help="studies, or settings")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if given.task == "one":
        from train import run

        run(settings_of(given.words))
        return
    if unknown := [name for name in given.words if name not in STUDIES]:
        sys.exit(f"recipe: no study {', '.join(unknown)}; there are {', '.join(STUDIES)}")
    if given.task == "run":
        from train import run

        for settings in missing(stored(), [STUDIES[name] for name in given.words or STUDIES]):
            result = run(settings)
            write_json(RUNS, [*stored(), result])
    DOCS.mkdir(parents=True, exist_ok=True)
    for number, study in enumerate(STUDIES.values(), 1):
        write_json(DOCS / f"{number}_{study.name}.json", table(study, stored()))


if __name__ == "__main__":
    main()
