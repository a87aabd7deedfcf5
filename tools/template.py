"""Update `plugins/_template`: what `equipot plugins new template --kind KIND --example` writes, for each kind."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from equipot_testing._scaffold import KINDS, new_plugin

TEMPLATE = Path(__file__).resolve().parent.parent / "plugins" / "_template"


def main() -> int:
    """Replace the folder of each kind."""
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            made = new_plugin("template", kind, folder, example=True)
            shutil.rmtree(TEMPLATE / kind, ignore_errors=True)
            shutil.copytree(made.folder, TEMPLATE / kind)
        print(f"wrote plugins/_template/{kind}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
