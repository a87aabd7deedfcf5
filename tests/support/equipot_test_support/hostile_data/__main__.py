"""``python -m equipot_test_support.hostile_data FOLDER`` reads all hostile files under an audit hook.

Prints what happened to each as JSON.
"""

import faulthandler
import json
import os
import sys
import time
import traceback
from pathlib import Path

from equipot.errors import DataError
from equipot_test_support import data_files
from equipot_test_support.data_fuzz import SECONDS_EACH, Watch, allowed, read
from equipot_test_support.hostile_data import FAMILIES


def _peak():
    """Largest memory since the last call, in bytes."""
    status = Path("/proc/self/status").read_text()
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    Path("/proc/self/clear_refs").write_text("5")
    return peak * 1024


def main(folder):
    """Read all files and say what happened to each."""
    os.chdir(folder)
    cases = []
    for family, make in FAMILIES.items():
        (folder / family).mkdir()
        cases += [(family, name, path) for name, path in make(folder / family)]
    for make in {**data_files.CORE, **data_files.TOOLBOX}.values():
        read(make(folder))  # imports everything
    watch, found = Watch(), []
    for family, name, path in cases:
        print(f"{family}: {name}", file=sys.stderr, flush=True)  # noqa: T201 - says which file crashed the interpreter
        faulthandler.dump_traceback_later(2 * SECONDS_EACH, exit=True)
        _peak()
        before, start = _peak(), time.monotonic()
        watch.file, outcome = allowed(path), "frames"
        try:
            read(path)
        except DataError as error:
            outcome = f"refused: {error}"
        except BaseException:  # noqa: BLE001 - this is what is looked for
            outcome = traceback.format_exc()
        watch.file = None
        size = path.stat().st_size if path.is_file() else 0
        size += sum(one.stat().st_size for one in path.parent.iterdir()) if family == "cp2k runs" else 0
        found.append(
            {
                "family": family,
                "name": name,
                "outcome": outcome,
                "seconds": time.monotonic() - start,
                "size": size,
                "memory": _peak() - before,
                "seen": list(watch.seen),
            }
        )
        watch.seen.clear()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
